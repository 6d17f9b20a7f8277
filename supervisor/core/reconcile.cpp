// Closing the gap between what is wanted and what is there, after every event.

#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>

namespace topsman::core {

void SupervisorCore::State::reconcile() {
    if (phase == Phase::Stopping && workers.empty()) {
        finish();
    }
    if (phase == Phase::Running) {
        // Seats come before successors: lanes may be short.
        for (Pool& pool : pools) {
            fill(pool);
        }
        for (Pool& pool : pools) {
            roll(pool);
            if (canary_is_out(pool)) {
                fill(pool);  // those that go on with what they were, now that one has gone ahead
            }
            if (lasting_size(pool) == pool.slots.size()) {
                recycle(pool);
            }
        }
        // Last: a lane that they take is one that nobody else needs.
        for (Pool& pool : pools) {
            keep_spares(pool);
        }
        settle_change();
        for (Pool& pool : pools) {
            end_oldest(pool);
        }
        drop_empty_pools();
        say_up();
    }
    tickets.settle(*out);
}

void SupervisorCore::State::fill(Pool& pool) {
    const Census census = count(pool, workers);
    for (Slot& slot : pool.slots) {
        if (const auto* vacant = std::get_if<Vacant>(&slot.seat())) {
            const bool held = vacant->after && workers.contains(*vacant->after);
            // While the canary is observed, who has served goes on with what he was.
            const bool kept = slot.renewal == Renewal::Wanted && slot.has_started() &&
                              pool.rollout_stage() == RolloutStage::Canary && pool.rollout->canary;
            if (!held && (slot.renewal == Renewal::None || kept) && !seat_spare(pool, slot)) {
                spawn(pool, slot, slot.generation(), 0);
            }
            continue;
        }
        const auto due = spawn_time(pool, slot, census);
        if (!due || *due > now) {
            continue;
        }
        const bool paced = std::get<Waiting>(slot.seat()).paced && census.serving == 0;
        if ((seat_spare(pool, slot) || spawn(pool, slot, slot.generation(), 0)) && paced) {
            // The next one of a pool that is down waits its turn.
            pool.not_before = now + pool.spacing;
        }
    }
}

void SupervisorCore::State::drop_empty_pools() {
    std::erase_if(pools, [this](const Pool& pool) {
        return pool.removed && count(pool, workers).living == 0;
    });
}

void SupervisorCore::State::say_up() {
    if (up) {
        return;
    }
    std::string without;
    for (const Pool& pool : pools) {
        if (pool.removed || count(pool, workers).serving > 0) {
            continue;
        }
        if (!is_given_up(pool) && now < pool.up_deadline) {
            return;
        }
        without += (without.empty() ? "" : ", ") + pool.spec.name;
    }
    up = true;
    out->emplace_back(ServiceUp{without.empty() ? "" : "no ready worker in " + without});
}

void SupervisorCore::State::finish() {
    phase = Phase::Stopped;
    for (const Ticket ticket : stop_tickets) {
        reply(ticket, Reply::Result::Done, "", {"stopped"}, *out);
    }
    stop_tickets.clear();
    out->emplace_back(Exit{exit_code});
}

}  // namespace topsman::core
