// The oracle's verdicts on how things look after a turn.

#include "tests/sim/oracle.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace topsman::sim {
namespace {

const core::SlotView* find_slot(const core::PoolView& pool, core::SlotId slot) {
    const auto found =
        std::find_if(pool.slots.begin(), pool.slots.end(),
                     [slot](const core::SlotView& view) { return view.slot == slot; });
    return found == pool.slots.end() ? nullptr : &*found;
}

}  // namespace

using namespace std::chrono_literals;
using core::Role;
using core::RolloutStage;
using core::Snapshot;
using core::WorkerId;
using core::WorkerView;

void Oracle::after(const std::vector<core::Action>& actions, const core::SupervisorCore& core) {
    for (const core::PoolView& view : core.snapshot().pools) {
        if (const config::Pool* spec = core.config().find_pool(view.name);
            spec != nullptr && !pools_.contains(view.pool)) {
            pools_[view.pool].spec = *spec;
        }
    }
    core_ = &core;
    if (quiet_stale_ && !actions.empty()) {
        report("StaleEventsHarmless", "an event of a dead worker has an effect");
    }
    for (const core::Action& action : actions) {
        std::visit([this](const auto& what) { judge(what); }, action);
    }
    const Snapshot snapshot = core.snapshot();
    for (const core::PoolView& view : snapshot.pools) {
        pools_[view.pool].wanted = view.wanted;
        check_canary(view);
        std::erase_if(pools_[view.pool].slots, [&view](const auto& entry) {
            return find_slot(view, {view.pool, entry.first}) == nullptr;
        });
    }
    check_death(snapshot);
    check_seats(snapshot);
    check_deadlines(snapshot, core);
    check_drained(snapshot);
    check_leavers(snapshot);
    check_old_generations(snapshot, core);
    check_replacements(snapshot);
    check_way_back(snapshot);
    check_generations(snapshot);
    check_spares(snapshot, core);
    check_bounds(snapshot, core);
    check_tick(actions, core);
}

void Oracle::check_death(const Snapshot& snapshot) {
    if (obituaries_ != (died_ ? 1U : 0U)) {
        report("OneObituaryPerDeath", std::to_string(obituaries_) + " obituaries");
    }
    if (!died_ || stopping_) {
        return;
    }
    // The first new worker that fails before it is ready ends its rollout.
    const Life& dead = died_->second;
    if (dead.is_spare) {
        return;
    }
    PoolBook& pool = pools_[dead.slot.pool];
    const SlotBook& slot = pool.slots[dead.slot.index];
    const bool is_new =
        slot.proven && dead.generation != slot.proven && died_->first > pool.last_before_rollout;
    const bool failed = !dead.ready_at && !dead.terminated && !finished_;
    for (const core::PoolView& view : snapshot.pools) {
        const bool same = view.pool == dead.slot.pool && view.generation == dead.generation;
        if (same && pool.rolling_before && is_new && failed &&
            (view.stage == RolloutStage::Canary || view.stage == RolloutStage::Rolling) &&
            find_slot(view, dead.slot) != nullptr && !drained_.contains(dead.slot)) {
            report("RolloutStopsAtFirstFailure", view.name + " is still " + view.rollout);
        }
    }
}

void Oracle::check_seats(const Snapshot& snapshot) {
    std::map<core::SlotId, std::uint32_t> currents;
    std::map<core::SlotId, std::uint32_t> successors;
    std::map<core::SlotId, std::uint32_t> ready;
    if (snapshot.workers.size() != living_.size()) {
        report("OneCurrentPerSlot", "the core has lost count of the living");
    }
    for (const WorkerView& view : snapshot.workers) {
        if (find(view.worker) == nullptr) {
            report("OneCurrentPerSlot", "the core believes in a dead worker");
        }
        currents[view.slot] += view.role == Role::Current ? 1U : 0U;
        successors[view.slot] += view.role == Role::Successor ? 1U : 0U;
    }
    for (const auto& [id, life] : living_) {
        ready[life.slot] += life.serves() ? 1U : 0U;
    }
    for (const core::PoolView& pool : snapshot.pools) {
        // The canary serves beside the others and takes no seat yet.
        if (pool.stage == RolloutStage::Canary) {
            for (const auto& [id, life] : living_) {
                const bool beside = life.slot.pool == pool.pool && life.goes_first &&
                                    life.serves() && ready[life.slot] > 1;
                ready[life.slot] -= beside ? 1U : 0U;
            }
        }
    }
    for (const auto& [slot, count] : ready) {
        if (count > 1) {
            report("OneCurrentPerSlot", "two ready workers in slot " + std::to_string(slot.index));
        }
    }
    for (const core::PoolView& pool : snapshot.pools) {
        for (const core::SlotView& slot : pool.slots) {
            const bool occupied = slot.phase == core::SlotPhase::Occupied;
            if (currents[slot.slot] != (occupied ? 1U : 0U) || successors[slot.slot] > 1) {
                report("OneCurrentPerSlot", pool.name + "/" + std::to_string(slot.slot.index) +
                                                " has " + std::to_string(currents[slot.slot]) +
                                                " current workers");
            }
        }
    }
}

