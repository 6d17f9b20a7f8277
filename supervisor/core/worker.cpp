#include "supervisor/core/worker.hpp"

#include "supervisor/core/backoff.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>

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
           pool.ready.by == config::ReadyBy::None;
}

std::optional<TimePoint> deadline_of(const Worker& worker, const config::Pool& pool,
                                     std::optional<TimePoint> drain_by) {
    if (worker.state == WorkerState::Serving && pool.watchdog.timeout <= config::Duration::zero()) {
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
            return "not ready within " + lasted;
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

std::optional<TimePoint> recycle_time(const Worker& worker, const config::Pool& pool) {
    const Duration lifetime = clock_duration(pool.recycle.lifetime);
    if (lifetime == Duration::zero() || worker.state != WorkerState::Serving || !worker.ready_at) {
        return std::nullopt;
    }
    const double share = std::max(0.0, 1.0 + pool.recycle.jitter * worker.recycle_jitter);
    const auto jittered =
        Duration(static_cast<Duration::rep>(static_cast<double>(lifetime.count()) * share));
    const TimePoint due = *worker.ready_at + jittered;
    return std::max(due, worker.recycle_not_before.value_or(due));
}

}  // namespace topsman::core
