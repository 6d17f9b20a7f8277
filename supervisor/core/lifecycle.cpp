// Signs of life, deadlines, and the steps of the transition table.

#include "shm/base/check.hpp"
#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>

namespace topsman::core {
namespace {

/// Where nobody said by what, who says READY=1 is believed as well.
bool counts_as_ready(const config::Ready& ready, config::ReadyBy by) {
    return ready.by == by || (ready.assumed && by == config::ReadyBy::Notify);
}

}  // namespace

void SupervisorCore::State::on(const Spawned& event) {
    Worker* worker = find(event.worker);
    if (worker == nullptr || worker->executed) {
        return;
    }
    worker->executed = true;
    const config::Ready& ready = pool_of(*worker).spec.ready;
    if (worker->state == WorkerState::Starting &&
        (ready.by == config::ReadyBy::None || ready.assumed)) {
        worker->since = now;
    }
    announce(Notice::WorkerSpawned, *worker);
}

void SupervisorCore::State::on(const BecameReady& event) {
    Worker* worker = find(event.worker);
    if (worker != nullptr && counts_as_ready(pool_of(*worker).spec.ready, event.by)) {
        become_ready(*worker);
    }
}

void SupervisorCore::State::on(const Probed& event) {
    if (Worker* worker = find(event.worker)) {
        worker->probe = event.result;
    }
}

void SupervisorCore::State::on(const CannotTell& event) {
    if (Worker* worker = find(event.worker)) {
        worker->cannot_tell = true;
    }
}

void SupervisorCore::State::on(const Beat& event) {
    Worker* worker = find(event.worker);
    if (worker == nullptr) {
        return;
    }
    const TimePoint at = std::min(event.at, now);
    worker->last_beat = std::max(worker->last_beat.value_or(at), at);
    if (fire(*worker, Trigger::Beat) == Step::Renew) {
        worker->since = std::max(worker->since, at);
    }
}

void SupervisorCore::State::on(const AskedAbort& event) {
    Worker* worker = find(event.worker);
    if (worker != nullptr && fire(*worker, Trigger::Abort) == Step::Abort) {
        worker->cause = "watchdog: it asked to be aborted";
    }
}

void SupervisorCore::State::on(const AskedExtension& event) {
    if (Worker* worker = find(event.worker)) {
        extend(*worker, pool_of(*worker).spec, now, event.by);
    }
}

void SupervisorCore::State::on(const SaidStopping& event) {
    if (Worker* worker = find(event.worker)) {
        worker->said_stopping = true;
        fire(*worker, Trigger::Stopping);
    }
}

void SupervisorCore::State::on(const DumpsCore& event) {
    if (Worker* worker = find(event.worker)) {
        extend_for_core(*worker, pool_of(*worker).spec, now);
    }
}

void SupervisorCore::State::on(const Measured& event) {
    for (const Measurement& measured : event.workers) {
        if (Worker* worker = find(measured.worker)) {
            measure(*worker, now, measured.requests, measured.memory);
        }
    }
}

void SupervisorCore::State::on(const Tick& /*event*/) {}

void SupervisorCore::State::on(const Stalled& event) {
    const Duration by = std::clamp<Duration>(event.by, Duration::zero(), std::chrono::hours(24));
    for (auto& [id, worker] : workers) {
        renew_after_stall(worker, now, by);
    }
    for (Pool& pool : pools) {
        pool.up_deadline += by;
        if (pool.rollout && pool.rollout->observed_since) {
            *pool.rollout->observed_since = std::min(*pool.rollout->observed_since + by, now);
        }
    }
    if (fast_since) {
        fast_since = std::min(*fast_since + by, now);
    }
}

bool SupervisorCore::State::spawn(Pool& pool, Slot& slot, Generation wanted,
                                  std::uint64_t rollout) {
    if (!has_free_lane()) {
        return false;
    }
    const WorkerId id{++last_worker};
    Worker worker;
    worker.id = id;
    worker.slot = slot.id();
    worker.generation = wanted;
    worker.rollout = rollout;
    worker.recycle_jitter = jitter.next();
    worker.cannot_tell = pool.unseen == wanted;
    worker.spawned_at = now;
    worker.since = now;
    workers.emplace(id, worker);
    if (slot.current()) {
        slot.add_successor(id);
    } else {
        slot.occupy(id);
    }
    if (rollout != 0) {
        CHECK(pool.rollout && pool.rollout->id == rollout);
        slot.renewal = Renewal::Started;
        if (pool.rollout->stage == RolloutStage::Canary) {
            pool.rollout->canary = id;
        }
    }
    out->emplace_back(Spawn{id, slot.id(), wanted});
    return true;
}

Step SupervisorCore::State::fire(Worker& worker, Trigger trigger, const std::string& reason) {
    const Step step = apply(worker, trigger, now);
    switch (step) {
        case Step::None:
        case Step::Renew:
            break;
        case Step::Seat:
            worker.ready_at = now;
            announce(Notice::WorkerReady, worker, reason);
            break;
        case Step::Await:
            announce(Notice::WorkerDraining, worker, "it said that it is stopping");
            break;
        case Step::Terminate:
            out->emplace_back(Signal{worker.id, SignalKind::Terminate});
            announce(Notice::WorkerDraining, worker, reason);
            break;
        case Step::Abort:
            out->emplace_back(Signal{worker.id, SignalKind::Abort});
            break;
        case Step::Alarm:
            worker.since = now;
            out->emplace_back(Signal{worker.id, SignalKind::Kill});
            break;
        case Step::Kill:
            out->emplace_back(Signal{worker.id, SignalKind::Kill});
            break;
    }
    return step;
}

void SupervisorCore::State::become_ready(Worker& worker, const std::string& reason) {
    if (fire(worker, Trigger::Ready, reason) != Step::Seat) {
        return;
    }
    if (worker.spare != SpareStage::None) {
        out->emplace_back(Park{worker.id});
        return;
    }
    Pool& pool = pool_of(worker);
    Slot* slot = pool.find_slot(worker.slot);
    CHECK(slot != nullptr && slot->role_of(worker.id) != Role::Leaving);
    if (pool.rollout && pool.rollout->canary == worker.id) {
        pool.rollout->observed_since = now;  // its seat has to wait
    } else {
        take_seat(worker);
    }
}

// What is being taken back proves nothing any more, nor does what nobody knows.
void SupervisorCore::State::prove(const Pool& pool, Slot& slot, const Worker& worker) {
    const bool is_taken_back = pool.rollout && pool.rollout->stage == RolloutStage::RollingBack &&
                               pool.rollout->target != worker.generation;
    if (!worker.outdated && !is_taken_back) {
        slot.proven(worker.generation);
    }
}

void SupervisorCore::State::take_seat(Worker& worker) {
    Pool& pool = pool_of(worker);
    Slot* slot = pool.find_slot(worker.slot);
    CHECK(slot != nullptr);
    prove(pool, *slot, worker);
    if (pool.rollout && worker.rollout == pool.rollout->id) {
        slot->renewal = Renewal::None;
        ++pool.rollout->done;
        if (pool.rollout->stage == RolloutStage::Rolling) {  // going back waits for nothing
            pool.rollout->not_before = now + clock_duration(pool.spec.rollout.delay);
        }
    }
    if (slot->successor() == worker.id) {
        const WorkerId replaced = slot->promote();
        tickets.worker_replaced(pool.id, replaced);
        Worker& old = workers.at(replaced);
        send_away(old, pool.rollout ? "" : recycling_in_words(old, pool.spec));
    }
    tickets.worker_ready(slot->id());
}

// Its seat is given to somebody else, or is no more, before this is called.
void SupervisorCore::State::send_away(Worker& worker, const std::string& reason) {
    if (worker.state <= WorkerState::Draining) {
        worker.asked_to_leave = true;
    }
    worker.spare = SpareStage::None;
    fire(worker, Trigger::Leave, reason);
}

void SupervisorCore::State::expire() {
    for (auto& [id, worker] : workers) {
        forget_failures(worker);
        expire(worker);
    }
    for (Pool& pool : pools) {
        judge_canary(pool);
    }
    // The shell has measured before it stepped; if it has not, it may the next time.
    if (const auto due = measure_time(); due && *due <= now) {
        measured_at = now;
    }
}

void SupervisorCore::State::expire(Worker& worker) {
    const auto due = deadline(worker);
    if (!due || *due > now) {
        return;
    }
    const config::Pool& spec = pool_of(worker).spec;
    if (is_ready_by_age(worker, spec)) {
        become_ready(worker, spec.ready.assumed ? "by its age: nobody can tell" : "");
        return;
    }
    if (is_ready_unseen(worker, spec)) {
        // Its siblings are not waited for as long.
        pool_of(worker).unseen = worker.generation;
        become_ready(worker, "it was not seen listening within " + in_words(*due - worker.since) +
                                 ": say by what it is ready");
        return;
    }
    if (worker.adopted && worker.state == WorkerState::Starting && replace_silent(worker)) {
        return;
    }
    const std::string why = overdue_in_words(worker, spec, *due);
    if (worker.cause.find(why) == std::string::npos) {
        worker.cause += (worker.cause.empty() ? "" : ", ") + why;
    }
    fire(worker, Trigger::Deadline);
}

// All at the same time: one wake-up, and none where nothing is limited or nobody serves.
std::optional<TimePoint> SupervisorCore::State::measure_time() const {
    const bool wanted = phase == Phase::Running &&
                        std::any_of(workers.begin(), workers.end(), [this](const auto& entry) {
                            const Worker& worker = entry.second;
                            return worker.state == WorkerState::Serving &&
                                   worker.spare == SpareStage::None &&
                                   is_measured(pool_of(worker).spec);
                        });
    return wanted ? std::optional(measured_at + kMeasurePace) : std::nullopt;
}

// When it has been healthy for long enough, what failed before is over.
std::optional<TimePoint> SupervisorCore::State::health_time(const Worker& worker) const {
    if (worker.state != WorkerState::Serving || worker.spare != SpareStage::None) {
        return std::nullopt;
    }
    const Pool& pool = pool_of(worker);
    const Slot* slot = pool.find_slot(worker.slot);
    CHECK(slot != nullptr);
    if (slot->failures == 0 && pool.failures == 0) {
        return std::nullopt;
    }
    return *worker.ready_at + clock_duration(pool.spec.backoff.reset_after);
}

void SupervisorCore::State::forget_failures(const Worker& worker) {
    const auto due = health_time(worker);
    if (due && *due <= now) {
        Pool& pool = pool_of(worker);
        pool.find_slot(worker.slot)->failures = 0;
        pool.failures = 0;
    }
}

}  // namespace topsman::core
