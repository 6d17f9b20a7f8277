#include "supervisor/posix/child.hpp"

#include "supervisor/posix/process_info.hpp"
#include "supervisor/posix/signals.hpp"

#include <csignal>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

// Linux 6.9; in no header of Debian 12 or 13.
constexpr unsigned kSignalProcessGroup = 1U << 2U;

int pidfd_send_signal(int pidfd, int number, unsigned flags) noexcept {
    return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, flags));
}

enum class Standing { Running, Ended, NotOurs };

Standing look(int pidfd, siginfo_t& info) noexcept {
    info = siginfo_t{};
    int result = 0;
    do {
        result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG | WNOWAIT);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        return Standing::NotOurs;
    }
    return info.si_pid == 0 ? Standing::Running : Standing::Ended;
}

/// A pidfd becomes readable when its process has ended, whoever the parent is (pidfd_open(2)). The
/// state in /proc does not say so: a leading thread may have ended before its process.
bool has_ended(int pidfd) noexcept {
    pollfd entry{pidfd, POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
}

/// struct pidfd_info of Linux 6.13; in no header of Debian 12 or 13.
struct PidfdInfo {
    std::uint64_t mask;
    std::uint64_t cgroup;
    std::uint32_t ids[11];  // pid tgid ppid, then real, effective, saved and fs uid and gid
    std::int32_t exit_code;
};

static_assert(sizeof(PidfdInfo) == 64);
constexpr unsigned long kPidfdGetInfo = _IOWR(0xff, 11, PidfdInfo);
constexpr std::uint64_t kPidfdInfoExit = 1U << 3U;

bool ask_for_exit(int pidfd, PidfdInfo& info) noexcept {
    info = PidfdInfo{};
    info.mask = kPidfdInfoExit;
    return ::ioctl(pidfd, kPidfdGetInfo, &info) == 0;
}

/// As wait(2) would have told its parent.
core::ExitReport exit_of_another(int pidfd) noexcept {
    core::ExitReport report;
    PidfdInfo info{};
    if (!ask_for_exit(pidfd, info) || (info.mask & kPidfdInfoExit) == 0) {
        return report;
    }
    const int status = info.exit_code;
    report.kind =
        WIFEXITED(status) ? core::ExitReport::Kind::Exited : core::ExitReport::Kind::Signaled;
    report.value = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    report.core_dumped = !WIFEXITED(status) && WCOREDUMP(status);
    return report;
}

}  // namespace

Result<Child> Child::open(std::uint32_t pid, std::uint64_t start_ticks) {
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)));
    if (!pidfd) {
        return system_error("process " + std::to_string(pid));
    }
    // Opened first, compared afterwards: from here on the number cannot change its owner unseen.
    const auto info = process_info(pid);
    if (!info || info->start_ticks != start_ticks || has_ended(pidfd.get())) {
        return system_error("process " + std::to_string(pid), ESRCH);
    }
    return Child(static_cast<pid_t>(pid), std::move(pidfd));
}

Result<void> Child::signal(int number) const {
    if (pidfd_send_signal(pidfd_.get(), number, 0) != 0 && errno != ESRCH) {
        return system_error(signal_name(number) + " to process " + std::to_string(pid_));
    }
    return {};
}

Result<void> Child::signal_group(int number) const {
    siginfo_t info;
    if (look(pidfd_.get(), info) == Standing::NotOurs) {
        if (pidfd_send_signal(pidfd_.get(), number, kSignalProcessGroup) == 0 || errno == ESRCH) {
            return {};
        }
        // Older kernels: a group may not be named by a number that others reap.
        signal_session(pid_, number);
        return signal(number);
    }
    // The leader is running or a zombie of ours, so its number, and the group's, is not free.
    if (::kill(-pid_, number) == 0) {
        return {};
    }
    if (errno == ESRCH) {
        // It has not called setsid(2) yet: it is alone.
        return signal(number);
    }
    return system_error(signal_name(number) + " to process group " + std::to_string(pid_));
}

std::optional<core::ExitReport> Child::peek() const {
    siginfo_t info;
    switch (look(pidfd_.get(), info)) {
        case Standing::Running:
            return std::nullopt;
        case Standing::NotOurs:
            return has_ended(pidfd_.get()) ? std::optional(exit_of_another(pidfd_.get()))
                                           : std::nullopt;
        case Standing::Ended:
            break;
    }
    core::ExitReport report;
    report.kind = info.si_code == CLD_EXITED ? core::ExitReport::Kind::Exited
                                             : core::ExitReport::Kind::Signaled;
    report.value = info.si_status;
    report.core_dumped = info.si_code == CLD_DUMPED;
    return report;
}

bool Child::exit_may_follow() const noexcept {
    PidfdInfo info{};
    return ask_for_exit(pidfd_.get(), info) && (info.mask & kPidfdInfoExit) == 0;
}

Result<void> Child::reap() {
    siginfo_t info{};
    int result = 0;
    do {
        result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        return system_error("reap process " + std::to_string(pid_));
    }
    if (info.si_pid == 0) {
        return system_error("reap process " + std::to_string(pid_), EAGAIN);
    }
    return {};
}

bool take_stops() noexcept {
    bool stopped = false;
    while (true) {
        siginfo_t info{};
        const int result = ::waitid(P_ALL, 0, &info, WSTOPPED | WNOHANG);
        if (result != 0 && errno == EINTR) {
            continue;
        }
        if (result != 0 || info.si_pid == 0) {
            return stopped;
        }
        stopped = true;
    }
}

Result<UniqueFd> Child::take_fd(int number) const {
    UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd_.get(), number, 0U)));
    if (!fd) {
        return system_error("pidfd_getfd");
    }
    return fd;
}

std::uint64_t Child::inode() const noexcept {
    constexpr long kPidfs = 0x50494446;  // PID_FS_MAGIC

    struct statfs filesystem {};

    struct stat status {};

    const bool is_unique = ::fstatfs(pidfd_.get(), &filesystem) == 0 && filesystem.f_type == kPidfs;
    return is_unique && ::fstat(pidfd_.get(), &status) == 0 ? status.st_ino : 0;
}

void signal_session(pid_t session, int number) {
    const auto wanted = static_cast<std::uint32_t>(session);
    for_each_process([wanted, number](std::uint32_t pid) {
        if (process_session(pid) != wanted || pid == wanted) {
            return;
        }
        const UniqueFd member(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)));
        // First the handle, then the look: what is a member now is what we hold.
        if (member && process_session(pid) == wanted) {
            (void)pidfd_send_signal(member.get(), number, 0);
        }
    });
}

std::string describe(const core::ExitReport& report) {
    switch (report.kind) {
        case core::ExitReport::Kind::Exited:
            return "exited with code " + std::to_string(report.value);
        case core::ExitReport::Kind::Signaled:
            return "killed by " + signal_name(report.value) +
                   (report.core_dumped ? " (core dumped)" : "");
        case core::ExitReport::Kind::SpawnFailed:
            return report.detail;
        case core::ExitReport::Kind::Unknown:
            break;
    }
    return "ended, how is unknown";
}

}  // namespace topsman::posix
