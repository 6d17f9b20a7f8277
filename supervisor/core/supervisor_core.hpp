#pragma once

// The brain of the master: events in, actions out. Deterministic and total; time is an argument.
//
// What is wanted (a number of workers for each pool, in a generation) and what is there (slots,
// each with its current worker, perhaps a successor, and workers that leave) are kept apart;
// reconcile() closes the gap after every event, so a crash, a command and a reload need no cases of
// their own. step() = apply the event, expire() what is due, reconcile().

#include "supervisor/core/action.hpp"
#include "supervisor/core/event.hpp"
#include "supervisor/core/inheritance.hpp"
#include "supervisor/core/types.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace topsman::core {

/// What the shell publishes. Plain values, made anew by snapshot().
struct WorkerView {
    WorkerId worker;
    SlotId slot;
    Role role;
    WorkerState state;
    Generation generation;
    SpareStage spare;
    TimePoint spawned_at;
    std::optional<TimePoint> ready_at;
    std::optional<TimePoint> last_beat;
    std::optional<TimePoint> deadline;  ///< of its state
};

struct SlotView {
    SlotId slot;
    SlotPhase phase;
    std::optional<TimePoint> not_before;  ///< Waiting
    std::uint64_t restarts = 0;           ///< workers started in it after its first
    std::uint32_t failures = 0;           ///< in a row
    bool lasts = true;                    ///< no reload under way takes it away at its end
};

struct PoolView {
    PoolId pool;
    std::string name;
    std::uint32_t wanted = 0;
    std::uint32_t configured = 0;  ///< workers in the file; `wanted` may have been scaled
    std::uint32_t ready = 0;       ///< workers Serving
    std::uint32_t spares = 0;      ///< wanted beyond `wanted`
    std::uint32_t drained = 0;     ///< of `wanted`: slots that the operator took out of use
    std::uint32_t failures = 0;    ///< early deaths in a row, of all slots
    TimePoint not_before{};        ///< its own delay, while nobody in it is ready
    bool breaker_open = false;     ///< its own, or that of a slot which was given up
    bool pool_given_up = false;    ///< its own
    Generation generation;         ///< the newest wanted
    RolloutStage stage = RolloutStage::Idle;
    std::string rollout;  ///< "", "rolling 2/4", "rolled back: web/0: ..."
    std::vector<SlotView> slots;
};

struct Snapshot {
    Phase phase = Phase::Running;
    Generation generation;
    std::vector<PoolView> pools;
    std::vector<WorkerView> workers;
};

struct MeasureWish {
    WorkerId worker;
    bool requests = false;
    bool memory = false;
};

/// What a reload would do to one pool.
struct PoolPlan {
    std::string pool;
    bool is_new = false;
    bool is_removed = false;
    std::uint32_t started = 0;   ///< more workers than there are
    std::uint32_t ended = 0;     ///< fewer
    std::uint32_t replaced = 0;  ///< by new ones
    bool sends_canary = false;   ///< one of these first
};

class SupervisorCore {
  public:
    /// Nothing is started before the first step(). `jitter_seed` makes the same run the same.
    SupervisorCore(config::Config config, std::uint64_t jitter_seed);
    ~SupervisorCore();
    SupervisorCore(const SupervisorCore&) = delete;
    SupervisorCore& operator=(const SupervisorCore&) = delete;

    /// Total: defined for every event in every state. Appends to `out`. A sign of life judges
    /// nobody: several may have arrived at once, and the first must not find the others late.
    void step(const Event& event, TimePoint now, std::vector<Action>& out);

    /// When step(Tick) must be called at the latest. The shell arms one timer.
    [[nodiscard]] std::optional<TimePoint> next_deadline() const;

    /// Workers whose watchdog or abort deadline is due at `now`: before it steps, the shell looks
    /// for a late sign of life (the lane's heartbeat) or a core being written, and sends that
    /// first.
    [[nodiscard]] std::vector<WorkerId> due_for_judgement(TimePoint now) const;

    /// What `recycle` wants to know of which workers at `now`; the shell answers with Measured.
    /// Empty until it is time, and for ever where no pool limits requests or memory.
    [[nodiscard]] std::vector<MeasureWish> due_for_measuring(TimePoint now) const;

    [[nodiscard]] Snapshot snapshot() const;

    /// Generations that a living worker runs or a slot may still spawn; the shell keeps their
    /// specs.
    [[nodiscard]] std::set<Generation> generations_in_use() const;

    /// The configuration in force, which policies are taken from: the last one accepted, unless it
    /// was rolled back.
    [[nodiscard]] const config::Config& config() const;

    /// Counts what was in force, and how far it was: the same number, the same legacy().
    [[nodiscard]] std::uint64_t revision() const;

    /// What the next master has to know, should this one die now.
    [[nodiscard]] Legacy legacy() const;

    /// What this master has to know when it is executed anew: Adopt of it in a new core gives the
    /// same snapshot(). Only while no change and no rollout is under way: these are not in it.
    [[nodiscard]] Inheritance inheritance() const;

    /// What a pool's workers are judged by; none: there is no such pool. A pool that a reload takes
    /// away keeps its own until it is gone.
    [[nodiscard]] const config::Pool* policy(PoolId pool) const;

    /// The same with as many workers as there are now, after `scale`.
    [[nodiscard]] config::Config config_as_scaled() const;

    /// What Reload would do now, one for each pool of before or after. Nothing is changed.
    [[nodiscard]] std::vector<PoolPlan> plan(const config::Config& wanted) const;

    [[nodiscard]] std::uint64_t ignored_events() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace topsman::core
