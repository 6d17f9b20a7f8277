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

    /// Looks without reaping (WNOWAIT): has it ended? Never blocks. Of a process that is not our
    /// child only that it ended can be said: Kind::Unknown.
    [[nodiscard]] std::optional<core::ExitReport> peek() const;
    /// Reaps. Only after peek() said that it ended; never blocks.
    Result<void> reap();

  private:
    pid_t pid_;
    UniqueFd pidfd_;
};

/// Has any child been stopped (SIGSTOP, a debugger) since this was last asked? Never blocks.
[[nodiscard]] bool take_stops() noexcept;

/// "exited with code 3", "killed by SIGSEGV (core dumped)", "chdir /srv/app: No such file or ..."
[[nodiscard]] std::string describe(const core::ExitReport& report);

}  // namespace topsman::posix
