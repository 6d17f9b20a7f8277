#pragma once

// A started process, from the master's side.
//
// The pidfd is the only handle that is ever signalled or waited on: a pid can be used again, a
// pidfd cannot. The group is signalled only while its leader is not reaped, so its number is still
// ours.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"
#include "supervisor/core/types.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

namespace topsman::posix {

class Child {
  public:
    Child(pid_t pid, UniqueFd pidfd) noexcept : pid_(pid), pidfd_(std::move(pidfd)) {}

    /// A process that a dead master left: the very one that had this pid and start time, else
    /// errc::no_such_process. It is not our child: it is signalled and watched, reaped by others.
    [[nodiscard]] static Result<Child> open(std::uint32_t pid, std::uint64_t start_ticks);

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }

    /// To the process itself. A process that is dead already is no error.
    Result<void> signal(int number) const;
    /// To its whole process group, while the leader is not reaped (a zombie leader is still good).
    Result<void> signal_group(int number) const;

    /// Looks without reaping (WNOWAIT): has it ended? Never blocks. How a process that is not our
    /// child ended, the kernel says once somebody has reaped it (PIDFD_GET_INFO, Linux 6.15); until
    /// then, and on older ones, it is Kind::Unknown.
    [[nodiscard]] std::optional<core::ExitReport> peek() const;
    /// After an Unknown: the kernel will say more as soon as it is reaped.
    [[nodiscard]] bool exit_may_follow() const noexcept;
    /// Reaps. Only after peek() said that it ended; never blocks.
    Result<void> reap();

    /// A duplicate of one of its own descriptors, pidfd_getfd(2): takes the right to trace it.
    [[nodiscard]] Result<UniqueFd> take_fd(int number) const;

    /// Unique as long as the machine runs, where pidfs(5) is (Linux 6.9); else 0.
    [[nodiscard]] std::uint64_t inode() const noexcept;

  private:
    pid_t pid_;
    UniqueFd pidfd_;
};

/// Has any child been stopped (SIGSTOP, a debugger) since this was last asked? Never blocks.
[[nodiscard]] bool take_stops() noexcept;

/// To each process of a session but its leader, found in /proc: what a process group is to kernels
/// that do not signal one through a pidfd. A session's number is not used again while it has
/// members.
void signal_session(pid_t session, int number);

/// "exited with code 3", "killed by SIGSEGV (core dumped)", "chdir /srv/app: No such file or ..."
[[nodiscard]] std::string describe(const core::ExitReport& report);

}  // namespace topsman::posix
