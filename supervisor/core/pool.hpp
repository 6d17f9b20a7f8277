#pragma once

// What is wanted of one pool and how far it is: its slots, its failures, its breaker, its rollout.
// Values and questions about them; what follows from the answers is reconcile's business.

#include "supervisor/core/backoff.hpp"
#include "supervisor/core/slot.hpp"
#include "supervisor/core/start_limit.hpp"
#include "supervisor/core/worker.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace topsman::core {

using Workers = std::map<WorkerId, Worker>;
struct Census;

/// Replacing the workers of a pool by others, of the same or of a newer generation.
struct Rollout {
    std::uint64_t id = 0;
    std::optional<Generation> target;  ///< none: each slot anew in its own generation
    RolloutStage stage = RolloutStage::Rolling;
    std::uint32_t total = 0;  ///< slots to renew
    std::uint32_t done = 0;

    // Canary: the one worker that goes first, and since when it has been ready.
    std::optional<WorkerId> canary;
    std::optional<TimePoint> observed_since;

    std::uint32_t failures = 0;  ///< RollingBack does not give up
    TimePoint not_before{};      ///< the next one: after rollout.delay, or a failure of RollingBack
};

struct Pool {
    PoolId id;
    config::Pool spec;
    bool removed = false;     ///< no longer in the configuration; its last workers leave
    Generation generation;    ///< the newest wanted
    Generation stable;        ///< the newest that was rolled out whole: what new slots start from
    std::vector<Slot> slots;  ///< by number, but those last that a reload under way takes away

    std::uint32_t failures = 0;  ///< early deaths in a row, of all slots
    TimePoint not_before{};      ///< the pool's own delay, while nobody in it is ready
    Duration spacing{};          ///< from one paced start to the next
    StartLimit start_limit;
    bool breaker_open = false;

    std::uint32_t spare_failures = 0;  ///< deaths of spares in a row
    TimePoint spare_not_before{};      ///< the next one is not started earlier
    std::uint64_t spare_batch = 0;     ///< those of an earlier one are not used any more

    std::optional<Rollout> rollout;
    std::string rollout_end;  ///< how the last one ended, if not well: "failed: web/0: ..."
    /// Workers of this generation were ready by the time alone, as nobody said by what they are:
    /// none was seen listening.
    std::optional<Generation> unseen;
    TimePoint up_deadline{};  ///< the service is called up without it from here on

    [[nodiscard]] Slot* find_slot(SlotId slot);
    [[nodiscard]] const Slot* find_slot(SlotId slot) const;
    /// The lowest number that no slot has.
    [[nodiscard]] std::uint32_t free_number() const;
    /// Is it one of the first so many? Those behind them are taken away.
    [[nodiscard]] bool is_among_first(const Slot& slot, std::size_t size) const;
    void sort_slots();
    [[nodiscard]] Role role_of(const Worker& worker) const;
    /// "web/0".
    [[nodiscard]] std::string name_of(SlotId slot) const;
    [[nodiscard]] std::uint32_t max_surge() const;

    /// Its newest generation is neither rolled out whole nor taken back.
    [[nodiscard]] bool is_half() const { return !removed && generation != stable; }

    [[nodiscard]] RolloutStage rollout_stage() const;
    /// "", "canary 0/4", "rolling 2/4", "paused: web/0: new worker exited with code 1",
    /// "rolling 2/4, 5s apart", "rolling 2/4: waits until some of 5 workers have left".
    [[nodiscard]] std::string rollout_in_words(const Census& census) const;
    /// When the canary has been ready for long enough; none: it is not ready.
    [[nodiscard]] std::optional<TimePoint> observed_until() const;

    /// Slots that are to have a worker: all but the drained ones.
    [[nodiscard]] std::size_t slots_in_use() const;

    /// What another reload or restart has overtaken is not for a seat any more.
    [[nodiscard]] bool is_of_use(const Worker& spare) const;

    /// Failure counts, breaker and start limit begin anew.
    void forgive();
    /// Each slot that failed or was finished is filled at once.
    void restart_empty_slots();
};

/// A pool's workers, counted.
struct Census {
    std::uint32_t living = 0;
    std::uint32_t serving = 0;
    std::uint32_t leaving = 0;     ///< without a seat
    std::uint32_t successors = 0;  ///< not yet in their seat
    std::uint32_t spares = 0;      ///< not counted as serving
};

[[nodiscard]] Census count(const Pool& pool, const Workers& workers);

/// When an empty slot is filled; none: not by time.
[[nodiscard]] std::optional<TimePoint> spawn_time(const Pool& pool, const Slot& slot,
                                                  const Census& census);

/// The one worker that goes first is under way: nobody follows yet.
[[nodiscard]] bool canary_is_out(const Pool& pool);

[[nodiscard]] bool is_serving(WorkerId worker, const Workers& workers);

struct Replacement {
    SlotId slot;
    TimePoint due;
    bool leaves_first = false;  ///< no surplus is allowed: the old worker goes before the new comes
};

/// The next slot whose living worker a rollout may replace now. `lasting`: the slots behind
/// so many are taken away at its end.
[[nodiscard]] std::optional<Replacement> next_renewal(const Pool& pool, const Workers& workers,
                                                      const Census& census, std::size_t lasting);

/// The worker that `recycle` replaces next; one at a time, never beside a rollout.
[[nodiscard]] std::optional<Replacement> next_recycling(const Pool& pool, const Workers& workers,
                                                        const Census& census);

/// The spare that takes a seat of that generation now: a parked one before one that serves anyway,
/// of equals the oldest. None: there is none that is ready.
[[nodiscard]] std::optional<WorkerId> next_spare(const Pool& pool, const Workers& workers,
                                                 Generation generation);

/// Nothing can become ready here any more without the operator.
[[nodiscard]] bool is_given_up(const Pool& pool);

}  // namespace topsman::core
