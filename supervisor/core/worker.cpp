#include "supervisor/core/worker.hpp"

#include "supervisor/core/backoff.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>
#include <utility>

namespace topsman::core {
namespace {

Duration time_out(const Worker& worker, const config::Pool& pool) {
    switch (worker.state) {
        case WorkerState::Starting:
            return clock_duration(is_ready_by_age(worker, pool) ? pool.ready.min_uptime
                                                                : pool.ready.timeout);
        case WorkerState::Serving:
            return clock_duration(pool.watchdog.timeout);
        case WorkerState::Draining:
            return clock_duration(pool.stop_timeout);
        case WorkerState::Aborting:
            return clock_duration(pool.watchdog.kill_after);
        case WorkerState::Killing:
            break;
    }
    return kKillAlarm;
}

/// This worker's own share of a limit, so that not all of a pool reach it at once.
double jittered(const Worker& worker, const config::Pool& pool, std::int64_t limit) {
    const double share = std::max(0.0, 1.0 + pool.recycle.jitter * worker.recycle_jitter);
    return static_cast<double>(limit) * share;
}

bool has_worked_enough(const Worker& worker, const config::Pool& pool) {
    return pool.recycle.requests > 0 && worker.requests > 0 &&
           static_cast<double>(worker.requests) >= jittered(worker, pool, pool.recycle.requests);
}

/// Twice in a row: what one request takes for a moment is no leak.
bool is_too_large(const Worker& worker, const config::Pool& pool) {
    const auto least = static_cast<double>(std::min(worker.memory, worker.memory_before));
    return pool.recycle.memory > 0 && least >= jittered(worker, pool, pool.recycle.memory);
}

void extend_to(Worker& worker, TimePoint until) {
    worker.extended_until = std::max(worker.extended_until.value_or(until), until);
}

}  // namespace

Step apply(Worker& worker, Trigger trigger, TimePoint now) {
    const Cell& cell = transition(worker.state, trigger);
    if (cell.next != worker.state) {
        worker.state = cell.next;
        worker.since = now;
        worker.extended_until.reset();
    }
    return cell.step;
}

bool is_ready_by_age(const Worker& worker, const config::Pool& pool) {
    return worker.state == WorkerState::Starting && worker.executed &&
           (pool.ready.by == config::ReadyBy::None || (pool.ready.assumed && worker.cannot_tell));
}

bool is_ready_unseen(const Worker& worker, const config::Pool& pool) {
    return worker.state == WorkerState::Starting && worker.executed && pool.ready.assumed;
}

std::optional<TimePoint> deadline_of(const Worker& worker, const config::Pool& pool,
                                     std::optional<TimePoint> drain_by) {
    // Who is parked gives no sign of life, and need not.
    if (worker.state == WorkerState::Serving &&
        (worker.spare == SpareStage::Parked || pool.watchdog.timeout <= config::Duration::zero())) {
        return std::nullopt;
    }
    TimePoint deadline = worker.since + time_out(worker, pool);
    deadline = std::max(deadline, worker.extended_until.value_or(deadline));
    if (worker.state == WorkerState::Draining && drain_by) {
        deadline = std::min(deadline, *drain_by);
    }
    return deadline;
}

std::string overdue_in_words(const Worker& worker, const config::Pool& pool, TimePoint deadline) {
    const std::string lasted = in_words(deadline - worker.since);
    switch (worker.state) {
        case WorkerState::Starting:
            return "not ready within " + lasted +
                   (worker.probe.empty() ? "" : "; its probe " + worker.probe);
        case WorkerState::Serving:
            return "watchdog: no sign of life for " + lasted;
        case WorkerState::Draining:
            return "did not stop within " + lasted;
        case WorkerState::Aborting:
            return "did not end within " + lasted + " of " + signal_name(pool.watchdog.signal);
        case WorkerState::Killing:
            break;
    }
    return "still there after SIGKILL";
}

void extend(Worker& worker, const config::Pool& pool, TimePoint now, Duration by) {
    const bool counts = (worker.state == WorkerState::Starting && !is_ready_by_age(worker, pool)) ||
                        worker.state == WorkerState::Serving ||
                        worker.state == WorkerState::Draining;
    if (counts && by > Duration::zero()) {
        extend_to(worker, now + std::min(by, kLongestExtension));
    }
}

void extend_for_core(Worker& worker, const config::Pool& pool, TimePoint now) {
    if (worker.state == WorkerState::Aborting) {
        // The shell asks again when this is due, so a step of the ordinary time-out is enough.
        const Duration step =
            std::max<Duration>(clock_duration(pool.watchdog.kill_after), std::chrono::seconds(1));
        extend_to(worker, std::min(now + step, worker.since + kLongestCoreDump));
    }
}

void renew_after_stall(Worker& worker, TimePoint now, Duration by) {
    worker.since = std::max(worker.since, std::min(worker.since + by, now));
    if (worker.extended_until) {
        *worker.extended_until += by;
    }
}

bool is_measured(const config::Pool& pool) {
    return pool.recycle.requests > 0 || pool.recycle.memory > 0;
}

void measure(Worker& worker, TimePoint now, std::uint64_t requests, std::uint64_t memory) {
    worker.measured_at = now;
    worker.requests = requests;
    worker.memory_before = std::exchange(worker.memory, memory);
}

std::optional<TimePoint> recycle_time(const Worker& worker, const config::Pool& pool) {
    if (worker.state != WorkerState::Serving || !worker.ready_at) {
        return std::nullopt;
    }
    std::optional<TimePoint> due;
    if (const Duration lifetime = clock_duration(pool.recycle.lifetime);
        lifetime > Duration::zero()) {
        due = *worker.ready_at +
              Duration(static_cast<Duration::rep>(jittered(worker, pool, lifetime.count())));
    }
    if (worker.measured_at && (has_worked_enough(worker, pool) || is_too_large(worker, pool))) {
        due = std::min(due.value_or(*worker.measured_at), *worker.measured_at);
    }
    return due ? std::optional(std::max(*due, worker.recycle_not_before.value_or(*due))) : due;
}

std::string recycling_in_words(const Worker& worker, const config::Pool& pool) {
    if (has_worked_enough(worker, pool)) {
        return "recycle.requests: " + std::to_string(worker.requests);
    }
    if (is_too_large(worker, pool)) {
        return "recycle.memory: " + std::to_string(worker.memory >> 20U) + " MiB";
    }
    return "recycle.lifetime";
}

}  // namespace topsman::core