void Oracle::check_deadlines(const Snapshot& snapshot, const core::SupervisorCore& core) {
    const auto next = core.next_deadline();
    for (const WorkerView& view : snapshot.workers) {
        const config::Pool& spec = pools_[view.slot.pool].spec;
        const bool free = view.state == core::WorkerState::Serving &&
                          (spec.watchdog.timeout <= 0ms ||
                           (view.role == Role::Spare && view.spare == core::SpareStage::Parked));
        if (free != !view.deadline) {
            report("EveryWorkerHasDeadline", "worker " + std::to_string(view.worker.value) +
                                                 " has the wrong kind of deadline");
        }
        if (view.deadline && ((judges_ && *view.deadline < now_) || *view.deadline > now_ + 25h ||
                              !next || *next > *view.deadline)) {
            report("EveryWorkerHasDeadline", "worker " + std::to_string(view.worker.value) +
                                                 " has a deadline that nobody will keep");
        }
    }
}

// Only of workers that served and were sent away while their seat goes on.
void Oracle::check_replacements(const Snapshot& snapshot) {
    if (stopping_) {
        return;
    }
    for (const core::PoolView& view : snapshot.pools) {
        const PoolBook& pool = pools_[view.pool];
        const config::Rollout& limits = pool.spec.rollout;
        const std::uint32_t after = served_slots(view.pool);
        // A drained slot is not missed, nor one without a serving worker that a reload takes away
        // at its end.
        const auto serves = [this](const core::SlotView& slot) {
            return std::any_of(living_.begin(), living_.end(), [&slot](const auto& entry) {
                return entry.second.slot == slot.slot && entry.second.served_before &&
                       !entry.second.aborted;
            });
        };
        const auto missed = static_cast<std::uint32_t>(std::count_if(
            view.slots.begin(), view.slots.end(), [&serves](const core::SlotView& slot) {
                return slot.phase != core::SlotPhase::Drained && (slot.lasts || serves(slot));
            }));
        for (const WorkerId worker : sent_away_) {
            const Life* life = find(worker);
            if (life == nullptr || life->slot.pool != view.pool ||
                find_slot(view, life->slot) == nullptr || view.breaker_open ||
                drained_.contains(life->slot)) {
                continue;
            }
            // That the other one is found dead in the same turn is nobody's plan.
            const bool relieved =
                std::any_of(living_.begin(), living_.end(), [life](const auto& entry) {
                    const Life& other = entry.second;
                    return other.slot == life->slot &&
                           (other.serves() || (other.served_before && other.aborted));
                });
            if (limits.max_surge > 0 && !relieved) {
                report("BadGenerationNeverEmptiesPool",
                       view.name + "/" + std::to_string(life->slot.index) +
                           " is emptied before its next worker is ready");
            }
            if (!relieved && after < pool.served_before &&
                after + limits.max_unavailable < missed) {
                report("AvailabilityFloorDuringRollout",
                       view.name + ": only " + std::to_string(after) + " serve");
            }
        }
    }
}

