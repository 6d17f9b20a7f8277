// Replacing workers while the pool serves: rollouts for a new generation or on request, and
// recycling by age, work or size. The replacement is ready before the old worker is asked to leave,
// unless the pool allows no surplus.
//
// A new generation sends one worker ahead, the canary. It serves beside the others and takes no
// seat before it has stayed ready for rollout.observe, so that whatever becomes of it costs nobody.

#include "shm/base/check.hpp"
#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>

namespace topsman::core {
namespace {

// Going back is tried again after at least so long.
constexpr Duration kShortestRetry = std::chrono::seconds(1);

/// It runs that generation already, or will if it becomes ready; one that failed to, and is being
/// ended, does not.
bool keeps(const Slot& slot, Generation generation, const Workers& workers) {
    const auto current = slot.current();
    if (!current || workers.at(*current).generation != generation) {
        return false;
    }
    return slot.generation() == generation || workers.at(*current).state <= WorkerState::Serving;
}

}  // namespace

void SupervisorCore::State::want_renewal(Pool& pool, Slot& slot) {
    slot.renewal = Renewal::Wanted;
    ++pool.rollout->total;
    if (!slot.current()) {
        slot.failures = 0;
    }
}

// A restart joins whatever rolls.
void SupervisorCore::State::begin_restart(Pool& pool, std::optional<std::uint32_t> only,
                                          Wait& wait) {
    put_back(pool, only, wait);
    renew_spares(pool);
    if (!pool.rollout) {
        start_rollout(pool, std::nullopt, RolloutStage::Rolling);
        announce(Notice::RolloutStarted, pool);
    }
    for (Slot& slot : pool.slots) {
        const bool is_meant = only ? *only == slot.id().index : slot.phase() != SlotPhase::Drained;
        if (is_meant && slot.renewal == Renewal::None) {
            want_renewal(pool, slot);
        }
    }
}

// What runs that generation already stays. False: all of it does.
bool SupervisorCore::State::begin_target(Pool& pool, Generation target) {
    const bool joins = pool.rollout && pool.rollout->target == target;
    const bool goes_back = target == pool.stable;
    const std::size_t size = lasting_size(pool);
    std::vector<Slot*> wanted;
    std::vector<Slot*> tried;  // a dead master's rollout has filled it, and it is not ready yet
    for (Slot& slot : pool.slots) {
        // Going back, an empty slot is filled at its own pace.
        const bool stays = keeps(slot, target, workers) || (goes_back && !slot.current()) ||
                           slot.phase() == SlotPhase::Drained;
        const bool lasts = pool.is_among_first(slot, size);
        if (goes_back && lasts) {
            slot.proven(target);  // in others of the pool it has proven itself
        }
        if (lasts && !stays && (!joins || slot.renewal == Renewal::None)) {
            wanted.push_back(&slot);
        } else if (lasts && !joins && slot.generation() != target && slot.current() &&
                   workers.at(*slot.current()).state == WorkerState::Starting) {
            tried.push_back(&slot);
        } else if (joins && !lasts && slot.renewal == Renewal::Wanted) {
            slot.renewal = Renewal::None;
            --pool.rollout->total;
        }
    }
    if (joins) {
        for (Slot* slot : wanted) {
            want_renewal(pool, *slot);
        }
        return true;
    }
    if (wanted.empty() && tried.empty()) {
        pool.stable = target;
        for (Slot& slot : pool.slots) {
            if (slot.phase() == SlotPhase::Drained) {
                slot.proven(target);  // there is nobody who could prove it
            }
        }
        return false;
    }
    const bool has_somebody = count(pool, workers).serving > 0;
    const RolloutStage stage = goes_back                         ? RolloutStage::RollingBack
                               : has_somebody && !wanted.empty() ? RolloutStage::Canary
                                                                 : RolloutStage::Rolling;
    start_rollout(pool, target, stage);
    for (Slot* slot : wanted) {
        want_renewal(pool, *slot);
    }
    for (Slot* slot : tried) {
        slot->renewal = Renewal::Started;
        workers.at(*slot->current()).rollout = pool.rollout->id;
        ++pool.rollout->total;
    }
    announce(Notice::RolloutStarted, pool,
             (goes_back ? "back to " : "") + in_words(target) +
                 (stage == RolloutStage::Canary ? ", one worker first" : ""));
    return true;
}

// What a reload under way will take away is not renewed.
std::size_t SupervisorCore::State::lasting_size(const Pool& pool) const {
    if (!change) {
        return pool.slots.size();
    }
    if (!change->goes_back && config.find_pool(pool.spec.name) == nullptr) {
        return 0;
    }
    const auto shrink = change->shrink.find(pool.id);
    return shrink == change->shrink.end() ? pool.slots.size() : shrink->second;
}

void SupervisorCore::State::start_rollout(Pool& pool, std::optional<Generation> target,
                                          RolloutStage stage) {
    for (Slot& slot : pool.slots) {
        slot.renewal = Renewal::None;
        if (const auto recycling = slot.successor()) {
            slot.drop_successor();
            send_away(workers.at(*recycling));
        }
    }
    Rollout rollout;
    rollout.id = ++last_rollout;
    rollout.target = target;
    rollout.stage = stage;
    pool.rollout = rollout;
    pool.rollout_end.clear();
    ++revision;
    pool.start_limit.clear();
    pool.breaker_open = false;
}

// Who was started for it and is not ready, or has no seat yet, goes; who has one stays.
void SupervisorCore::State::withdraw_rollout(Pool& pool, std::set<WorkerId>& leaving) {
    CHECK(pool.rollout.has_value());
    for (Slot& slot : pool.slots) {
        slot.renewal = Renewal::None;
        const auto successor = slot.successor();
        if (successor && is_serving(*successor, workers) && !is_serving(*slot.current(), workers)) {
            // A canary beside a worker that does not serve: it is all that the seat has.
            const WorkerId other = slot.promote();
            leaving.insert(other);
            send_away(workers.at(other));
            continue;
        }
        if (successor) {
            slot.drop_successor();
            leaving.insert(*successor);
            send_away(workers.at(*successor));
            continue;
        }
        const auto current = slot.current();
        if (!current) {
            continue;
        }
        Worker& worker = workers.at(*current);
        if (worker.rollout == pool.rollout->id && worker.state == WorkerState::Starting) {
            slot.vacate(pool.max_surge() == 0 ? current : std::nullopt);
            leaving.insert(*current);
            send_away(worker);
        }
    }
    pool.rollout.reset();
}

void SupervisorCore::State::fail_rollout(Pool& pool, const std::string& why) {
    const bool is_reload = pool.rollout->target && change;
    announce(Notice::RolloutFailed, pool, why);
    tickets.rollout_failed(pool.id, why, *out);
    if (is_reload && pool.spec.rollout.on_failure == config::OnFailure::Rollback) {
        go_back(why);
        return;
    }
    pool.rollout_end = (pool.rollout->target ? "paused: " : "failed: ") + why;
    ++revision;
    std::set<WorkerId> leaving;
    withdraw_rollout(pool, leaving);
    if (is_reload) {
        announce(Notice::RolloutPaused, pool, why);
        tickets.change_failed(change->id,
                              why + "; " + pool.spec.name +
                                  " is paused: `topsman reload` goes on, `topsman rollback` goes "
                                  "back",
                              *out);
    }
}

// There is nothing else to go back to, so this is tried until it succeeds.
void SupervisorCore::State::retry_going_back(Pool& pool, Slot& slot, const std::string& why) {
    Rollout& rollout = *pool.rollout;
    slot.renewal = slot.current() ? Renewal::Wanted : Renewal::None;
    ++rollout.failures;
    rollout.not_before =
        now + std::max(kShortestRetry,
                       backoff_delay(pool.spec.backoff, rollout.failures + 1, jitter.next()));
    if (change) {
        const std::string first = change->failure.empty() ? "" : change->failure + "; ";
        tickets.change_failed(change->id, first + "going back: " + why + ", it is tried again",
                              *out);
    }
}

void SupervisorCore::State::judge_canary(Pool& pool) {
    const auto until = pool.observed_until();
    if (until && *until <= now && is_serving(*pool.rollout->canary, workers)) {
        pass_canary(pool);
    }
}

void SupervisorCore::State::pass_canary(Pool& pool) {
    const WorkerId canary = *pool.rollout->canary;
    pool.rollout->canary.reset();
    pool.rollout->observed_since.reset();
    pool.rollout->stage = RolloutStage::Rolling;
    if (const auto found = workers.find(canary); found != workers.end()) {
        announce(Notice::RolloutCanary, found->second,
                 "ready for " + in_words(clock_duration(pool.spec.rollout.observe)) +
                     ", the others follow");
        take_seat(found->second);
    }
}

void SupervisorCore::State::roll(Pool& pool) {
    if (!pool.rollout) {
        return;
    }
    fill_renewals(pool);
    for (std::size_t turn = 0; turn < pool.slots.size() && pool.rollout->not_before <= now;
         ++turn) {
        const auto renewal = next_renewal(pool, workers, count(pool, workers), lasting_size(pool));
        if (!renewal || !replace(pool, *renewal)) {
            break;
        }
    }
    const bool complete = std::all_of(pool.slots.begin(), pool.slots.end(), [](const Slot& slot) {
        return slot.renewal == Renewal::None;
    });
    if (complete) {
        end_rollout(pool);
    }
}

// Empty seats first: a canary there displaces nobody.
void SupervisorCore::State::fill_renewals(Pool& pool) {
    for (Slot& slot : pool.slots) {
        const auto* vacant = std::get_if<Vacant>(&slot.seat());
        const bool held = vacant != nullptr && vacant->after && workers.contains(*vacant->after);
        const bool emptied_for_it = vacant != nullptr && vacant->after;
        if (slot.renewal != Renewal::Wanted || slot.current() || held || pool.rollout->canary ||
            (canary_is_out(pool) && !emptied_for_it)) {
            continue;
        }
        if (slot.phase() != SlotPhase::Vacant) {
            slot.vacate();
        }
        spawn(pool, slot, pool.rollout->target.value_or(slot.generation()), pool.rollout->id);
    }
}

bool SupervisorCore::State::replace(Pool& pool, const Replacement& replacement) {
    Slot& slot = *pool.find_slot(replacement.slot);
    CHECK(slot.current() && !slot.successor());
    if (replacement.leaves_first) {
        Worker& current = workers.at(*slot.current());
        slot.vacate(current.id);
        tickets.worker_replaced(pool.id, current.id);
        send_away(current, pool.rollout ? "" : recycling_in_words(current, pool.spec));
        return true;
    }
    if (!pool.rollout) {
        return spawn(pool, slot, slot.generation(), 0);
    }
    return spawn(pool, slot, pool.rollout->target.value_or(slot.generation()), pool.rollout->id);
}

void SupervisorCore::State::end_rollout(Pool& pool) {
    const Rollout ended = *pool.rollout;
    pool.rollout.reset();
    ++revision;
    std::string line = pool.spec.name + ": ";
    if (ended.target) {
        pool.stable = *ended.target;
        for (Slot& slot : pool.slots) {
            if (pool.is_among_first(slot, lasting_size(pool))) {
                slot.proven(pool.stable);
            }
        }
    }
    if (ended.stage == RolloutStage::RollingBack) {
        line += "back to " + in_words(pool.stable) + ", ";
    }
    line += counted(ended.done, "worker") + " replaced";
    tickets.rollout_done(pool.id, line);
    if (ended.stage == RolloutStage::RollingBack) {
        say_rolled_back(pool);
    } else {
        pool.rollout_end = pool.is_half() ? "paused" : "";
        announce(Notice::RolloutDone, pool, line);
    }
}

void SupervisorCore::State::say_rolled_back(Pool& pool) {
    const std::string why = change ? change->failure : "";
    pool.rollout_end = "rolled back" + (why.empty() ? "" : ": " + why);
    ++revision;
    announce(Notice::RolloutRolledBack, pool, "back to " + in_words(pool.stable));
}

void SupervisorCore::State::recycle(Pool& pool) {
    const auto next = next_recycling(pool, workers, count(pool, workers));
    if (next && next->due <= now) {
        replace(pool, *next);
    }
}

}  // namespace topsman::core
