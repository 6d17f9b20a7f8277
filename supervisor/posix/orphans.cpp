#include "supervisor/posix/orphans.hpp"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace topsman::posix {
namespace {

namespace fs = std::filesystem;

/// An ended child, not reaped by this; 0 when there is none.
pid_t peek_any() noexcept {
    siginfo_t info{};
    int result = 0;
    do {
        result = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? info.si_pid : 0;
}

bool reap_if_ended(pid_t pid) noexcept {
    siginfo_t info{};
    int result = 0;
    do {
        result = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG);
    } while (result != 0 && errno == EINTR);
    return result == 0 && info.si_pid == pid;
}

/// All children of all our threads, proc(5): an orphan is given to whichever thread the kernel
/// likes, wait(2) then answers in each.
std::vector<pid_t> all_children() {
    std::vector<pid_t> children;
    std::error_code error;
    for (fs::directory_iterator it("/proc/self/task", error), end; !error && it != end;
         it.increment(error)) {
        std::ifstream file(it->path() / "children");
        for (pid_t pid = 0; file >> pid;) {
            children.push_back(pid);
        }
    }
    return children;
}

}  // namespace

bool inherits_orphans() noexcept {
    int is_subreaper = 0;
    return ::getpid() == 1 ||
           (::prctl(PR_GET_CHILD_SUBREAPER, &is_subreaper, 0, 0, 0) == 0 && is_subreaper != 0);
}

std::size_t reap_orphans(const std::function<bool(pid_t)>& is_ours) {
    std::size_t count = 0;
    while (true) {
        const pid_t pid = peek_any();
        if (pid == 0) {
            return count;
        }
        if (is_ours(pid)) {
            break;
        }
        // It was seen ended and nobody else reaps, so this cannot fail; if it does, do not spin.
        if (!reap_if_ended(pid)) {
            return count;
        }
        ++count;
    }
    // One of ours that was not dealt with yet is the first that waitid finds, each time, and hides
    // the rest: ask for each by its number.
    for (const pid_t pid : all_children()) {
        if (!is_ours(pid) && reap_if_ended(pid)) {
            ++count;
        }
    }
    return count;
}

}  // namespace topsman::posix
