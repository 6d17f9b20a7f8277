#pragma once

// Before the master executes a program in its own place, that program has to prove, as a child,
// that it could go on: `topsman --upgrade-check` reads the state and the configuration in force and
// looks at the segment, and says so.

#include "shm/base/result.hpp"
#include "supervisor/fd_watch.hpp"
#include "supervisor/posix/launcher.hpp"

#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <optional>
#include <string>

namespace topsman::supervisor {

inline constexpr const char* kUpgradeCheck = "--upgrade-check";

/// The child's side: its exit code, 0 or 1. What it prints is for the master.
int check_handover();

/// The master's side: one check, of one program.
class UpgradeCheck {
  public:
    /// The version of the program that can go on, or why none can; once, in the loop.
    using Done = std::function<void(Result<std::string>)>;

    explicit UpgradeCheck(boost::asio::io_context& io);
    /// Ends a child that is still there.
    ~UpgradeCheck();
    UpgradeCheck(const UpgradeCheck&) = delete;
    UpgradeCheck& operator=(const UpgradeCheck&) = delete;

    /// `state`: the sealed text. Error: the child cannot be started.
    Result<void> start(const std::string& program, int state, int lock_fd, Done done);

    /// Is that process its child, not yet reaped?
    [[nodiscard]] bool owns(pid_t pid) const;

  private:
    void wait();
    void end(bool in_time);
    [[nodiscard]] std::string words() const;

    boost::asio::io_context& io_;
    boost::asio::steady_timer timer_;
    Done done_;
    std::string program_;
    UniqueFd output_;
    std::optional<posix::SpawnReport> report_;
    std::optional<posix::Child> child_;
    std::optional<FdWatch> watch_;
};

}  // namespace topsman::supervisor
