#pragma once

// One incarnation of a process in a slot. It exists from the request to spawn it until it is
// reaped. It knows its state and the time that the state's deadline counts from; the time-outs
// themselves are the pool's and may change under it.

#include "supervisor/core/transition.hpp"
#include "supervisor/core/types.hpp"

#include <optional>
#include <string>

namespace topsman::core {

/// SIGKILL was sent and the process is still there: say so, and send it again.
inline constexpr Duration kKillAlarm = std::chrono::seconds(10);
/// A core being written delays SIGKILL for so long, counted from the abort.
inline constexpr Duration kLongestCoreDump = std::chrono::seconds(60);
/// A fast stop gives every worker at most this.
inline constexpr Duration kFastDrain = std::chrono::seconds(2);
/// A single EXTEND_TIMEOUT_USEC counts for at most this; it may be sent again.
inline constexpr Duration kLongestExtension = std::chrono::hours(24);

struct Worker {
    WorkerId id;
    SlotId slot;
    Generation generation;
    std::uint64_t rollout = 0;  ///< the rollout that it was started by; 0: none
    double recycle_jitter = 0;  ///< its share of recycle.jitter, in [-1, 1)

    WorkerState state = WorkerState::Starting;
    TimePoint spawned_at;
    TimePoint since;  ///< the state's deadline counts from here: its entry, or the last renewal
    std::optional<TimePoint> extended_until;  ///< the deadline is not before this
    bool executed = false;                    ///< exec succeeded
    bool adopted = false;      ///< of a dead master: what it said while there was none is lost
    bool outdated = false;     ///< what it was executed from is not known any more
    bool cannot_tell = false;  ///< whether it listens: its age has to do, if nobody said by what
    SpareStage spare = SpareStage::None;
    std::uint64_t spare_batch = 0;  ///< Pool::spare_batch at its start
    bool asked_to_leave = false;
    bool said_stopping = false;
    std::optional<TimePoint> ready_at;
    std::optional<TimePoint> last_beat;
    std::optional<TimePoint> recycle_not_before;  ///< its last replacement failed
    std::optional<TimePoint> measured_at;
    std::uint64_t requests = 0;
    std::uint32_t in_flight = 0;  ///< when it was last asked for
    std::uint64_t memory = 0;
    std::uint64_t memory_before = 0;  ///< at the measurement before
    std::string probe;                ///< what the last run of its probe came to
    std::string cause;                ///< why we ended it by force
};

/// Moves the worker as the table says; the caller carries the step out.
Step apply(Worker& worker, Trigger trigger, TimePoint now);

/// When its state has lasted too long. None only for Serving without a watchdog. `drain_by`: a fast
/// stop is under way.
[[nodiscard]] std::optional<TimePoint> deadline_of(const Worker& worker, const config::Pool& pool,
                                                   std::optional<TimePoint> drain_by);

/// With `ready: none`, and where nobody said by what and nobody can tell, the deadline of a started
/// worker means that it is ready.
[[nodiscard]] bool is_ready_by_age(const Worker& worker, const config::Pool& pool);

/// Nobody said by what it is ready, and it was not seen listening until the deadline: who was not
/// asked for it does not fail by it.
[[nodiscard]] bool is_ready_unseen(const Worker& worker, const config::Pool& pool);

/// "not ready within 30s": why the deadline ends it.
[[nodiscard]] std::string overdue_in_words(const Worker& worker, const config::Pool& pool,
                                           TimePoint deadline);

/// EXTEND_TIMEOUT_USEC: never nearer than it was.
void extend(Worker& worker, const config::Pool& pool, TimePoint now, Duration by);

/// The kernel writes its core.
void extend_for_core(Worker& worker, const config::Pool& pool, TimePoint now);

/// The master was away for `by`: nobody is late because of that.
void renew_after_stall(Worker& worker, TimePoint now, Duration by);

/// Requests and memory are looked at so often, where a pool limits them.
inline constexpr Duration kMeasurePace = std::chrono::seconds(2);

/// Does the pool recycle by what has to be measured?
[[nodiscard]] bool is_measured(const config::Pool& pool);

void measure(Worker& worker, TimePoint now, std::uint64_t requests, std::uint64_t memory);

/// When it is to be replaced: by its age, or at once for what it did and takes; none: never.
[[nodiscard]] std::optional<TimePoint> recycle_time(const Worker& worker, const config::Pool& pool);

/// Why, where recycle_time() is over: "recycle.requests: 1003".
[[nodiscard]] std::string recycling_in_words(const Worker& worker, const config::Pool& pool);

}  // namespace topsman::core
