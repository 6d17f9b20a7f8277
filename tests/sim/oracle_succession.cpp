// The oracle's books when one master follows another, and what the new one has to make of it.

#include "tests/sim/oracle.hpp"

#include <algorithm>

namespace topsman::sim {

using core::WorkerId;
using core::WorkerState;

namespace {

bool is_under_way(const core::Inheritance& left) {
    return left.legacy && left.legacy->base.has_value();
}

}  // namespace

void Oracle::begin_again(const core::Inheritance& left, TimePoint now,
                         const core::SupervisorCore& core) {
    std::optional<Violation> before = std::move(violation_);
    auto abandoned = std::move(abandoned_);
    *this = Oracle{};
    violation_ = std::move(before);
    if (left.legacy) {
        abandoned_ = std::move(abandoned);
    }
    now_ = now;
    judges_ = true;
    newest_ = left.last_worker;
    const core::Snapshot snapshot = core.snapshot();
    for (const core::PoolView& view : snapshot.pools) {
        // That of a reload under way comes into force when that is said.
        const config::Pool* spec =
            left.legacy ? left.legacy->footing().config.find_pool(view.name) : nullptr;
        spec = spec != nullptr ? spec : core.policy(view.pool);
        if (spec != nullptr) {
            pools_[view.pool].spec = *spec;
        }
    }
    for (const core::LeftWorker& worker : left.workers) {
        const auto view = std::find_if(
            snapshot.workers.begin(), snapshot.workers.end(),
            [&worker](const core::WorkerView& one) { return one.worker == worker.worker; });
        if (view == snapshot.workers.end()) {
            report("EverybodyIsAdopted",
                   "worker " + std::to_string(worker.worker.value) + " is left to itself");
            return;
        }
        if (worker.role != core::Role::Spare && view->role == core::Role::Spare) {
            report("EverybodyIsAdopted", "worker " + std::to_string(worker.worker.value) +
                                             " is no spare, or not any more");
        }
        take_over(worker, *view);
    }
    std::set<std::string> seen;
    for (const core::LeftPool& pool : left.pools) {
        const auto view =
            std::find_if(snapshot.pools.begin(), snapshot.pools.end(),
                         [&pool](const core::PoolView& one) { return one.name == pool.name; });
        // One that went and came again is there twice, until the last of its old workers is gone.
        if (view == snapshot.pools.end() || pool.wanted == 0 || !seen.insert(pool.name).second) {
            continue;
        }
        take_over(pool, *view);
        if (left.legacy && left.legacy->footing().pools.contains(pool.name)) {
            pools_[view->pool].whole = left.legacy->footing().pools.at(pool.name);
        }
        if (left.legacy && left.legacy->goes_back) {
            for (auto& [index, slot] : pools_[view->pool].slots) {
                slot.proven.reset();  // that is being undone
            }
        }
        for (const core::LeftSlot& slot : left.slots) {
            if (slot.pool == pool.name && slot.phase == core::SlotPhase::Drained) {
                drained_.insert({view->pool, slot.slot});
            }
        }
        // A reload that is under way is begun again, and all is forgiven by it.
        if (is_under_way(left) || core.config().find_pool(pool.name) == nullptr) {
            continue;
        }
        if (pool.breaker_open != view->pool_given_up) {
            report("DecisionsOutliveTheMaster", pool.name + " had been given up, or had not been");
        }
        if (pool.configured == view->configured && view->wanted != pool.wanted) {
            report("DecisionsOutliveTheMaster", pool.name + " had " + std::to_string(pool.wanted) +
                                                    " slots and has " +
                                                    std::to_string(view->wanted));
        }
    }
}

void Oracle::take_over(const core::LeftWorker& left, const core::WorkerView& view) {
    Life life;
    life.slot = view.slot;
    life.generation = view.generation;
    life.spawned = left.spawned_at;
    PoolBook& pool = pools_[view.slot.pool];
    life.since = by_age(life, pool.spec.ready) && left.state == WorkerState::Starting
                     ? left.spawned_at
                     : now_;
    life.executed = true;
    life.adopted = true;
    life.said_ready = left.said_ready;
    if (left.state == WorkerState::Serving) {
        life.ready_at = left.ready_at.value_or(now_);
    } else if (left.state != WorkerState::Starting) {
        life.ready_at = left.ready_at;
    }
    if (life.ready_at && view.role == core::Role::Current && left.role != core::Role::Spare) {
        pool.slots[view.slot.index].proven = view.generation;
    }
    life.observed_since = life.ready_at.value_or(now_);
    // Who drains was told so, or said so himself: nobody knows any more.
    life.said_stopping = left.state == WorkerState::Draining;
    life.aborted = left.state >= WorkerState::Aborting;
    life.killed = left.state == WorkerState::Killing;
    // It may have been given a seat at once.
    life.is_spare = left.role == core::Role::Spare;
    life.slot.index = life.is_spare ? kNoSlot : view.slot.index;
    life.is_parked = life.is_spare && left.spare == core::SpareStage::Parked;
    // One that was given its seat in the last turn, of which nobody knows, is not missed.
    life.served_before = life.serves() && left.ready_at;
    living_.emplace(left.worker, life);
}

void Oracle::take_over(const core::LeftPool& left, const core::PoolView& view) {
    PoolBook& pool = pools_[view.pool];
    pool.wanted = view.wanted;
    pool.given_up = left.breaker_open;
    pool.generation_before = left.generation;
    pool.served_before = served_slots(view.pool);
    pool.last_before_rollout = newest_;
}

void Oracle::go_on_with(const core::Snapshot& before, const core::Snapshot& after) {
    std::map<core::PoolId, core::PoolId> numbers;
    for (const core::PoolView& was : before.pools) {
        for (const core::PoolView& is : after.pools) {
            if (was.name == is.name) {
                numbers[was.pool] = is.pool;
            }
        }
    }
    for (const core::WorkerView& was : before.workers) {
        for (const core::WorkerView& is : after.workers) {
            if (was.worker == is.worker) {
                numbers[was.slot.pool] = is.slot.pool;
            }
        }
    }
    std::map<core::PoolId, PoolBook> pools;
    for (auto& [id, book] : pools_) {
        if (const auto number = numbers.find(id); number != numbers.end()) {
            pools.emplace(number->second, std::move(book));
        }
    }
    pools_ = std::move(pools);
    for (auto& [id, life] : living_) {
        life.slot.pool = numbers[life.slot.pool];
        life.in_flight = 0;  // it is asked again before it counts
    }
    std::set<core::SlotId> drained;
    for (const core::SlotId slot : drained_) {
        drained.insert({numbers[slot.pool], slot.index});
    }
    drained_ = std::move(drained);
}

}  // namespace topsman::sim
