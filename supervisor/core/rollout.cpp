// Replacing workers while the pool serves: rollouts for a new generation or on request, and
// recycling by age, work or size. The replacement is ready before the old worker is asked to leave,
// unless the pool allows no surplus.

#include "shm/base/check.hpp"
#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>

namespace topsman::core {

void SupervisorCore::State::begin_rollout(Pool& pool, std::optional<std::uint32_t> only,
                                          std::optional<Generation> target) {
    // A restart joins whatever rolls; another generation takes its place.
    if (pool.rollout && target && target != pool.rollout->target) {
        tickets.rollout_failed(pool.id, "overtaken by a newer reload", *out);
        withdraw_rollout(pool);
    }
    if (!pool.rollout) {
        for (Slot& slot : pool.slots) {
            if (const auto recycling = slot.successor()) {
                slot.drop_successor();
                send_away(workers.at(*recycling));
            }
        }
        pool.rollout = Rollout{++last_rollout, target, 0, 0};
        pool.rollout_failed.clear();
        announce(Notice::RolloutStarted, pool);
    }
    pool.start_limit.clear();
    pool.breaker_open = false;
    for (Slot& slot : pool.slots) {
        if ((only && *only != slot.id().index) || slot.renewal != Renewal::None) {
            continue;
        }
        slot.renewal = Renewal::Wanted;
        ++pool.rollout->total;
        if (!slot.current()) {
            slot.failures = 0;
            if (slot.phase() != SlotPhase::Vacant) {
                slot.vacate();
            }
        }
    }
}

// Who was started for it and is not ready goes; who is ready stays.
void SupervisorCore::State::withdraw_rollout(Pool& pool) {
    CHECK(pool.rollout.has_value());
    for (Slot& slot : pool.slots) {
        slot.renewal = Renewal::None;
        if (const auto successor = slot.successor()) {
            slot.drop_successor();
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
            send_away(worker);
        }
    }
    pool.rollout.reset();
}

void SupervisorCore::State::fail_rollout(Pool& pool, const std::string& why) {
    withdraw_rollout(pool);
    pool.rollout_failed = why;
    announce(Notice::RolloutFailed, pool, why);
    tickets.rollout_failed(pool.id, why, *out);
}

void SupervisorCore::State::roll(Pool& pool) {
    if (!pool.rollout) {
        return;
    }
    for (Slot& slot : pool.slots) {
        const auto* vacant = std::get_if<Vacant>(&slot.seat());
        const bool held = vacant != nullptr && vacant->after && workers.contains(*vacant->after);
        if (slot.renewal == Renewal::Wanted && !slot.current() && !held) {
            if (slot.phase() != SlotPhase::Vacant) {
                slot.vacate();
            }
            spawn(pool, slot, pool.rollout->target.value_or(slot.generation()), pool.rollout->id);
        }
    }
    for (std::size_t turn = 0; turn < pool.slots.size(); ++turn) {
        const auto renewal = next_renewal(pool, workers, count(pool, workers));
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

bool SupervisorCore::State::replace(Pool& pool, const Replacement& replacement) {
    Slot& slot = pool.slots[replacement.slot];
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
    if (pool.rollout->target) {
        pool.stable = *pool.rollout->target;
    }
    const std::string line =
        pool.spec.name + ": " + counted(pool.rollout->done, "worker") + " replaced";
    pool.rollout.reset();
    announce(Notice::RolloutDone, pool, line);
    tickets.rollout_done(pool.id, line);
}

void SupervisorCore::State::recycle(Pool& pool) {
    const auto next = next_recycling(pool, workers, count(pool, workers));
    if (next && next->due <= now) {
        replace(pool, *next);
    }
}

}  // namespace topsman::core
