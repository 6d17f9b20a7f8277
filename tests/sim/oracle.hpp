#pragma once

// Watches the core from outside: keeps its own books of every process, slot and ticket, from the
// events and actions alone, and says which named property is broken first. It knows the promises,
// not the code.

#include "supervisor/core/supervisor_core.hpp"

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace topsman::sim {

using core::Duration;
using core::TimePoint;

/// Every property, in the order of mutants.md. The last ones are the simulation's own: what must
/// have come true after the healing.
inline constexpr std::array kProperties{
    "NoSignalAfterReap",
    "OneCurrentPerSlot",
    "SurgeWithinLimit",
    "AvailabilityFloorDuringRollout",
    "BadGenerationNeverEmptiesPool",
    "RolloutStopsAtFirstFailure",
    "CanaryIsObserved",
    "RolloutKeepsDelay",
    "RollbackGoesBack",
    "BackoffRespected",
    "PoolIsPaced",
    "IntensityRespected",
    "EveryWorkerHasDeadline",
    "EscalationOrder",
    "StallDoesNotKill",
    "ReadyIsTrue",
    "StaleEventsHarmless",
    "BoundedMemory",
    "NoSpawnWhileStopping",
    "EveryTicketAnsweredOnce",
    "DoneMeansDone",
    "OneObituaryPerDeath",
    "LeavingIsNoFailure",
    "DrainedStaysEmpty",
    "DrainLeavesSomebody",
    "LeastBusyLeave",
    "SpareIsNoWorker",
    "SpareTakesTheSeat",
    "SparesAreBounded",
    "SparesArePaced",
    "ParkedIsTrue",
    "SpareKnowsItsSlot",
    "OldGenerationsBounded",
    "NoBusyTick",
    "SpecIsKnown",
    "EverybodyIsAdopted",
    "DecisionsOutliveTheMaster",
    "UpgradeIsUnnoticed",
    "SameSeedSameTrace",
    "HealsInTime",
    "EndsAfterStop",
};

struct Violation {
    std::string property;
    std::string what;
};

class Oracle {
  public:
    /// Before the core sees the event.
    void before(const core::Event& event, TimePoint now, const core::SupervisorCore& core);
    /// After it has acted on it.
    void after(const std::vector<core::Action>& actions, const core::SupervisorCore& core);

    /// A new master has adopted what a dead one left, before it acts on it: from now on only what
    /// it can know counts.
    void begin_again(const core::Inheritance& left, TimePoint now,
                     const core::SupervisorCore& core);

    /// The same master goes on in another core, which has other numbers for the pools.
    void go_on_with(const core::Snapshot& before, const core::Snapshot& after);

    [[nodiscard]] const std::optional<Violation>& violation() const { return violation_; }

    void report(const std::string& property, const std::string& what);

    [[nodiscard]] std::size_t open_tickets() const { return open_tickets_.size(); }

    [[nodiscard]] bool ended() const { return ended_; }

  private:
    struct Life {
        core::SlotId slot;
        core::Generation generation;
        TimePoint spawned;
        TimePoint since;  ///< what its time-out counts from
        std::optional<TimePoint> extended_until;
        std::optional<TimePoint> ready_at;
        TimePoint observed_since;  ///< ready_at, less the time in which the master was away
        bool goes_first = false;   ///< started while the canary was awaited
        bool adopted = false;
        bool executed = false;
        bool said_ready = false;
        bool cannot_tell = false;  ///< nobody can, whether it listens
        bool said_stopping = false;
        bool asked_abort = false;
        bool terminated = false;
        bool aborted = false;
        bool killed = false;
        bool served_before = false;  ///< at the beginning of this turn
        std::uint32_t in_flight = 0;
        bool is_spare = false;
        bool is_parked = false;

        [[nodiscard]] bool undisturbed() const {
            return !terminated && !said_stopping && !aborted && !killed;
        }

        [[nodiscard]] bool serves() const { return ready_at && undisturbed() && !is_spare; }

        [[nodiscard]] bool starts() const { return !ready_at && undisturbed(); }
    };

    struct SlotBook {
        std::uint32_t failures = 0;
        std::optional<TimePoint> early_death;
        std::optional<core::Generation> proven;
    };

    struct PoolBook {
        config::Pool spec;
        std::map<std::uint32_t, SlotBook> slots;
        std::uint32_t wanted = 1;
        std::uint32_t failures = 0;
        std::optional<TimePoint> early_death;
        std::uint32_t seats = 1;  ///< at that death: they share the delay
        std::vector<TimePoint> limit_failures;
        std::optional<TimePoint> spare_death;
        std::uint32_t spare_failures = 0;  ///< deaths of them in a row
        bool given_up = false;
        std::optional<core::Generation> unseen;  ///< of it somebody was ready by the time alone
        bool rolling_before = false;
        core::RolloutStage stage_before = core::RolloutStage::Idle;
        core::Generation generation_before;
        std::optional<core::Generation> whole;  ///< what was rolled out to the end
        bool canary_passed = false;             ///< in this turn
        bool went_back = false;                 ///< in this turn
        std::uint32_t served_before = 0;
        core::WorkerId last_before_rollout;
        std::optional<TimePoint> replaced_at;          ///< by the rollout under way, the last one
        std::optional<core::WorkerId> replaces_early;  ///< in this turn
    };

    struct TicketBook {
        std::set<core::WorkerId> to_be_gone;  ///< when it is answered with Done
    };

    // What happened.
    void note(const core::Spawned& event);
    void note(const core::BecameReady& event);

    static void note(const core::Probed& /*event*/) {}  // words only

    void note(const core::CannotTell& event);
    void note(const core::Beat& event);
    void note(const core::AskedAbort& event);
    void note(const core::AskedExtension& event);
    void note(const core::SaidStopping& event);
    void note(const core::DumpsCore& event);
    void note(const core::Exited& event);
    void note(const core::Parked& event);
    void note(const core::NotParked& event);

    static void note(const core::Measured& /*event*/) {
    }  // a replacement is judged when it is spawned

    void note(const core::Busy& event);
    void note(const core::Reload& event);
    void note(const core::Rollback& event);
    void note(const core::Scale& event);
    void note(const core::Restart& event);
    void note(const core::Drain& event);
    void note(const core::ResetFailed& event);
    void note(const core::Stop& event);
    void note(const core::Tick& event);
    void note(const core::Stalled& event);

    void note(const core::Adopt& /*event*/) {}  ///< begin_again() notes it

    void open(core::Ticket ticket, std::set<core::WorkerId> to_be_gone = {});
    void forgive(PoolBook& pool);
    Life* find(core::WorkerId worker);
    void learn_pools(const core::SupervisorCore& core);
    void take_over(const core::LeftWorker& left, const core::WorkerView& view);
    void take_over(const core::LeftPool& left, const core::PoolView& view);
    void forget_failures();
    [[nodiscard]] std::uint32_t serving(core::PoolId pool) const;
    [[nodiscard]] std::uint32_t served_slots(core::PoolId pool) const;

    // What the core does about it.
    void judge(const core::Spawn& spawn);
    void judge_spare(const core::Spawn& spawn);
    void judge(const core::Park& park);
    void judge(const core::Release& release);
    void judge(const core::Signal& signal);
    void judge(const core::Announce& announce);
    void judge(const core::Obituary& obituary);
    void judge(const core::Reply& reply);
    void judge(const core::ServiceUp& up);
    void judge(const core::Exit& exit);
    void judge_delay(const core::Spawn& spawn, const PoolBook& pool, const SlotBook& slot);
    void judge_rollout_delay(const core::Spawn& spawn, PoolBook& pool);
    void note_replacement(core::WorkerId replaced, const Life& life);
    void judge_canary(const core::Announce& announce);
    void judge_abort(core::WorkerId id, const Life& life);
    void judge_kill(core::WorkerId id, const Life& life);
    [[nodiscard]] bool past(const Life& life, Duration time_out) const;
    [[nodiscard]] static bool by_age(const Life& life, const config::Ready& ready);
    [[nodiscard]] bool is_ready(const Life& life, const config::Ready& ready) const;
    [[nodiscard]] bool too_many_generations(const Life& life) const;

    // How it looks afterwards.
    void check_death(const core::Snapshot& snapshot);
    void check_seats(const core::Snapshot& snapshot);
    void check_deadlines(const core::Snapshot& snapshot, const core::SupervisorCore& core);
    void check_replacements(const core::Snapshot& snapshot);
    void check_canary(const core::PoolView& view);
    void check_way_back(const core::Snapshot& snapshot);
    void check_generations(const core::Snapshot& snapshot);
    void check_leavers(const core::Snapshot& snapshot);
    void check_old_generations(const core::Snapshot& snapshot, const core::SupervisorCore& core);
    void check_drained(const core::Snapshot& snapshot);
    void check_newly_drained(const core::PoolView& view, core::SlotId slot);
    void check_spares(const core::Snapshot& snapshot, const core::SupervisorCore& core);
    void check_abandoned(const core::PoolView& view);
    void check_bounds(const core::Snapshot& snapshot, const core::SupervisorCore& core);
    void check_tick(const std::vector<core::Action>& actions, const core::SupervisorCore& core);

    std::optional<Violation> violation_;
    TimePoint now_{};
    bool judges_ =
        false;  ///< what is due now is acted on in this step, not in the Tick that follows
    bool tick_ = false;
    bool quiet_stale_ = false;  ///< an event of the dead while nothing is due
    std::map<core::WorkerId, Life> living_;
    std::map<core::PoolId, PoolBook> pools_;
    std::map<core::Ticket, TicketBook> open_tickets_;
    std::set<core::Ticket> answered_;
    std::set<core::SlotId> drained_;
    std::map<std::string, std::set<core::Generation>> abandoned_;  ///< by pool: was rolled back
    core::WorkerId newest_;
    std::optional<core::StopMode> stopping_;
    std::optional<TimePoint> fast_since_;
    bool ended_ = false;
    bool up_ = false;
    const core::SupervisorCore* core_ = nullptr;
    core::Ticket newest_reload_;

    // Of this turn.
    std::optional<std::pair<core::WorkerId, Life>> died_;
    bool finished_ = false;  ///< and is not wanted again
    std::uint32_t obituaries_ = 0;
    std::optional<core::Scale> scale_;  ///< was asked for
    std::set<core::SlotId> slots_before_;
    std::optional<core::Drain> drain_;      ///< was asked for
    std::optional<core::Restart> restart_;  ///< was asked for
    bool started_anew_ = false;             ///< a rollout began
    bool rolled_back_ = false;              ///< somebody is told so
    std::vector<core::Spawn> spawned_;
    std::vector<core::Spawn> released_;  ///< of these, who was a spare
    std::vector<core::WorkerId> sent_away_;
    std::vector<core::WorkerId> done_but_there_;
};

}  // namespace topsman::sim
