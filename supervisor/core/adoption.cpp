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

// A reload of which not all is done, and not undone either.
bool is_under_way(const Inheritance& left) {
    return left.legacy && left.legacy->base && !left.legacy->goes_back;
}

// By the master itself, before it was executed anew.
bool is_told_already(const Action& action) {
    const auto* told = std::get_if<Announce>(&action);
    return told != nullptr &&
           (told->notice == Notice::ConfigLoaded || told->notice == Notice::WorkerAdopted);
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
    up = left.is_up;
    if (left.legacy) {
        resume_versions(left);
    } else {
        number_anew(left);
    }
    const std::vector<LeftWorker> ordered = by_seniority(left.workers);
    for (const LeftWorker& worker : ordered) {
        take_in(worker, left.legacy.has_value());
    }
    // On its way from one generation to another a seat may be of either; else of the pool's.
    if (is_under_way(left)) {
        for (const LeftWorker& worker : ordered) {
            prove_seat(workers.at(worker.worker));
        }
    }
    for (const LeftWorker& worker : ordered) {
        settle_in(worker.worker, worker.said_ready);
        if (Worker& settled = workers.at(worker.worker); worker.course) {
            settled.asked_to_leave = worker.course->asked_to_leave;
            settled.said_stopping = worker.course->said_stopping;
        }
    }
    if (left.legacy) {
        go_on(*left.legacy);
    }
    if (left.same_master) {
        std::erase_if(*out, is_told_already);
        return;
    }
    for (Pool& pool : pools) {
        renew_outdated(pool);
    }
}

// All that is known is the configuration in force: what was executed from something else is of a
// generation that nobody can start any more.
void SupervisorCore::State::number_anew(const Inheritance& left) {
    generation = std::max(generation, left.generation);
    if (std::any_of(pools.begin(), pools.end(),
                    [&left](const Pool& pool) { return is_outdated(pool.spec.name, left); })) {
        ++generation.value;
    }
    last_generation = std::max(last_generation, generation);
    announce_config();
    for (Pool& pool : pools) {
        const LeftPool* before = find_pool_of(left, pool.spec.name);
        const bool known = before != nullptr && !is_outdated(pool.spec.name, left) &&
                           before->generation.value > 0 && before->generation <= generation;
        pool.generation = known ? before->generation : generation;
        pool.stable = pool.generation;
        resume(pool, left);
    }
}

// Each generation is what it was. First comes what has proven itself: see go_on().
void SupervisorCore::State::resume_versions(const Inheritance& left) {
    const Legacy& legacy = *left.legacy;
    const Version& footing = legacy.footing();
    generation = footing.generation;
    last_generation = std::max(last_generation, left.generation);
    previous = legacy.previous;
    const auto outnumber = [this](const std::optional<Version>& version) {
        for (const auto& [name, runs] : version ? version->pools : decltype(version->pools){}) {
            last_generation = std::max(last_generation, runs);
        }
    };
    outnumber(legacy.current);
    outnumber(legacy.base);
    outnumber(legacy.previous);
    // What the reload under way has added serves already, and stays.
    for (const config::Pool& spec : legacy.current.config.pools) {
        if (find_pool(spec.name) == nullptr) {
            pools.push_back(make_pool(spec, legacy.current.pools.at(spec.name)));
        }
    }
    for (Pool& pool : pools) {
        if (const auto runs = footing.pools.find(pool.spec.name); runs != footing.pools.end()) {
            pool.generation = runs->second;
            pool.stable = runs->second;
        }
        resume(pool, left);
    }
}

