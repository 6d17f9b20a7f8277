#include "supervisor/posix/child_steps.hpp"

#include "supervisor/posix/system_call.hpp"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::posix::steps {
namespace {

constexpr int kFirstInherited = 3;
constexpr int kSignals = 64;                // signal(7): the last real-time signal's number
constexpr std::size_t kMaskBytes = 64 / 8;  // the kernel's sigset_t, rt_sigaction(2)

/// Where close_range(2) is refused (Linux before 5.9, some sandboxes): one by one.
int close_on_exec_from(unsigned first) noexcept {
    if (system_call(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) == 0) {
        return 0;
    }
    rlimit64 limit{};
    if (const int error = error_of(system_call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit))) {
        return error;
    }
    for (rlim64_t fd = first; fd < limit.rlim_cur; ++fd) {
        (void)system_call(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
    }
    return 0;
}

int place(int source, int target) noexcept {
    // dup(2) clears close-on-exec, but not where both are the same.
    if (source == target) {
        return error_of(system_call(SYS_fcntl, target, F_SETFD, 0));
    }
    return error_of(system_call(SYS_dup3, source, target, 0));
}

int move_away(int& fd, int lowest) noexcept {
    if (fd >= 0 && fd < lowest) {
        const long moved = system_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, lowest);
        if (moved < 0) {
            return error_of(moved);
        }
        fd = static_cast<int>(moved);
    }
    return 0;
}

}  // namespace

int ClaimLane::operator()() const noexcept {
    if (word != nullptr) {
        std::uint64_t seen = expected;
        const auto pid = static_cast<std::uint32_t>(system_call(SYS_getpid));
        const std::uint64_t claimed = (started & 0xffff'ffff'0000'0000U) | pid;
        if (!word->compare_exchange_strong(seen, claimed)) {
            return ESTALE;
        }
    }
    if (lock_fd >= 0) {
        (void)system_call(SYS_close, lock_fd);
    }
    return 0;
}

int NewSession::operator()() const noexcept {
    return error_of(system_call(SYS_setsid));
}

int ResetSignals::operator()() const noexcept {
    // The kernel's struct sigaction, all zero: SIG_DFL, no flags, an empty mask. That of the C
    // library is another one, which its function translates.
    const unsigned long action[8] = {};
    for (int number = 1; number <= kSignals; ++number) {
        // SIGKILL and SIGSTOP refuse; they are default already.
        (void)system_call(SYS_rt_sigaction, number, &action[0], 0, kMaskBytes);
    }
    return error_of(system_call(SYS_rt_sigprocmask, SIG_SETMASK, &action[0], 0, kMaskBytes));
}

int PlaceDescriptors::operator()() noexcept {
    const long opened = system_call(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
    if (opened < 0) {
        return error_of(opened);
    }
    int null_fd = static_cast<int>(opened);
    // First everything out of the way of the targets, then everything to its place: so no source
    // is overwritten before it was used, whatever the numbers are.
    const int end = kFirstInherited + static_cast<int>(inherited.size);
    int* const single[] = {&null_fd, &stdout_fd, &stderr_fd, report_fd};
    for (int* fd : single) {
        if (const int error = move_away(*fd, end)) {
            return error;
        }
    }
    for (std::size_t i = 0; i < inherited.size; ++i) {
        if (const int error = move_away(inherited.first[i], end)) {
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
    for (std::size_t i = 0; error == 0 && i < inherited.size; ++i) {
        error = place(inherited.first[i], kFirstInherited + static_cast<int>(i));
    }
    return error != 0 ? error : close_on_exec_from(static_cast<unsigned>(end));
}

int SetLimits::operator()() const noexcept {
    for (std::size_t i = 0; i < limits.size; ++i) {
        const int number = limits.first[i].first;
        const std::int64_t value = limits.first[i].second;
        const rlim64_t wanted = value < 0 ? RLIM64_INFINITY : static_cast<rlim64_t>(value);
        const rlimit64 limit{wanted, wanted};
        if (const int error = error_of(system_call(SYS_prlimit64, 0, number, &limit, 0))) {
            *detail = number;
            return error;
        }
    }
    return 0;
}

int SetUmask::operator()() const noexcept {
    if (wanted) {
        (void)system_call(SYS_umask, mask);
    }
    return 0;
}

int SetNice::operator()() const noexcept {
    return wanted ? error_of(system_call(SYS_setpriority, PRIO_PROCESS, 0, value)) : 0;
}

int SetCpuAffinity::operator()() const noexcept {
    if (mask.size == 0) {
        return 0;
    }
    const std::size_t bytes = mask.size * sizeof *mask.first;
    return error_of(system_call(SYS_sched_setaffinity, 0, bytes, mask.first));
}

int SetGroups::operator()() const noexcept {
    if (!wanted) {
        return 0;
    }
    if (const int error = error_of(system_call(SYS_setgroups, groups.size, groups.first))) {
        return error;
    }
    return error_of(system_call(SYS_setresgid, gid, gid, gid));
}

int SetUser::operator()() const noexcept {
    if (!wanted) {
        return 0;
    }
    // From root the kernel drops all capabilities at setuid; from another user that holds
    // CAP_SETUID it drops none (capabilities(7)), so they are dropped by hand. Root stays root.
    if (uid != 0) {
        (void)system_call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    }
    if (const int error = error_of(system_call(SYS_setresuid, uid, uid, uid))) {
        return error;
    }
    if (uid == 0) {
        return 0;
    }
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    return error_of(system_call(SYS_capset, &header, &none[0]));
}

int SetDeathSignal::operator()() const noexcept {
    if (signal == 0) {
        return 0;
    }
    if (const int error = error_of(system_call(SYS_prctl, PR_SET_PDEATHSIG, signal, 0, 0, 0))) {
        return error;
    }
    // It may have died before it was asked for.
    return system_call(SYS_getppid) == parent ? 0 : ESRCH;
}

int ChangeDirectory::operator()() const noexcept {
    return path == nullptr ? 0 : error_of(system_call(SYS_chdir, path));
}

int PatchPid::operator()() const noexcept {
    char digits[kPidRoom];
    std::size_t count = 0;
    for (auto rest = static_cast<unsigned>(system_call(SYS_getpid)); rest != 0; rest /= 10U) {
        digits[count++] = static_cast<char>('0' + rest % 10U);
    }
    for (char* place : places) {
        for (std::size_t i = 0; place != nullptr && i < count; ++i) {
            place[i] = digits[count - 1 - i];
        }
    }
    return 0;
}

int exec_first(const char* const* candidates, const char* const* argv,
               const char* const* environment) noexcept {
    int result = ENOENT;
    for (; *candidates != nullptr; ++candidates) {
        const int error = error_of(system_call(SYS_execve, *candidates, argv, environment));
        switch (error) {
            case EACCES:
                result = EACCES;
                break;
            case ENOENT:
            case ENOTDIR:
            case ESTALE:
            case ENODEV:
            case ETIMEDOUT:
                break;
            default:
                return error;
        }
    }
    return result;
}

void fail(int report_fd, const Report& report) noexcept {
    // Nobody may be reading any more: the exit code says as much as can be said then.
    (void)system_call(SYS_write, report_fd, &report, sizeof report);
    while (true) {
        (void)system_call(SYS_exit_group,
                          report.stage == SpawnStage::Lane ? kExitLane : kExitSpawn);
    }
}

}  // namespace topsman::posix::steps
