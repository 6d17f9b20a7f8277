#include "supervisor/core/inheritance.hpp"

#include "supervisor/core/state.hpp"

namespace topsman::core {
namespace {

LeftPool leave(const Pool& pool) {
    LeftPool left;
    left.name = pool.spec.name;
    left.wanted = static_cast<std::uint32_t>(pool.slots.size());
    left.configured = pool.spec.workers;
    left.generation = pool.generation;
    left.breaker_open = pool.breaker_open;
    left.failures = pool.failures;
    left.not_before = pool.not_before;
    left.start_failures = pool.start_limit.failures();
    left.unseen = pool.unseen;
    left.spare_failures = pool.spare_failures;
    left.spare_not_before = pool.spare_not_before;
    return left;
}

LeftSlot leave(const Pool& pool, const Slot& slot) {
    LeftSlot left;
    left.pool = pool.spec.name;
    left.slot = slot.id().index;
    left.phase = slot.phase();
    left.restarts = slot.restarts();
    left.failures = slot.failures;
    left.generation = slot.generation();
    if (const auto* waiting = std::get_if<Waiting>(&slot.seat())) {
        left.not_before = waiting->not_before;
    }
    if (const auto* vacant = std::get_if<Vacant>(&slot.seat())) {
        left.after = vacant->after;
    }
    return left;
}

LeftWorker leave(const Pool& pool, const Worker& worker) {
    LeftWorker left;
    left.worker = worker.id;
    left.pool = pool.spec.name;
    left.slot = worker.slot.index;
    left.generation = worker.generation;
    left.outdated = worker.outdated;
    left.role = pool.role_of(worker);
    left.state = worker.state;
    left.spawned_at = worker.spawned_at;
    left.ready_at = worker.ready_at;
    left.last_beat = worker.last_beat;
    left.spare = worker.spare;
    left.course = Course{worker.since,          worker.extended_until,     worker.adopted,
                         worker.asked_to_leave, worker.said_stopping,      worker.cause,
                         worker.recycle_jitter, worker.recycle_not_before, worker.cannot_tell};
    return left;
}

}  // namespace

void believe(LeftWorker& spare, const SpareSigns& signs) {
    if (signs.is_let_go) {
        spare.slot = signs.seat.value_or(kNoSlot);
        spare.role = signs.seat ? Role::Current : Role::Leaving;
        spare.ready_at.reset();  // it serves from now on: see seat_spare()
    }
    if (signs.is_let_go || !signs.waits) {
        spare.spare = SpareStage::None;
    }
}

Inheritance SupervisorCore::inheritance() const {
    Inheritance left;
    left.same_master = true;
    left.is_up = state_->up;
    left.generation = state_->last_generation;
    left.last_worker = WorkerId{state_->last_worker};
    left.legacy = legacy();
    for (const Pool& pool : state_->pools) {
        if (pool.removed) {
            continue;  // its last workers leave
        }
        left.pools.push_back(leave(pool));
        for (const Slot& slot : pool.slots) {
            left.slots.push_back(leave(pool, slot));
        }
    }
    for (const auto& [id, worker] : state_->workers) {
        const Pool& pool = state_->pool_of(worker);
        left.workers.push_back(leave(pool, worker));
        // By then its pool may be unknown, or another one of the same name.
        if (const auto deadline = state_->deadline(worker); pool.removed && deadline) {
            left.workers.back().course->extended_until = deadline;
        }
    }
    return left;
}

}  // namespace topsman::core