// The reload that was under way is begun again, for those whom it had not reached; what was being
// undone is; and what was paused is paused.
void SupervisorCore::State::go_on(const Legacy& legacy) {
    if (legacy.base) {
        change = Change{++last_change, *legacy.base, legacy.failure, legacy.goes_back, {}, {}};
    }
    if (legacy.base && !legacy.goes_back) {
        go_to(legacy.current, Ticket{});
    } else {
        announce_config();
    }
    for (Pool& pool : pools) {
        if (legacy.goes_back && !pool.removed) {
            begin_target(pool, pool.generation);
        }
        const auto end = legacy.ends.find(pool.spec.name);
        const std::string& words = end == legacy.ends.end() ? pool.rollout_end : end->second;
        if (pool.rollout && legacy.paused.contains(pool.spec.name)) {
            std::set<WorkerId> leaving;
            withdraw_rollout(pool, leaving);
            announce(Notice::RolloutPaused, pool, words);
        }
        if (!pool.rollout && !pool.removed) {
            pool.rollout_end = words;
        }
    }
}

void SupervisorCore::State::resume(Pool& pool, const Inheritance& left) {
    const LeftPool* before = find_pool_of(left, pool.spec.name);
    const bool outdated = !left.legacy && is_outdated(pool.spec.name, left);
    // What was scaled stays so for as long as the file does. A reload under way has its own number
    // already, and takes away at its end.
    const bool was_scaled = before != nullptr &&
                            (is_under_way(left) || before->configured == pool.spec.workers) &&
                            before->wanted >= 1 && before->wanted < config.segment.lanes;
    const std::uint32_t size = was_scaled ? before->wanted : pool.spec.workers;
    pool.slots.clear();
    number_slots(pool, size, left);
    if (before != nullptr && !outdated) {
        pool.breaker_open = before->breaker_open;
        pool.failures = before->failures;
        pool.start_limit.resume(before->start_failures);
        pool.unseen = before->unseen;
        pool.spare_failures = before->spare_failures;
        pool.spare_not_before = before->spare_not_before;
        pool.not_before = sensible(before->not_before, pool.spec, now);
        if (pool.failures > 0) {
            space_starts(pool);  // of those who wait for it one is started after the other
        }
    }
    resume_slots(pool, left, outdated);
}

// As they were; a scaling down may have left gaps between them.
void SupervisorCore::State::number_slots(Pool& pool, std::size_t size,
                                         const Inheritance& left) const {
    for (const LeftSlot& before : left.slots) {
        const SlotId id{pool.id, before.slot};
        if (before.pool == pool.spec.name && pool.slots.size() < size &&
            before.slot < config.segment.lanes && pool.find_slot(id) == nullptr) {
            pool.slots.emplace_back(id, pool.generation);
        }
    }
    while (pool.slots.size() < size) {
        pool.slots.emplace_back(SlotId{pool.id, pool.free_number()}, pool.generation);
    }
    pool.sort_slots();
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
        if (before.phase == SlotPhase::Drained) {
            slot->drain();  // the operator's will, whatever the file says by now
        }
        // What failed with another specification is tried with the new one.
        if (outdated) {
            continue;
        }
        slot->failures = before.failures;
        slot->proven(before.generation.value_or(slot->generation()));
        if (before.phase == SlotPhase::Vacant && before.after) {
            slot->vacate(before.after);
        } else if (before.phase == SlotPhase::Waiting) {
            slot->wait(sensible(before.not_before.value_or(now), pool.spec, now), true);
        } else if (before.phase == SlotPhase::Tripped) {
            slot->trip();
        } else if (before.phase == SlotPhase::Finished) {
            slot->finish();
        }
    }
}

// A pool that the file has not any more has no seats: its workers leave, in the time that they had
// if it is known.
Pool& SupervisorCore::State::pool_named(const std::string& name) {
    const auto found = std::find_if(pools.begin(), pools.end(),
                                    [&name](const Pool& pool) { return pool.spec.name == name; });
    if (found != pools.end()) {
        return *found;
    }
    const config::Pool* known = previous ? previous->config.find_pool(name) : nullptr;
    config::Pool gone = known != nullptr ? *known : config::Pool{};
    gone.name = name;
    Pool& pool = pools.emplace_back(make_pool(gone, generation));
    pool.slots.clear();
    pool.removed = true;
    return pool;
}

