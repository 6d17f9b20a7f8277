// What a death means for the slot, the pool, the rollout, and whoever waits.

#include "shm/base/check.hpp"
#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>

namespace topsman::core {

void SupervisorCore::State::on(const Exited& event) {
    if (find(event.worker) == nullptr) {
        return;
    }
    const Worker dead = workers.at(event.worker);
    workers.erase(event.worker);
    Pool& pool = pool_of(dead);
    Slot* slot = pool.find_slot(dead.slot);
    const Role role = pool.role_of(dead);
    const Death death = classify(event.report, !dead.cause.empty());

    announce(Notice::WorkerExited, dead, death_in_words(event.report, dead.cause));
    Obituary obituary;
    obituary.worker = dead.id;
    obituary.slot = dead.slot;
    obituary.role = role;
    obituary.state = dead.state;
    obituary.generation = dead.generation;
    obituary.report = event.report;
    obituary.uptime = now - dead.spawned_at;
    obituary.failure = !dead.asked_to_leave && !death.clean;
    obituary.cause = dead.cause;
    if (phase != Phase::Running) {
        obituary.next = "the master is stopping";
    } else if (role == Role::Leaving) {
        const bool is_drained = slot != nullptr && slot->phase() == SlotPhase::Drained;
        obituary.next = is_drained ? "its slot is drained" : "it was to leave";
    } else if (role == Role::Spare) {
        obituary.next = bury_spare(pool);
    } else if (role == Role::Successor) {
        obituary.next = bury_successor(pool, *slot);
    } else {
        obituary.next = bury_current(pool, *slot, dead, death);
    }
    out->emplace_back(std::move(obituary));
    if (slot != nullptr && role != Role::Leaving && phase == Phase::Running) {
        report_failed_start(pool, *slot, dead, event.report);
    }
    if (phase == Phase::Running && slot != nullptr && slot->phase() == SlotPhase::Drained) {
        say_drained(pool, dead.slot);
    }
    tickets.worker_gone(dead.id);
}

std::string SupervisorCore::State::bury_successor(Pool& pool, Slot& slot) {
    slot.drop_successor();
    const Duration pause =
        std::max<Duration>(clock_duration(pool.spec.backoff.max), std::chrono::seconds(1));
    workers.at(*slot.current()).recycle_not_before = now + pause;
    return "the current worker keeps its seat";
}

std::string SupervisorCore::State::bury_current(Pool& pool, Slot& slot, const Worker& dead,
                                                const Death& death) {
    CHECK(!dead.asked_to_leave);
    const bool proven = dead.ready_at && now - *dead.ready_at >= kProvenAfter;
    if (slot.successor()) {
        slot.promote();
        if (!proven) {
            count_early_death(pool, slot);
        }
        return "its successor takes the seat";
    }
    const bool wanted = wants_restart(pool.spec.restart, death);
    if (death.clean && !wanted) {
        prove(pool, slot, dead);
        slot.finish();
        return std::string("none: restart is ") + name_of(pool.spec.restart);
    }
    if (dead.generation != slot.generation() && !dead.outdated) {
        slot.vacate();
        return "back to generation " + std::to_string(slot.generation().value);
    }
    if (death.misconfigured) {
        slot.trip();
        announce(Notice::SlotTripped, dead, "code 78 says that its configuration is wrong");
        return "given up: code 78 says that its configuration is wrong";
    }
    if (!wanted) {
        slot.finish();
        return std::string("none: restart is ") + name_of(pool.spec.restart);
    }
    if (proven) {
        slot.wait(now, false);
    } else {
        count_early_death(pool, slot);
        slot.wait(now + backoff_delay(pool.spec.backoff, slot.failures, jitter.next()), true);
    }
    const bool quiet = dead.said_stopping && death.clean;
    if (reaches_start_limit(pool, proven, quiet)) {
        open_breaker(pool);
        return "given up: " + limit_in_words(pool.spec.start_limit);
    }
    return say_next_try(pool, slot, dead);
}

std::string SupervisorCore::State::say_next_try(const Pool& pool, const Slot& slot,
                                                const Worker& dead) const {
    const auto due = spawn_time(pool, slot, count(pool, workers));
    if (!due || *due <= now) {
        return "restarted at once";
    }
    std::string next = "next try in " + in_words(*due - now);
    announce(Notice::SlotWaiting, dead, next);
    return next;
}

void SupervisorCore::State::count_early_death(Pool& pool, Slot& slot) {
    ++slot.failures;
    ++pool.failures;
    space_starts(pool);
    pool.not_before = now + pool.spacing;
}

void SupervisorCore::State::space_starts(Pool& pool) {
    const auto seats = static_cast<Duration::rep>(std::max<std::size_t>(pool.slots.size(), 1));
    pool.spacing = backoff_delay(pool.spec.backoff, pool.failures, jitter.next()) / seats;
}

// A pool with a ready worker never gives up, and while a rollout is under way that is the remedy.
bool SupervisorCore::State::reaches_start_limit(Pool& pool, bool proven, bool quiet) const {
    if (quiet || pool.rollout || count(pool, workers).serving > 0) {
        return false;
    }
    const bool reached = pool.start_limit.record(pool.spec.start_limit, now);
    return reached || (pool.breaker_open && !proven);
}

void SupervisorCore::State::open_breaker(Pool& pool) {
    const std::string why = limit_in_words(pool.spec.start_limit);
    pool.breaker_open = true;
    pool.start_limit.clear();
    const auto action = pool.spec.start_limit.action;
    for (Slot& slot : pool.slots) {
        const auto current = slot.current();
        const auto successor = slot.successor();
        if (slot.phase() == SlotPhase::Finished || slot.phase() == SlotPhase::Tripped ||
            slot.phase() == SlotPhase::Drained ||
            (current && action == config::BreakerAction::Degrade)) {
            continue;
        }
        slot.trip();
        out->emplace_back(Announce{Notice::SlotTripped, slot.id(), pool.id, std::nullopt, why});
        for (const auto& worker : {current, successor}) {
            if (worker) {
                send_away(workers.at(*worker));
            }
        }
    }
    tickets.pool_given_up(pool.id, pool.spec.name + ": given up: " + why, *out);
    if (action == config::BreakerAction::Exit) {
        begin_stop(StopMode::Graceful, 1, pool.spec.name + ": " + why);
    }
}

// A new worker that was ready fails its rollout too, if it dies as young as a canary may.
bool SupervisorCore::State::fails_rollout(const Pool& pool, const Worker& dead) const {
    if (!pool.rollout || dead.rollout != pool.rollout->id) {
        return false;
    }
    if (!dead.ready_at || pool.rollout->canary == dead.id) {
        return true;
    }
    return pool.rollout->target && pool.rollout->stage == RolloutStage::Rolling &&
           now - *dead.ready_at < clock_duration(pool.spec.rollout.observe);
}

void SupervisorCore::State::report_failed_start(Pool& pool, Slot& slot, const Worker& dead,
                                                const ExitReport& report) {
    const bool renews = fails_rollout(pool, dead);
    if (dead.ready_at && !renews) {
        return;
    }
    if (slot.phase() == SlotPhase::Finished && classify(report, !dead.cause.empty()).clean) {
        tickets.slot_finished(dead.slot);
        if (renews && slot.renewal == Renewal::Started) {
            slot.renewal = Renewal::None;
            ++pool.rollout->done;
        }
        if (renews && pool.rollout->canary == dead.id) {
            pass_canary(pool);
        }
        return;
    }
    std::string why =
        pool.name_of(dead.slot) + ": new worker " + death_in_words(report, dead.cause);
    if (!report.last_words.empty()) {
        why += "; its last words: " + report.last_words;
    }
    if (renews && pool.rollout->stage == RolloutStage::RollingBack) {
        retry_going_back(pool, slot, why);
    } else if (renews) {
        fail_rollout(pool, why);
    }
    tickets.worker_failed(dead.slot, why, *out);
}

}  // namespace topsman::core
