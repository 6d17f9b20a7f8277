#include "supervisor/posix/child_steps.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::posix::steps {
namespace {

constexpr int kFirstInherited = 3;

/// Where close_range(2) is refused (Linux before 5.9, some sandboxes): one by one.
int close_on_exec_from(unsigned first) noexcept {
    if (::syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) == 0) {
        return 0;
    }
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return errno;
    }
    for (rlim_t fd = first; fd < limit.rlim_cur; ++fd) {
        (void)::fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
    }
    return 0;
}

int place(int source, int target) noexcept {
    // dup2(2) clears close-on-exec, but does nothing at all when both are the same.
    if (source == target) {
        return ::fcntl(target, F_SETFD, 0) == 0 ? 0 : errno;
    }
    return ::dup2(source, target) == target ? 0 : errno;
}

}  // namespace

int ClaimLane::operator()() const noexcept {
    if (word != nullptr) {
        std::uint64_t seen = expected;
        const auto pid = static_cast<std::uint32_t>(::getpid());
        const std::uint64_t claimed = (started & 0xffff'ffff'0000'0000U) | pid;
        if (!word->compare_exchange_strong(seen, claimed)) {
            return ESTALE;
        }
    }
    if (lock_fd >= 0) {
        (void)::close(lock_fd);
    }
    return 0;
}

int NewSession::operator()() const noexcept {
    return ::setsid() < 0 ? errno : 0;
}

int ResetSignals::operator()() const noexcept {
    struct sigaction action {};

    action.sa_handler = SIG_DFL;
    for (int number = 1; number <= SIGRTMAX; ++number) {
        // SIGKILL, SIGSTOP and the C library's own two refuse; they are default already.
        (void)::sigaction(number, &action, nullptr);
    }
    sigset_t none;
    (void)::sigemptyset(&none);
    return ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0 ? 0 : errno;
}

int PlaceDescriptors::move_away(int& fd, int lowest) const noexcept {
    if (fd >= 0 && fd < lowest) {
        const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, lowest);
        if (moved < 0) {
            return errno;
        }
        fd = moved;
    }
    return 0;
}

int PlaceDescriptors::operator()() noexcept {
    int null_fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) {
        return errno;
    }
    // First everything out of the way of the targets, then everything to its place: so no source
    // is overwritten before it was used, whatever the numbers are.
    const int end = kFirstInherited + static_cast<int>(inherited.size());
    for (int* fd : {&null_fd, &stdout_fd, &stderr_fd, report_fd}) {
        if (const int error = move_away(*fd, end); error != 0) {
            return error;
        }
    }
    for (int& fd : inherited) {
        if (const int error = move_away(fd, end); error != 0) {
            return error;
        }
    }
    int error = place(null_fd, STDIN_FILENO);
    if (error == 0 && stdout_fd >= 0) {
        error = place(stdout_fd, STDOUT_FILENO);
    }
    const int stderr_source = stderr_fd >= 0 ? stderr_fd : stdout_fd;
    if (error == 0 && stderr_source >= 0) {
        error = place(stderr_source, STDERR_FILENO);
    }
    int target = kFirstInherited;
    for (const int fd : inherited) {
        if (error != 0) {
            break;
        }
        error = place(fd, target++);
    }
    return error != 0 ? error : close_on_exec_from(static_cast<unsigned>(end));
}

int SetLimits::operator()() const noexcept {
    for (const auto& [number, value] : *limits) {
        const rlim_t wanted = value < 0 ? RLIM_INFINITY : static_cast<rlim_t>(value);
        const rlimit limit{wanted, wanted};
        if (::setrlimit(static_cast<__rlimit_resource_t>(number), &limit) != 0) {
            *detail = number;
            return errno;
        }
    }
    return 0;
}

int SetNice::operator()() const noexcept {
    return !wanted || ::syscall(SYS_setpriority, PRIO_PROCESS, 0, *wanted) == 0 ? 0 : errno;
}

int SetCpuAffinity::operator()() const noexcept {
    if (mask->empty()) {
        return 0;
    }
    const std::size_t bytes = mask->size() * sizeof(unsigned long);
    return ::syscall(SYS_sched_setaffinity, 0, bytes, mask->data()) == 0 ? 0 : errno;
}

int SetGroups::operator()() const noexcept {
    if (!wanted) {
        return 0;
    }
    if (::syscall(SYS_setgroups, groups->size(), groups->data()) != 0) {
        return errno;
    }
    return ::syscall(SYS_setresgid, gid, gid, gid) == 0 ? 0 : errno;
}

int SetUser::operator()() const noexcept {
    if (!wanted) {
        return 0;
    }
    // From root the kernel drops all capabilities at setuid; from another user that holds
    // CAP_SETUID it drops none (capabilities(7)), so they are dropped by hand. Root stays root.
    if (uid != 0) {
        (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    }
    if (::syscall(SYS_setresuid, uid, uid, uid) != 0) {
        return errno;
    }
    if (uid != 0) {
        __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
        std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
        if (::syscall(SYS_capset, &header, none.data()) != 0) {
            return errno;
        }
    }
    return 0;
}

void PatchPid::operator()() const noexcept {
    std::array<char, kPidRoom> digits{};
    std::size_t count = 0;
    for (auto rest = static_cast<unsigned>(::getpid()); rest != 0; rest /= 10U) {
        digits[count++] = static_cast<char>('0' + rest % 10U);
    }
    for (char* place : places) {
        for (std::size_t i = 0; i < count; ++i) {
            place[i] = digits[count - 1 - i];
        }
    }
}

}  // namespace topsman::posix::steps
