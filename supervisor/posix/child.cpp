#include "supervisor/posix/child.hpp"

#include "supervisor/posix/process_info.hpp"
#include "supervisor/posix/signals.hpp"

#include <csignal>
#include <poll.h>
#include <sys/syscall.h>
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

/// A pidfd becomes readable when its process has ended, whoever the parent is (pidfd_open(2)).
bool has_ended(int pidfd) noexcept {
    pollfd entry{pidfd, POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
}

}  // namespace

Result<Child> Child::open(std::uint32_t pid, std::uint64_t start_ticks) {
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)));
    if (!pidfd) {
        return system_error("process " + std::to_string(pid));
    }
    // Opened first, compared afterwards: from here on the number cannot change its owner unseen.
    if (!is_same_process_alive(pid, start_ticks)) {
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
        // Older kernels: the process alone. A group may not be named by a number that others reap.
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
            return has_ended(pidfd_.get()) ? std::optional(core::ExitReport{}) : std::nullopt;
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
