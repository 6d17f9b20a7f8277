// Questions to the core; nothing here changes it.

#include "supervisor/core/state.hpp"

#include <algorithm>

namespace topsman::core {
namespace {

SlotView view(const Slot& slot, const Pool& pool, const Census& census) {
    SlotView view;
    view.slot = slot.id();
    view.phase = slot.phase();
    view.not_before = spawn_time(pool, slot, census);
    view.restarts = slot.restarts();
    view.failures = slot.failures;
    return view;
}

PoolView view(const Pool& pool, const Workers& workers, std::size_t lasting) {
    const Census census = count(pool, workers);
    PoolView view_of_pool;
    view_of_pool.pool = pool.id;
    view_of_pool.name = pool.spec.name;
    view_of_pool.wanted = static_cast<std::uint32_t>(pool.slots.size());
    view_of_pool.configured = pool.spec.workers;
    view_of_pool.ready = census.serving;
    view_of_pool.spares = pool.removed ? 0 : pool.spec.spares;
    view_of_pool.drained = static_cast<std::uint32_t>(pool.slots.size() - pool.slots_in_use());
    view_of_pool.failures = pool.failures;
    view_of_pool.not_before = pool.not_before;
    view_of_pool.pool_given_up = pool.breaker_open;
    // To the operator a slot that was given up is an open breaker too, whoever opened it.
    view_of_pool.breaker_open =
        pool.breaker_open ||
        std::any_of(pool.slots.begin(), pool.slots.end(),
                    [](const Slot& slot) { return slot.phase() == SlotPhase::Tripped; });
    view_of_pool.generation = pool.generation;
    view_of_pool.stage = pool.rollout_stage();
    view_of_pool.rollout = pool.rollout_in_words(census);
    for (const Slot& slot : pool.slots) {
        view_of_pool.slots.push_back(view(slot, pool, census));
        view_of_pool.slots.back().lasts = pool.is_among_first(slot, lasting);
    }
    return view_of_pool;
}

void keep_earlier(std::optional<TimePoint>& earliest, std::optional<TimePoint> other) {
    if (other && (!earliest || *other < *earliest)) {
        earliest = other;
    }
}

/// When the canary has been observed for long enough; when the next one is replaced.
std::optional<TimePoint> next_of_rollout(const Pool& pool, const Workers& workers, TimePoint now) {
    if (!pool.rollout) {
        return std::nullopt;
    }
    if (pool.rollout->canary && is_serving(*pool.rollout->canary, workers)) {
        return pool.observed_until();
    }
    return pool.rollout->not_before > now ? std::optional(pool.rollout->not_before) : std::nullopt;
}

}  // namespace

Snapshot SupervisorCore::snapshot() const {
    Snapshot snapshot;
    snapshot.phase = state_->phase;
    snapshot.generation = state_->generation;
    for (const Pool& pool : state_->pools) {
        snapshot.pools.push_back(view(pool, state_->workers, state_->lasting_size(pool)));
        // What a reload is to take away it takes at its end: until then the number of before
        // counts, or else the next master would find a pool that had been scaled.
        if (state_->change && state_->change->shrink.count(pool.id) > 0) {
            const config::Pool* before = state_->change->base.config.find_pool(pool.spec.name);
            snapshot.pools.back().configured = before != nullptr ? before->workers : 0;
        }
    }
    for (const auto& [id, worker] : state_->workers) {
        const Role role = state_->pool_of(worker).role_of(worker);
        snapshot.workers.push_back(WorkerView{
            id, worker.slot, role, worker.state, worker.generation, worker.spare, worker.spawned_at,
            worker.ready_at, worker.last_beat, state_->deadline(worker)});
    }
    return snapshot;
}

std::optional<TimePoint> SupervisorCore::next_deadline() const {
    const State& state = *state_;
    std::optional<TimePoint> earliest;
    for (const auto& [id, worker] : state.workers) {
        keep_earlier(earliest, state.deadline(worker));
        keep_earlier(earliest, state.health_time(worker));
    }
    if (state.phase != Phase::Running) {
        return earliest;
    }
    keep_earlier(earliest, state.measure_time());
    std::optional<TimePoint> settled;
    for (const Pool& pool : state.pools) {
        const Census census = count(pool, state.workers);
        for (const Slot& slot : pool.slots) {
            // Without a free lane it is a death that lets the next worker in, not the time.
            if (state.has_free_lane()) {
                keep_earlier(earliest, spawn_time(pool, slot, census));
            }
        }
        keep_earlier(earliest, next_of_rollout(pool, state.workers, state.now));
        const auto recycling = next_recycling(pool, state.workers, census);
        const bool recycles = state.lasting_size(pool) == pool.slots.size();
        if (recycles && recycling && (recycling->leaves_first || state.has_free_lane())) {
            keep_earlier(earliest, recycling->due);
        }
        keep_earlier(earliest, state.spare_time(pool));
        if (!pool.removed && census.serving == 0 && !is_given_up(pool)) {
            settled = std::max(settled.value_or(pool.up_deadline), pool.up_deadline);
        }
    }
    // The service is called up when the last pool is ready or has had its time.
    if (!state.up) {
        keep_earlier(earliest, settled);
    }
    return earliest;
}

std::vector<WorkerId> SupervisorCore::due_for_judgement(TimePoint now) const {
    std::vector<WorkerId> due;
    for (const auto& [id, worker] : state_->workers) {
        const bool is_probed = worker.state == WorkerState::Starting &&
                               state_->pool_of(worker).spec.ready.by == config::ReadyBy::Exec;
        const bool judged = worker.state == WorkerState::Serving ||
                            worker.state == WorkerState::Aborting || is_probed;
        const auto deadline = judged ? state_->deadline(worker) : std::nullopt;
        if (deadline && *deadline <= now) {
            due.push_back(id);
        }
    }
    return due;
}

std::vector<MeasureWish> SupervisorCore::due_for_measuring(TimePoint now) const {
    std::vector<MeasureWish> wishes;
    if (const auto due = state_->measure_time(); !due || *due > now) {
        return wishes;
    }
    for (const auto& [id, worker] : state_->workers) {
        const config::Pool& spec = state_->pool_of(worker).spec;
        if (worker.state == WorkerState::Serving && worker.spare == SpareStage::None &&
            is_measured(spec)) {
            wishes.push_back({id, spec.recycle.requests > 0, spec.recycle.memory > 0});
        }
    }
    return wishes;
}

Legacy SupervisorCore::legacy() const {
    Legacy legacy;
    legacy.current = Version{state_->config, state_->generation, {}};
    for (const Pool& pool : state_->pools) {
        if (!pool.removed && state_->config.find_pool(pool.spec.name) != nullptr) {
            legacy.current.pools[pool.spec.name] = pool.generation;
        }
        if (pool.rollout_stage() == RolloutStage::Paused) {
            legacy.paused.insert(pool.spec.name);
        }
        if (!pool.removed && !pool.rollout && !pool.rollout_end.empty()) {
            legacy.ends[pool.spec.name] = pool.rollout_end;
        }
    }
    if (const auto& change = state_->change) {
        legacy.base = change->base;
        legacy.goes_back = change->goes_back;
        legacy.failure = change->failure;
        // A scaling meanwhile holds, whoever ends the reload.
        for (config::Pool& spec : legacy.current.config.pools) {
            if (const Pool* pool = state_->find_pool(spec.name);
                pool != nullptr && !change->goes_back) {
                spec.workers = static_cast<std::uint32_t>(state_->lasting_size(*pool));
            }
        }
    }
    legacy.previous = state_->previous;
    return legacy;
}

std::set<Generation> SupervisorCore::generations_in_use() const {
    std::set<Generation> used{state_->generation};
    for (const auto& [id, worker] : state_->workers) {
        used.insert(worker.generation);
    }
    for (const Version* version : {state_->change ? &state_->change->base : nullptr,
                                   state_->previous ? &*state_->previous : nullptr}) {
        if (version != nullptr) {
            for (const auto& [name, generation] : version->pools) {
                used.insert(generation);
            }
        }
    }
    for (const Pool& pool : state_->pools) {
        used.insert({pool.generation, pool.stable});
        for (const Slot& slot : pool.slots) {
            used.insert(slot.generation());
        }
    }
    return used;
}

}  // namespace topsman::core