// One goes first, and nobody follows or leaves before it has stayed ready.
void Oracle::check_canary(const core::PoolView& view) {
    PoolBook& pool = pools_[view.pool];
    if (view.stage == RolloutStage::Idle && pool.rolling_before) {
        // Who ran it already was left alone by the rollout.
        for (const auto& [id, life] : living_) {
            if (life.slot.pool == view.pool && life.adopted && life.serves() &&
                life.generation == view.generation) {
                pool.slots[life.slot.index].proven = life.generation;
            }
        }
    }
    if (view.stage == RolloutStage::Idle && view.rollout.empty() && pool.rolling_before) {
        const bool all = std::all_of(living_.begin(), living_.end(), [&view](const auto& entry) {
            const core::SlotView* const seat = find_slot(view, entry.second.slot);
            return entry.second.slot.pool != view.pool || !entry.second.undisturbed() ||
                   entry.second.generation == view.generation || (seat != nullptr && !seat->lasts);
        });
        pool.whole = all ? std::optional(view.generation) : pool.whole;
    }
    const bool nobody_is_wanted = std::all_of(
        view.slots.begin(), view.slots.end(),
        [](const core::SlotView& slot) { return slot.phase == core::SlotPhase::Drained; });
    if (view.stage == RolloutStage::Idle && nobody_is_wanted) {
        pool.whole = view.generation;
    }
    if (pool.went_back) {
        pool.whole = view.generation;
        for (auto& [index, slot] : pool.slots) {
            slot.proven = view.generation;
        }
    }
    if (pool.stage_before == RolloutStage::Canary && view.stage == RolloutStage::Rolling &&
        !pool.canary_passed && !finished_ && !started_anew_) {
        report("CanaryIsObserved", view.name + " rolls on without it");
    }
    if (const auto early = std::exchange(pool.replaces_early, std::nullopt);
        early && view.stage == RolloutStage::Rolling && !started_anew_) {
        report("RolloutKeepsDelay",
               "worker " + std::to_string(early->value) + " is started too early after another");
    }
    if (view.stage != RolloutStage::Canary) {
        return;
    }
    std::uint32_t first = 0;
    for (const auto& [id, life] : living_) {
        first += life.slot.pool == view.pool && life.generation == view.generation &&
                         life.goes_first && id > pool.last_before_rollout && life.undisturbed()
                     ? 1U
                     : 0U;
    }
    if (first > 1) {
        report("CanaryIsObserved", view.name + ": " + std::to_string(first) + " go first");
    }
}

// Who is told that a reload was rolled back finds nothing of it.
void Oracle::check_way_back(const Snapshot& snapshot) {
    for (const core::PoolView& view : snapshot.pools) {
        for (const auto& [id, life] : living_) {
            if (rolled_back_ && find_slot(view, life.slot) != nullptr && life.undisturbed() &&
                life.generation != view.generation) {
                report("RollbackGoesBack", view.name + " still runs generation " +
                                               std::to_string(life.generation.value));
            }
        }
        for (const core::Spawn& spawn : spawned_) {
            if (spawn.slot.pool == view.pool && view.stage == RolloutStage::RollingBack &&
                spawn.generation != view.generation && find_slot(view, spawn.slot) != nullptr &&
                find_slot(view, spawn.slot)->lasts) {
                report("RollbackGoesBack", view.name + " is still given generation " +
                                               std::to_string(spawn.generation.value));
            }
        }
    }
}

void Oracle::check_generations(const Snapshot& snapshot) {
    for (const core::Spawn& spawn : spawned_) {
        const auto view = std::find_if(
            snapshot.pools.begin(), snapshot.pools.end(),
            [&spawn](const core::PoolView& pool) { return pool.pool == spawn.slot.pool; });
        if (view == snapshot.pools.end()) {
            continue;
        }
        PoolBook& pool = pools_[spawn.slot.pool];
        const SlotBook& slot = pool.slots[spawn.slot.index];
        const bool rolls = view->stage != RolloutStage::Idle && view->stage != RolloutStage::Paused;
        const core::SlotView* const seat = find_slot(*view, spawn.slot);
        const bool lasts = seat == nullptr || seat->lasts;  // else it goes with what it was
        if (!rolls && lasts && slot.proven && *slot.proven != spawn.generation &&
            pool.whole != spawn.generation) {
            report("RolloutStopsAtFirstFailure", view->name + "/" +
                                                     std::to_string(spawn.slot.index) +
                                                     " gets a generation without a rollout");
        }
        const bool is_successor = std::any_of(
            snapshot.workers.begin(), snapshot.workers.end(), [&spawn](const WorkerView& worker) {
                return worker.worker == spawn.worker && worker.role == Role::Successor;
            });
        const auto undisturbed =
            std::count_if(living_.begin(), living_.end(), [&spawn](const auto& entry) {
                return entry.second.slot.pool == spawn.slot.pool && entry.second.undisturbed() &&
                       !entry.second.is_spare;
            });
        // One whose READY=1 may be lost is not ended before somebody else serves.
        const auto silent =
            std::count_if(living_.begin(), living_.end(), [&spawn](const auto& entry) {
                return entry.second.slot.pool == spawn.slot.pool && entry.second.adopted &&
                       entry.second.starts();
            });
        const std::uint32_t surge =
            std::max(pool.spec.rollout.max_surge, pool.spec.rollout.max_unavailable == 0 ? 1U : 0U);
        if (is_successor && static_cast<std::uint64_t>(undisturbed - silent) >
                                std::uint64_t{view->wanted} + surge) {
            report("SurgeWithinLimit",
                   view->name + ": " + std::to_string(undisturbed) + " workers at a time");
        }
    }
}

