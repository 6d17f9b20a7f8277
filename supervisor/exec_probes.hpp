#pragma once

// `ready: { by: exec }`: a command is run for each starting worker, again and again until it ends
// with 0. A run is a child of the master like any other: launched, watched and reaped by its pidfd,
// and killed as a group when it takes too long, when its worker needs it no more, and by the kernel
// when the master dies.

#include "supervisor/core/types.hpp"
#include "supervisor/fd_watch.hpp"
#include "supervisor/posix/launcher.hpp"
#include "supervisor/posix/output_pipe.hpp"

#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace topsman::supervisor {

class ExecProbes {
  public:
    /// So many run at once, of all workers; the others wait for their turn. (A run that was killed
    /// does not count: who cannot be killed is not waited for.)
    static constexpr std::size_t kMostAtOnce = 8;

    struct Plan {
        posix::ChildSetup setup;  ///< but its output, which is a pipe of ours
        config::Duration interval{0};
        config::Duration run_timeout{0};
    };

    /// What a run of that worker's probe came to; nothing: it has succeeded, and is not run again.
    using Done = std::function<void(core::WorkerId, std::optional<std::string>)>;

    ExecProbes(boost::asio::io_context& io, Done done);
    /// Kills what runs; whoever reaps the orphans finds it.
    ~ExecProbes();
    ExecProbes(const ExecProbes&) = delete;
    ExecProbes& operator=(const ExecProbes&) = delete;

    /// First at once; then with pauses that grow from a sixteenth of the interval to all of it.
    void begin(core::WorkerId worker, const Plan& plan);
    /// It is ready, it leaves or it is dead.
    void end(core::WorkerId worker);
    /// Ends the runs under way, and not the probing: another program takes this one's place, or
    /// fails to.
    void cut_short();

    [[nodiscard]] bool is_probing(core::WorkerId worker) const { return probed_.contains(worker); }

    /// What its run has come to so far: "has not ended after 2s: waiting for the database". Nothing
    /// of one that has run for less than an interval, where one before it has come to something.
    [[nodiscard]] std::optional<std::string> under_way(core::WorkerId worker) const;

    /// Is that process a run, not yet reaped?
    [[nodiscard]] bool owns(pid_t pid) const;

  private:
    struct Probed {
        Plan plan;
        config::Duration pause{0};  ///< after the next failure
        bool waits = false;         ///< for its turn
        bool has_failed = false;    ///< at least once
        boost::asio::steady_timer timer;

        Probed(boost::asio::io_context& io, Plan wanted) : plan(std::move(wanted)), timer(io) {}
    };

    struct Run {
        std::uint64_t id = 0;
        std::optional<core::WorkerId> worker;  ///< none: nobody wants to know how it ends
        bool is_late = false;
        bool is_killed = false;
        core::TimePoint since;
        config::Duration timeout{0};
        std::string last_line;
        posix::OutputPipe output;
        posix::SpawnReport report;
        posix::Child child;
        boost::asio::steady_timer timer;
        FdWatch exit_watch;
        FdWatch output_watch;

        Run(boost::asio::io_context& io, posix::OutputPipe pipe, posix::Launched launched)
            : output(std::move(pipe)),
              report(std::move(launched.report)),
              child(std::move(launched.child)),
              timer(io),
              exit_watch(io, child.pidfd()),
              output_watch(io, output.fd()) {}
    };

    void run_when_due(core::WorkerId worker, config::Duration pause);
    void take_turns();
    [[nodiscard]] Result<void> run(core::WorkerId worker, const Plan& plan);
    void fail(core::WorkerId worker, const std::string& result);
    [[nodiscard]] Run* find(std::uint64_t id);
    void wait_for_exit(std::uint64_t id);
    void wait_for_output(std::uint64_t id);
    void on_exit(std::uint64_t id);
    /// False: every writer is gone.
    static bool read_output(Run& run);
    static void take_line(Run& run, std::string_view line);
    static void kill(Run& run);

    boost::asio::io_context& io_;
    Done done_;
    std::uint64_t last_run_ = 0;
    std::map<core::WorkerId, Probed> probed_;
    std::list<core::WorkerId> queue_;
    std::list<Run> runs_;
};

}  // namespace topsman::supervisor
