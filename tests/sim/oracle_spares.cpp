// The oracle's verdicts on spares, after a turn.

#include "tests/sim/oracle.hpp"

#include <algorithm>

namespace topsman::sim {

using core::Role;
using core::RolloutStage;
using core::Snapshot;
using core::WorkerView;

// They are beside the workers, and none too many; and one is used before another worker is started.
void Oracle::check_spares(const Snapshot& snapshot, const core::SupervisorCore& core) {
    for (const WorkerView& view : snapshot.workers) {
        const Life* life = find(view.worker);
        const bool is_spare = view.role == Role::Spare;
        const bool is_left = view.role == Role::Leaving;
        if (life != nullptr && !is_left &&
            (life->is_spare != is_spare || is_spare != (view.slot.index == kNoSlot))) {
            report("SpareIsNoWorker",
                   "worker " + std::to_string(view.worker.value) + " is taken for what it is not");
        }
    }
    for (const core::PoolView& view : snapshot.pools) {
        if (view.ready != serving(view.pool)) {
            report("SpareIsNoWorker", view.name + " says that " + std::to_string(view.ready) +
                                          " are ready and it is " +
                                          std::to_string(serving(view.pool)));
        }
        check_abandoned(view);
        const config::Pool* spec = core.config().find_pool(view.name);
        const std::uint32_t wanted = spec == nullptr ? 0 : spec->spares;
        const auto spares = static_cast<std::uint32_t>(
            std::count_if(living_.begin(), living_.end(), [&view](const auto& entry) {
                return entry.second.slot.pool == view.pool && entry.second.is_spare &&
                       entry.second.undisturbed();
            }));
        const bool is_going = spec == nullptr && view.stage != RolloutStage::Idle;
        if (!stopping_ && !is_going && spares > (wanted == 0 ? 0 : wanted + 1)) {
            report("SparesAreBounded", view.name + " has " + std::to_string(spares) + " spares");
        }
    }
    for (const core::Spawn& spawn : spawned_) {
        const PoolBook& pool = pools_[spawn.slot.pool];
        const bool is_seated = std::any_of(
            snapshot.workers.begin(), snapshot.workers.end(), [&spawn](const WorkerView& view) {
                return view.worker == spawn.worker && view.role == Role::Current &&
                       view.state == core::WorkerState::Starting;
            });
        const bool had_one = std::any_of(living_.begin(), living_.end(), [&spawn](const auto& at) {
            const Life& life = at.second;
            return life.is_spare && life.ready_at && life.undisturbed() &&
                   life.slot.pool == spawn.slot.pool && life.generation == spawn.generation;
        });
        if (is_seated && had_one && !pool.rolling_before && !started_anew_) {
            report("SpareTakesTheSeat", "worker " + std::to_string(spawn.worker.value) +
                                            " is started though a spare waits");
        }
    }
}

// What was taken back is of use to nobody, until it is rolled out again.
void Oracle::check_abandoned(const core::PoolView& view) {
    const PoolBook& pool = pools_[view.pool];
    std::set<core::Generation>& abandoned = abandoned_[view.name];
    if (pool.went_back && pool.generation_before != core::Generation{}) {
        abandoned.insert(pool.generation_before);
    }
    abandoned.erase(view.generation);
    for (const core::Spawn& spare : released_) {
        if (spare.slot.pool == view.pool && abandoned.contains(spare.generation)) {
            report("RollbackGoesBack", "a spare of generation " +
                                           std::to_string(spare.generation.value) +
                                           ", which was rolled back, gets a seat");
        }
    }
}

}  // namespace topsman::sim