// Who had least to finish, when there were to be fewer.
void Oracle::check_leavers(const Snapshot& snapshot) {
    struct Weight {
        bool serves = false;
        std::uint64_t in_flight = 0;
    };

    std::map<core::SlotId, Weight> weights;
    for (const auto& [id, life] : living_) {
        if (life.served_before) {
            weights[life.slot].serves = true;
            weights[life.slot].in_flight += life.in_flight;
        }
    }
    for (const core::PoolView& view : snapshot.pools) {
        if (!scale_ || scale_->pool != view.name) {
            continue;
        }
        for (const core::SlotId gone : slots_before_) {
            if (gone.pool != view.pool || find_slot(view, gone) != nullptr) {
                continue;
            }
            for (const core::SlotView& slot : view.slots) {
                const Weight& left = weights[gone];
                const Weight& stays = weights[slot.slot];
                if (slot.phase != core::SlotPhase::Drained &&
                    std::tie(left.serves, left.in_flight) >
                        std::tie(stays.serves, stays.in_flight)) {
                    report("LeastBusyLeave", view.name + "/" + std::to_string(gone.index) +
                                                 " had more to finish than slot " +
                                                 std::to_string(slot.slot.index));
                }
            }
        }
    }
}

void Oracle::check_old_generations(const Snapshot& snapshot, const core::SupervisorCore& core) {
    for (const core::PoolView& view : snapshot.pools) {
        const config::Pool* spec = core.policy(view.pool);
        std::set<core::Generation> draining;
        for (const WorkerView& worker : snapshot.workers) {
            if (worker.slot.pool == view.pool && worker.role == Role::Leaving &&
                worker.state == core::WorkerState::Draining &&
                worker.generation != view.generation) {
                draining.insert(worker.generation);
            }
        }
        const std::size_t most = spec == nullptr ? 0 : spec->max_old_generations;
        if (!stopping_ && most > 0 && draining.size() > most) {
            report("OldGenerationsBounded",
                   view.name + " has " + std::to_string(draining.size()) + " of them draining");
        }
    }
}

// By request, and until somebody restarts that very slot.
void Oracle::check_drained(const Snapshot& snapshot) {
    std::set<core::SlotId> drained;
    for (const core::PoolView& view : snapshot.pools) {
        for (const core::SlotView& slot : view.slots) {
            const bool was = drained_.contains(slot.slot);
            const bool put_back = stopping_ || (restart_ && restart_->pool == view.name &&
                                                restart_->slot == slot.slot.index);
            if (slot.phase == core::SlotPhase::Drained) {
                drained.insert(slot.slot);
                if (!was) {
                    check_newly_drained(view, slot.slot);
                }
            } else if (was && !put_back) {
                report("DrainedStaysEmpty", view.name + "/" + std::to_string(slot.slot.index) +
                                                " is in use again and nobody asked for that");
            }
        }
    }
    drained_ = std::move(drained);
    for (const core::Spawn& spawn : spawned_) {
        if (drained_.contains(spawn.slot)) {
            report("DrainedStaysEmpty",
                   "worker " + std::to_string(spawn.worker.value) + " is started in it");
        }
    }
}

void Oracle::check_newly_drained(const core::PoolView& view, core::SlotId slot) {
    const std::string name = view.name + "/" + std::to_string(slot.index);
    if (!drain_ || drain_->pool != view.name || drain_->slot != slot.index) {
        report("DrainedStaysEmpty", name + " is drained and nobody asked for that");
    }
    bool took_away = false;
    bool left = false;
    for (const auto& [id, life] : living_) {
        if (life.slot.pool == slot.pool && life.served_before) {
            (life.slot == slot ? took_away : left) = true;
        }
    }
    if (took_away && !left && !pools_[slot.pool].spec.exec.listeners.empty()) {
        report("DrainLeavesSomebody", name + " was the last to serve");
    }
}

void Oracle::check_bounds(const Snapshot& snapshot, const core::SupervisorCore& core) {
    std::size_t slots = 0;
    for (const core::PoolView& pool : snapshot.pools) {
        slots += pool.slots.size();
    }
    const std::uint32_t lanes = core.config().segment.lanes;
    if (snapshot.workers.size() + 1 > lanes || slots > lanes || open_tickets_.size() > 512 ||
        snapshot.pools.size() > lanes ||
        core.generations_in_use().size() > std::size_t{2} * lanes) {
        report("BoundedMemory", std::to_string(snapshot.workers.size()) + " workers, " +
                                    std::to_string(slots) + " slots");
    }
}

void Oracle::check_tick(const std::vector<core::Action>& actions,
                        const core::SupervisorCore& core) {
    const auto next = core.next_deadline();
    if (tick_ && actions.empty() && next && *next <= now_) {
        report("NoBusyTick", "a tick does nothing and asks for the next one at once");
    }
    if (ended_ && next) {
        report("NoBusyTick", "there is a deadline after the end");
    }
}

}  // namespace topsman::sim
