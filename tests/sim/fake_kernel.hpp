#pragma once

// The world below the core: processes that start, talk, hang, ignore signals and end, each event at
// its time. It carries out the core's actions as the shell would and never decides anything.

#include "supervisor/core/action.hpp"
#include "supervisor/core/event.hpp"
#include "tests/sim/fault_plan.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

namespace topsman::sim {

class FakeKernel {
  public:
    /// How a process behaves, where nothing is left to chance.
    using Script = std::function<Behaviour(const core::Spawn&, const config::Pool&)>;

    explicit FakeKernel(FaultPlan& plan, Script script = {})
        : plan_(plan), script_(std::move(script)) {}

    void spawn(const core::Spawn& spawn, const config::Pool& pool, TimePoint now);
    void signal(const core::Signal& signal, TimePoint now);
    /// Somebody who is not the master sends SIGKILL.
    void strike(core::WorkerId worker, TimePoint now);
    /// The shell answers in time, whatever the process does; but not when its master is gone.
    void park(core::WorkerId worker, TimePoint now);
    void release(core::WorkerId worker, core::SlotId slot);
    /// There is no master: of those that it was parking some stand still, and nobody looks at them.
    void forget_parking();
    /// Somebody who is not the master sends SIGCONT.
    void continue_some();

    /// From now on every new process behaves, and the living ones cease to misbehave.
    void heal() { healed_ = true; }

    [[nodiscard]] std::optional<TimePoint> next_time() const;
    /// What happened up to `now`, signs of life first.
    [[nodiscard]] std::vector<core::Event> happened(TimePoint now);

    /// The shell's look at a worker before it is judged.
    [[nodiscard]] std::optional<core::Event> last_look(core::WorkerId worker, TimePoint now);

    [[nodiscard]] std::size_t living() const { return processes_.size(); }

    [[nodiscard]] bool lives(core::WorkerId worker) const { return processes_.contains(worker); }

    [[nodiscard]] std::optional<core::WorkerId> somebody_dead();

    /// Nobody lives, and all numbers are given out again.
    void forget_the_dead() {
        dead_.clear();
        lanes_.clear();
        due_ = {};
    }

    /// Also when there was nobody to hear it: its lane says so.
    [[nodiscard]] bool has_said_ready(core::WorkerId worker) const;

    /// Of a spare, what its lane and the process say; of a dead one, what they said.
    [[nodiscard]] core::SpareSigns signs_of(core::WorkerId worker) const;
    /// By SIGSTOP.
    [[nodiscard]] bool is_stopped(core::WorkerId worker) const;
    /// It is being parked.
    [[nodiscard]] bool is_watched(core::WorkerId worker) const;

    [[nodiscard]] std::vector<core::WorkerId> all_living() const;

    /// Nobody is just being started.
    [[nodiscard]] bool all_executed() const;

    /// The master died while these were being started: some come too late to be recorded, and end
    /// as their first act. Returns those.
    std::vector<core::WorkerId> end_unrecorded();

  private:
    enum class What : std::uint8_t {
        Executed,
        IsParked,
        CannotPark,
        Ready,
        CannotBeSeen,
        ProbeFails,
        Beat,
        SaysStopping,
        AsksAbort,
        AsksExtension,
        Ends,
    };

    struct Due {
        TimePoint at;
        std::uint64_t order;
        core::WorkerId worker;
        What what;
    };

    struct Later {
        bool operator()(const Due& a, const Due& b) const {
            return a.at != b.at ? a.at > b.at : a.order > b.order;
        }
    };

    struct Process {
        Behaviour behaviour;
        TimePoint spawned;
        TimePoint ends = TimePoint::max();
        core::ExitReport report;
        bool dumping = false;
        bool is_spare = false;
        bool parks_itself = false;  ///< when it is ready, if it is a spare
        core::SpareSigns lane;
        bool stopped = false;
        std::uint64_t watch = 0;  ///< the answer to Park that is awaited; 0: none
        bool executed = false;

        /// It says nothing.
        [[nodiscard]] bool stands_still() const { return stopped || lane.waits; }

        bool said_ready = false;
        config::ReadyBy ready_by = config::ReadyBy::Notify;  ///< how it will be known
    };

    std::uint64_t schedule(core::WorkerId worker, What what, TimePoint at);
    /// A spare does not wait any more: for that seat, or for its end.
    static void let_go(Process& process, std::optional<std::uint32_t> seat);
    /// It ends at that time, unless it ends before.
    void end_at(core::WorkerId id, Process& process, TimePoint at, core::ExitReport report);
    [[nodiscard]] std::optional<core::Event> event_of(const Due& due);
    [[nodiscard]] bool hangs(const Process& process, TimePoint at) const;

    FaultPlan& plan_;
    Script script_;
    bool healed_ = false;
    std::uint64_t order_ = 0;
    std::map<core::WorkerId, Process> processes_;
    std::map<core::WorkerId, core::SpareSigns> lanes_;  ///< of dead spares
    std::vector<core::WorkerId> dead_;
    std::priority_queue<Due, std::vector<Due>, Later> due_;
};

}  // namespace topsman::sim
