// Going on with what a dead master left: generations, seats, failures and breakers as they were.

#include "shm/base/check.hpp"
#include "supervisor/core/backoff.hpp"
#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>

namespace topsman::core {
namespace {

// What a slot was waiting for may have been written by anybody: never longer than we would let it.
TimePoint sensible(TimePoint not_before, const config::Pool& spec, TimePoint now) {
    return std::min(not_before, now + 2 * clock_duration(spec.backoff.max));
}

const LeftPool* find_pool_of(const Inheritance& left, const std::string& name) {
    const auto found = std::find_if(left.pools.begin(), left.pools.end(),
                                    [&name](const LeftPool& pool) { return pool.name == name; });
    return found == left.pools.end() ? nullptr : &*found;
}

// A pool is renewed if a worker in one of its seats, or its newest generation, is not the file's.
bool is_outdated(const std::string& name, const Inheritance& left) {
    const LeftPool* before = find_pool_of(left, name);
    return (before != nullptr && before->outdated) ||
           std::any_of(left.workers.begin(), left.workers.end(), [&name](const LeftWorker& worker) {
               return worker.pool == name && worker.outdated && worker.role != Role::Leaving;
           });
}

// Who has a seat comes first, then the older one: its successor sits down beside it.
std::vector<LeftWorker> by_seniority(std::vector<LeftWorker> workers) {
    const auto rank = [](const LeftWorker& worker) {
        return std::pair(worker.role == Role::Current ? 0 : 1, worker.worker);
    };
    std::sort(workers.begin(), workers.end(),
              [&rank](const LeftWorker& a, const LeftWorker& b) { return rank(a) < rank(b); });
    return workers;
}

}  // namespace

void SupervisorCore::State::on(const Adopt& event) {
    if (!workers.empty() || last_worker != 0 || phase != Phase::Running) {
        ++ignored;
        return;
    }
    const Inheritance& left = event.left;
    last_worker = left.last_worker.value;
    generation = std::max(generation, left.generation);
    if (std::any_of(pools.begin(), pools.end(),
                    [&left](const Pool& pool) { return is_outdated(pool.spec.name, left); })) {
        ++generation.value;
    }
    last_generation = std::max(last_generation, generation);
    announce_config();
    for (Pool& pool : pools) {
        resume(pool, left);
    }
    const std::vector<LeftWorker> ordered = by_seniority(left.workers);
    for (const LeftWorker& worker : ordered) {
        take_in(worker);
    }
    for (const LeftWorker& worker : ordered) {
        settle_in(worker.worker, worker.said_ready);
    }
    for (Pool& pool : pools) {
        renew_outdated(pool);
    }
}

void SupervisorCore::State::resume(Pool& pool, const Inheritance& left) {
    const LeftPool* before = find_pool_of(left, pool.spec.name);
    const bool outdated = is_outdated(pool.spec.name, left);
    const bool known = before != nullptr && !outdated && before->generation.value > 0 &&
                       before->generation <= generation;
    pool.generation = known ? before->generation : generation;
    pool.stable = pool.generation;
    // What was scaled stays so for as long as the file does.
    const bool was_scaled = before != nullptr && before->configured == pool.spec.workers &&
                            before->wanted >= 1 && before->wanted <= config.segment.lanes / 2;
    const std::uint32_t size = was_scaled ? before->wanted : pool.spec.workers;
    pool.slots.clear();
    for (std::uint32_t index = 0; index < size; ++index) {
        pool.slots.emplace_back(SlotId{pool.id, index}, pool.generation);
    }
    if (before != nullptr && !outdated) {
        pool.breaker_open = before->breaker_open;
        pool.failures = before->failures;
        pool.not_before = sensible(before->not_before, pool.spec, now);
    }
    resume_slots(pool, left, outdated);
}

void SupervisorCore::State::resume_slots(Pool& pool, const Inheritance& left, bool outdated) {
    for (const LeftSlot& before : left.slots) {
        Slot* slot =
            before.pool == pool.spec.name ? pool.find_slot({pool.id, before.slot}) : nullptr;
        if (slot == nullptr) {
            continue;
        }
        if (before.restarts > 0 || before.phase != SlotPhase::Vacant) {
            slot->resume(before.restarts);
        }
        // What failed with another specification is tried with the new one.
        if (outdated) {
            continue;
        }
        slot->failures = before.failures;
        if (before.phase == SlotPhase::Waiting) {
            slot->wait(sensible(before.not_before.value_or(now), pool.spec, now), true);
        } else if (before.phase == SlotPhase::Tripped) {
            slot->trip();
        } else if (before.phase == SlotPhase::Finished) {
            slot->finish();
        }
    }
}

// A pool that the file has not any more has no seats: its workers leave.
Pool& SupervisorCore::State::pool_named(const std::string& name) {
    const auto found = std::find_if(pools.begin(), pools.end(),
                                    [&name](const Pool& pool) { return pool.spec.name == name; });
    if (found != pools.end()) {
        return *found;
    }
    config::Pool gone;
    gone.name = name;
    Pool& pool = pools.emplace_back(make_pool(gone, generation));
    pool.slots.clear();
    pool.removed = true;
    return pool;
}

void SupervisorCore::State::take_in(const LeftWorker& left) {
    Pool& pool = pool_named(left.pool);
    Worker worker;
    worker.id = left.worker;
    worker.slot = SlotId{pool.id, left.slot};
    // What it runs is what the pool's generation is started from, whatever that was called.
    worker.generation = left.outdated ? left.generation : pool.generation;
    worker.recycle_jitter = jitter.next();
    worker.state = left.state;
    worker.spawned_at = std::min(left.spawned_at, now);
    // Nobody is late because there was no master; only age counts on.
    const bool by_age =
        left.state == WorkerState::Starting && pool.spec.ready.by == config::ReadyBy::None;
    worker.since = by_age ? worker.spawned_at : now;
    worker.executed = true;
    worker.adopted = true;
    worker.outdated = left.outdated;
    worker.last_beat = left.last_beat;
    if (left.state >= WorkerState::Serving) {
        worker.ready_at = left.ready_at;
    }
    if (left.state == WorkerState::Serving && !worker.ready_at) {
        worker.ready_at = now;
    }
    if (left.state >= WorkerState::Aborting) {
        worker.cause = "it was being ended when the master died";
    }
    if (!workers.emplace(left.worker, worker).second) {
        return;
    }
    last_worker = std::max(last_worker, left.worker.value);
    Slot* slot = pool.find_slot(worker.slot);
    if (slot == nullptr || left.role == Role::Leaving) {
        return;
    }
    if (!slot->current()) {
        const std::uint64_t restarts = slot->restarts();
        slot->occupy(left.worker);
        slot->resume(restarts);
    } else if (!slot->successor()) {
        const std::uint64_t restarts = slot->restarts();
        slot->add_successor(left.worker);
        slot->resume(restarts);
    }
}

// Each has its seat, or none. Who has none was to leave, and so does a second successor.
void SupervisorCore::State::settle_in(WorkerId id, bool said_ready) {
    Worker& worker = workers.at(id);
    announce(Notice::WorkerAdopted, worker);
    Pool& pool = pool_of(worker);
    const Role role = pool.role_of(worker);
    if (role == Role::Leaving) {
        if (worker.state < WorkerState::Draining) {
            send_away(worker);
        } else {
            worker.asked_to_leave = worker.state == WorkerState::Draining;
        }
        return;
    }
    worker.said_stopping = worker.state == WorkerState::Draining;
    if (role == Role::Successor && worker.state == WorkerState::Serving) {
        send_away(workers.at(pool.find_slot(worker.slot)->promote()));
    }
    if (said_ready && pool.spec.ready.by == config::ReadyBy::Notify) {
        become_ready(worker);
    }
}

// A rollout that was under way is begun again, for those whom it had not reached.
void SupervisorCore::State::renew_outdated(Pool& pool) {
    const auto is_old = [this](const Slot& slot) {
        return slot.current() && workers.at(*slot.current()).outdated;
    };
    if (pool.removed || std::none_of(pool.slots.begin(), pool.slots.end(), is_old)) {
        return;
    }
    // Ahead of the others goes one: what the file says now has not proven itself.
    const bool has_somebody = count(pool, workers).serving > 0;
    start_rollout(pool, pool.generation,
                  has_somebody ? RolloutStage::Canary : RolloutStage::Rolling);
    for (Slot& slot : pool.slots) {
        if (is_old(slot)) {
            want_renewal(pool, slot);
        }
    }
    announce(Notice::RolloutStarted, pool, in_words(pool.generation));
}

// It may have said READY=1 while there was nobody to hear it, so its silence proves nothing: a
// replacement comes first, then it goes. False: it is judged as any other.
bool SupervisorCore::State::replace_silent(Worker& worker) {
    Pool& pool = pool_of(worker);
    Slot* slot = pool.find_slot(worker.slot);
    if (phase != Phase::Running || pool.role_of(worker) != Role::Current) {
        return false;
    }
    worker.since = now;
    if (!slot->successor() && !pool.rollout) {
        spawn(pool, *slot, slot->generation(), 0);
    }
    return true;
}

}  // namespace topsman::core
