#include "supervisor/core/pool.hpp"

#include "shm/base/check.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>
#include <utility>

namespace topsman::core {
namespace {

// Leaving workers take memory and lanes: a rollout does not run ahead of them without end.
bool may_add_leaver(const Pool& pool, const Census& census) {
    return census.leaving < pool.slots.size() + pool.max_surge();
}

const Worker& worker_of(const Slot& slot, const Workers& workers) {
    const auto found = workers.find(*slot.current());
    CHECK(found != workers.end());
    return found->second;
}

/// Nobody will be started in it without the operator, though somebody should.
bool has_given_up(SlotPhase phase) {
    return phase == SlotPhase::Tripped || phase == SlotPhase::Finished;
}

bool surplus_allowed(const Pool& pool, const Census& census) {
    return census.successors < pool.max_surge();
}

// With max_surge 0 a worker may go first if enough others serve, or if it does not serve anyway.
bool absence_allowed(const Pool& pool, const Worker& worker, const Census& census,
                     std::size_t expected) {
    if (worker.state != WorkerState::Serving) {
        return worker.state == WorkerState::Starting;
    }
    return expected <= census.serving
               ? pool.spec.rollout.max_unavailable > 0
               : expected - census.serving < pool.spec.rollout.max_unavailable;
}

}  // namespace

Slot* Pool::find_slot(SlotId slot) {
    return const_cast<Slot*>(std::as_const(*this).find_slot(slot));
}

const Slot* Pool::find_slot(SlotId slot) const {
    const auto found = std::find_if(slots.begin(), slots.end(),
                                    [slot](const Slot& other) { return other.id() == slot; });
    return found == slots.end() ? nullptr : &*found;
}

std::uint32_t Pool::free_number() const {
    std::uint32_t number = 0;
    while (find_slot({id, number}) != nullptr) {
        ++number;
    }
    return number;
}

bool Pool::is_among_first(const Slot& slot, std::size_t size) const {
    return &slot < slots.data() + size;
}

void Pool::sort_slots() {
    std::sort(slots.begin(), slots.end(),
              [](const Slot& a, const Slot& b) { return a.id() < b.id(); });
}

Role Pool::role_of(const Worker& worker) const {
    if (worker.spare != SpareStage::None) {
        return Role::Spare;
    }
    const Slot* slot = find_slot(worker.slot);
    return slot == nullptr ? Role::Leaving : slot->role_of(worker.id);
}

std::string Pool::name_of(SlotId slot) const {
    return slot_name(spec.name, slot.index);
}

std::uint32_t Pool::max_surge() const {
    const config::Rollout& limits = spec.rollout;
    return limits.max_surge == 0 && limits.max_unavailable == 0 ? 1 : limits.max_surge;
}

RolloutStage Pool::rollout_stage() const {
    if (rollout) {
        return rollout->stage;
    }
    return is_half() ? RolloutStage::Paused : RolloutStage::Idle;
}

std::string Pool::rollout_in_words(const Census& census) const {
    if (!rollout) {
        return rollout_end;
    }
    const char* verb = rollout->stage == RolloutStage::Canary        ? "canary "
                       : rollout->stage == RolloutStage::RollingBack ? "rolling back "
                                                                     : "rolling ";
    const std::string held =
        may_add_leaver(*this, census)
            ? ""
            : ": waits until some of " + std::to_string(census.leaving) + " workers have left";
    const bool keeps_delay =
        rollout->stage == RolloutStage::Rolling && spec.rollout.delay.count() > 0;
    const std::string apart =
        keeps_delay ? ", " + in_words(clock_duration(spec.rollout.delay)) + " apart" : "";
    return verb + std::to_string(rollout->done) + "/" + std::to_string(rollout->total) + apart +
           held;
}

std::optional<TimePoint> Pool::observed_until() const {
    if (!rollout || !rollout->observed_since) {
        return std::nullopt;
    }
    return *rollout->observed_since + clock_duration(spec.rollout.observe);
}

std::size_t Pool::slots_in_use() const {
    return static_cast<std::size_t>(std::count_if(slots.begin(), slots.end(), [](const Slot& slot) {
        return slot.phase() != SlotPhase::Drained;
    }));
}

bool Pool::is_of_use(const Worker& spare) const {
    return spare.spare_batch == spare_batch && !spare.outdated;
}

void Pool::forgive() {
    failures = 0;
    spare_failures = 0;
    spare_not_before = TimePoint{};
    not_before = TimePoint{};
    spacing = Duration::zero();
    start_limit.clear();
    breaker_open = false;
    for (Slot& slot : slots) {
        slot.failures = 0;
    }
}

void Pool::restart_empty_slots() {
    for (Slot& slot : slots) {
        if (has_given_up(slot.phase()) || slot.phase() == SlotPhase::Waiting) {
            slot.vacate();
        }
    }
}

Census count(const Pool& pool, const Workers& workers) {
    Census census;
    for (const auto& [id, worker] : workers) {
        if (worker.slot.pool != pool.id) {
            continue;
        }
        const Role role = pool.role_of(worker);
        ++census.living;
        const bool serves = worker.state == WorkerState::Serving && role != Role::Spare;
        census.serving += serves ? 1U : 0U;
        census.spares += role == Role::Spare ? 1U : 0U;
        census.leaving += role == Role::Leaving ? 1U : 0U;
        census.successors += role == Role::Successor ? 1U : 0U;
    }
    return census;
}

std::optional<TimePoint> spawn_time(const Pool& pool, const Slot& slot, const Census& census) {
    const auto* waiting = std::get_if<Waiting>(&slot.seat());
    if (waiting == nullptr) {
        return std::nullopt;
    }
    const bool pool_waits = waiting->paced && census.serving == 0;
    return pool_waits ? std::max(waiting->not_before, pool.not_before) : waiting->not_before;
}

bool is_serving(WorkerId worker, const Workers& workers) {
    const auto found = workers.find(worker);
    return found != workers.end() && found->second.state == WorkerState::Serving;
}

bool canary_is_out(const Pool& pool) {
    if (pool.rollout_stage() != RolloutStage::Canary) {
        return false;
    }
    // Its seat may still be waiting for the old worker to be gone.
    return pool.rollout->canary ||
           std::any_of(pool.slots.begin(), pool.slots.end(), [](const Slot& slot) {
               const auto* vacant = std::get_if<Vacant>(&slot.seat());
               return slot.renewal == Renewal::Wanted && vacant != nullptr && vacant->after;
           });
}

std::optional<Replacement> next_renewal(const Pool& pool, const Workers& workers,
                                        const Census& census, std::size_t lasting) {
    if (!pool.rollout || !may_add_leaver(pool, census) || canary_is_out(pool)) {
        return std::nullopt;
    }
    // A drained slot is not missed, nor one without a serving worker that a reload takes away at
    // its end, unless it was emptied for another worker: that one is to come.
    const auto missed = [&pool, &workers, lasting](const Slot& slot) {
        const auto* vacant = std::get_if<Vacant>(&slot.seat());
        const bool is_emptied = vacant != nullptr && vacant->after;
        return slot.phase() != SlotPhase::Drained &&
               (pool.is_among_first(slot, lasting) || is_emptied ||
                (slot.current() && is_serving(*slot.current(), workers)));
    };
    const auto expected =
        static_cast<std::size_t>(std::count_if(pool.slots.begin(), pool.slots.end(), missed));
    for (const Slot& slot : pool.slots) {
        if (slot.renewal != Renewal::Wanted || !slot.current() || slot.successor()) {
            continue;
        }
        const bool leaves_first = pool.max_surge() == 0;
        const bool allowed = leaves_first
                                 ? absence_allowed(pool, worker_of(slot, workers), census, expected)
                                 : surplus_allowed(pool, census);
        if (allowed) {
            return Replacement{slot.id(), TimePoint{}, leaves_first};
        }
    }
    return std::nullopt;
}

std::optional<Replacement> next_recycling(const Pool& pool, const Workers& workers,
                                          const Census& census) {
    const bool quiet = !pool.rollout && census.successors == 0 && may_add_leaver(pool, census);
    if (!quiet || pool.removed) {
        return std::nullopt;
    }
    std::optional<Replacement> next;
    for (const Slot& slot : pool.slots) {
        if (!slot.current()) {
            continue;
        }
        const Worker& worker = worker_of(slot, workers);
        const auto due = recycle_time(worker, pool.spec);
        const bool leaves_first = pool.max_surge() == 0;
        if (due && (!next || *due < next->due) &&
            (!leaves_first || absence_allowed(pool, worker, census, pool.slots_in_use()))) {
            next = Replacement{slot.id(), *due, leaves_first};
        }
    }
    return next;
}

std::optional<WorkerId> next_spare(const Pool& pool, const Workers& workers,
                                   Generation generation) {
    const Worker* next = nullptr;
    for (const auto& [id, worker] : workers) {
        const bool is_one = worker.slot.pool == pool.id && worker.spare != SpareStage::None &&
                            worker.state == WorkerState::Serving && pool.is_of_use(worker) &&
                            worker.generation == generation;
        if (is_one && (next == nullptr ||
                       (worker.spare == SpareStage::Parked && next->spare != SpareStage::Parked))) {
            next = &worker;
        }
    }
    return next == nullptr ? std::nullopt : std::optional(next->id);
}

bool is_given_up(const Pool& pool) {
    return pool.breaker_open ||
           std::all_of(pool.slots.begin(), pool.slots.end(), [](const Slot& slot) {
               return has_given_up(slot.phase()) || slot.phase() == SlotPhase::Drained;
           });
}

}  // namespace topsman::core
