#include "tests/sim/records.hpp"

#include <algorithm>

namespace topsman::sim {

void Records::keep(const core::SupervisorCore& core, const Specs& specs) {
    if (core.snapshot().phase == core::Phase::Running) {
        legacy_ = core.legacy();
        specs_ = specs;
    }
}

void Records::started(const core::Spawn& spawn, const std::string& pool, core::TimePoint now) {
    core::LeftWorker worker;
    worker.worker = spawn.worker;
    worker.pool = pool;
    worker.slot = spawn.slot.index;
    worker.generation = spawn.generation;
    if (spawn.slot.index == kNoSlot) {
        worker.role = core::Role::Spare;
    }
    worker.spawned_at = now;
    workers_.insert_or_assign(spawn.worker, worker);
    last_worker_ = std::max(last_worker_, spawn.worker);
}

void Records::publish(const core::Snapshot& snapshot) {
    board_ = snapshot;
    std::map<core::WorkerId, core::LeftWorker> shown;
    for (const core::WorkerView& view : snapshot.workers) {
        const auto record = workers_.find(view.worker);
        if (record == workers_.end()) {
            continue;
        }
        core::LeftWorker& worker = shown[view.worker] = record->second;
        worker.role = view.role;
        worker.state = view.state;
        worker.ready_at = view.ready_at;
        worker.last_beat = view.last_beat;
        worker.slot = view.slot.index;  // a spare is given one
        worker.spare = view.spare == core::SpareStage::Parked ? view.spare : core::SpareStage::None;
    }
    workers_ = std::move(shown);
}

core::Inheritance Records::left(const LaneOf& lane_of) const {
    core::Inheritance left;
    left.generation = board_.generation;
    left.last_worker = last_worker_;
    left.legacy = legacy_;
    for (const core::PoolView& view : board_.pools) {
        core::LeftPool& pool = left.pools.emplace_back();
        pool.name = view.name;
        pool.wanted = view.wanted;
        pool.configured = view.configured;
        pool.generation = view.generation;
        pool.breaker_open = view.pool_given_up;
        pool.failures = view.failures;
        pool.not_before = view.not_before;
        for (const core::SlotView& slot : view.slots) {
            // Who was in it is told by the workers' own records.
            const bool was_occupied = slot.phase == core::SlotPhase::Occupied;
            left.slots.push_back({.pool = view.name,
                                  .slot = slot.slot.index,
                                  .phase = was_occupied ? core::SlotPhase::Vacant : slot.phase,
                                  .restarts = slot.restarts,
                                  .failures = slot.failures,
                                  .not_before = slot.not_before});
        }
    }
    for (const auto& [id, worker] : workers_) {
        const Lane lane = lane_of(id);
        core::LeftWorker& copy = left.workers.emplace_back(worker);
        copy.said_ready = lane.said_ready;
        if (copy.role == core::Role::Spare) {
            core::believe(copy, lane.spare);
        }
    }
    return left;
}

}  // namespace topsman::sim