void SupervisorCore::State::take_in(const LeftWorker& left, bool is_known) {
    Pool& pool = pool_named(left.pool);
    Worker worker;
    worker.id = left.worker;
    worker.slot = SlotId{pool.id, left.slot};
    // Where generations are not known, what it runs is what the pool's is started from, whatever
    // that was called.
    worker.generation = is_known || left.outdated ? left.generation : pool.generation;
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
    if (left.role == Role::Spare) {
        worker.spare = std::max(left.spare, SpareStage::Warming);
        worker.slot.index = kNoSlot;
    }
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
    if (left.course) {
        worker.since = left.course->since;
        worker.extended_until = left.course->extended_until;
        worker.adopted = left.course->adopted;
        worker.cause = left.course->cause;
        worker.recycle_jitter = left.course->recycle_jitter;
        worker.recycle_not_before = left.course->recycle_not_before;
        worker.cannot_tell = left.course->cannot_tell;
    }
    if (!workers.emplace(left.worker, worker).second) {
        return;
    }
    last_worker = std::max(last_worker, left.worker.value);
    Slot* slot = pool.find_slot(worker.slot);
    if (slot == nullptr || left.role == Role::Leaving || slot->phase() == SlotPhase::Drained) {
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

void SupervisorCore::State::prove_seat(const Worker& worker) {
    Pool& pool = pool_of(worker);
    if (pool.role_of(worker) == Role::Current && worker.ready_at && !worker.outdated) {
        pool.find_slot(worker.slot)->proven(worker.generation);
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
    if (role == Role::Spare) {
        settle_spare(worker, said_ready);
        return;
    }
    if (role == Role::Successor) {
        settle_successor(pool, worker);
    }
    if (pool.role_of(worker) == Role::Leaving) {
        return;
    }
    if (said_ready && (pool.spec.ready.assumed || pool.spec.ready.by == config::ReadyBy::Notify)) {
        become_ready(worker);
    }
}

// A parked one waits on. One that had not said that it is ready, or was not heard, is no loss.
void SupervisorCore::State::settle_spare(Worker& worker, bool said_ready) {
    if (worker.state == WorkerState::Starting && said_ready) {
        become_ready(worker);
    } else if (worker.state == WorkerState::Starting && worker.adopted) {
        send_away(worker);
    } else if (worker.state == WorkerState::Serving && worker.spare == SpareStage::Warming) {
        out->emplace_back(Park{worker.id});
    }
}

// Of the generation of its seat: it takes the seat, or will. Else it was sent ahead by a rollout,
// and another one will be; but a seat whose worker does not serve has nobody else.
void SupervisorCore::State::settle_successor(Pool& pool, Worker& worker) {
    Slot& slot = *pool.find_slot(worker.slot);
    const bool serves = worker.state == WorkerState::Serving;
    const bool stays = !worker.outdated && worker.generation == slot.generation();
    if (serves && (stays || !is_serving(*slot.current(), workers))) {
        send_away(workers.at(slot.promote()));
    } else if (!stays) {
        slot.drop_successor();
        send_away(worker);
    }
}

// One whose specification is not known, or who has listeners that are no more; also one whose end
// as the last of its generation was decided, but not yet written down.
void SupervisorCore::State::renew_outdated(Pool& pool) {
    const auto is_old = [this, &pool](const Slot& slot) {
        if (slot.renewal != Renewal::None || !slot.current()) {
            return false;
        }
        const Worker& worker = workers.at(*slot.current());
        return worker.outdated || (!change && worker.generation != pool.generation);
    };
    if (pool.removed || std::none_of(pool.slots.begin(), pool.slots.end(), is_old)) {
        return;
    }
    if (pool.rollout) {
        for (Slot& slot : pool.slots) {
            if (is_old(slot)) {
                want_renewal(pool, slot);
            }
        }
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
