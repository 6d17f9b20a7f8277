// The oracle's verdicts on single actions.

#include "tests/sim/oracle.hpp"

#include <algorithm>
#include <cmath>

namespace topsman::sim {

using namespace std::chrono_literals;
using core::Notice;
using core::SignalKind;
using core::WorkerId;

namespace {

std::string say(WorkerId worker) {
    return "worker " + std::to_string(worker.value);
}

// The least that the n-th failure in a row has to wait, by the rule as it is documented.
Duration least_delay(const config::Backoff& backoff, std::uint32_t failures) {
    if (failures < 2 || backoff.initial == 0ms) {
        return Duration::zero();
    }
    const double grown = static_cast<double>(Duration(backoff.initial).count()) *
                         std::pow(backoff.factor, failures - 2);
    const double capped = std::min(grown, static_cast<double>(Duration(backoff.max).count()));
    return Duration(static_cast<Duration::rep>(capped * (1 - backoff.jitter))) - 1us;
}

}  // namespace

bool Oracle::past(const Life& life, Duration time_out) const {
    return now_ >= life.since + time_out && now_ >= life.extended_until.value_or(now_);
}

bool Oracle::by_age(const Life& life, const config::Ready& ready) {
    return ready.by == config::ReadyBy::None || (ready.assumed && life.cannot_tell);
}

bool Oracle::is_ready(const Life& life, const config::Ready& ready) const {
    if (life.said_ready && (life.is_spare || ready.by != config::ReadyBy::None)) {
        return true;
    }
    if (by_age(life, ready)) {
        return life.executed && past(life, ready.min_uptime);
    }
    return ready.assumed && life.executed && past(life, ready.timeout);
}

/// Of more of them than may be draining one is ended, however young.
bool Oracle::too_many_generations(const Life& life) const {
    const config::Pool* spec = core_->policy(life.slot.pool);
    std::set<core::Generation> draining;
    for (const auto& [id, other] : living_) {
        if (other.slot.pool == life.slot.pool && (other.terminated || other.said_stopping)) {
            draining.insert(other.generation);
        }
    }
    return spec != nullptr && spec->max_old_generations > 0 &&
           draining.size() > spec->max_old_generations;
}

void Oracle::judge(const core::Spawn& spawn) {
    if (spawn.worker <= newest_) {
        report("OneCurrentPerSlot", say(spawn.worker) + " is started a second time");
    }
    newest_ = spawn.worker;
    if (stopping_) {
        report("NoSpawnWhileStopping", say(spawn.worker) + " is started");
    }
    if (spawn.slot.index == kNoSlot) {
        judge_spare(spawn);
        return;
    }
    PoolBook& pool = pools_[spawn.slot.pool];
    SlotBook& slot = pool.slots[spawn.slot.index];
    if (pool.given_up && slot.early_death && !pool.rolling_before) {
        report("IntensityRespected", say(spawn.worker) + " is started beyond the start limit");
    }
    judge_delay(spawn, pool, slot);
    judge_rollout_delay(spawn, pool);
    slot.early_death.reset();
    Life life;
    life.slot = spawn.slot;
    life.generation = spawn.generation;
    life.goes_first = (pool.rolling_before || started_anew_) && slot.proven != spawn.generation;
    life.spawned = now_;
    life.since = now_;
    life.cannot_tell = pool.unseen == spawn.generation;
    living_.emplace(spawn.worker, life);
    spawned_.push_back(spawn);
}

void Oracle::judge_spare(const core::Spawn& spawn) {
    const PoolBook& pool = pools_[spawn.slot.pool];
    const Duration pause =
        std::max<Duration>(1s, least_delay(pool.spec.backoff, pool.spare_failures + 1));
    if (pool.spare_death && now_ < *pool.spare_death + pause) {
        report("SparesArePaced", say(spawn.worker) + " is started too early after death " +
                                     std::to_string(pool.spare_failures) + " of a spare");
    }
    Life life;
    life.slot = spawn.slot;
    life.generation = spawn.generation;
    life.spawned = now_;
    life.since = now_;
    life.cannot_tell = pool.unseen == spawn.generation;
    life.is_spare = true;
    living_.emplace(spawn.worker, life);
}

void Oracle::judge(const core::Park& park) {
    const Life* life = find(park.worker);
    if (life == nullptr || !life->is_spare || !life->ready_at || !life->undisturbed()) {
        report("SpareIsNoWorker", say(park.worker) + " is to be parked and is no ready spare");
    }
}

// What holds for a start holds for a spare that takes its place.
void Oracle::judge(const core::Release& release) {
    Life* life = find(release.worker);
    if (life == nullptr || !life->is_spare || !life->ready_at || !life->undisturbed()) {
        report("SpareIsNoWorker", say(release.worker) + " gets a seat and is no ready spare");
        return;
    }
    if (stopping_) {
        report("NoSpawnWhileStopping", say(release.worker) + " gets a seat");
    }
    PoolBook& pool = pools_[release.slot.pool];
    SlotBook& slot = pool.slots[release.slot.index];
    const core::Spawn as_start{release.worker, release.slot, life->generation};
    if (pool.given_up && slot.early_death && !pool.rolling_before) {
        report("IntensityRespected", say(release.worker) + " gets a seat beyond the start limit");
    }
    judge_delay(as_start, pool, slot);
    slot.early_death.reset();
    life->is_spare = false;
    life->is_parked = false;
    life->slot = release.slot;
    life->ready_at = now_;
    life->observed_since = now_;
    life->since = now_;
    pool.given_up = false;
    spawned_.push_back(as_start);
    released_.push_back(as_start);
}

void Oracle::judge_delay(const core::Spawn& spawn, const PoolBook& pool, const SlotBook& slot) {
    if (!slot.early_death || pool.rolling_before || started_anew_) {
        return;
    }
    const config::Backoff& backoff = pool.spec.backoff;
    if (now_ < *slot.early_death + least_delay(backoff, slot.failures)) {
        report("BackoffRespected", say(spawn.worker) + " is started too early after failure " +
                                       std::to_string(slot.failures) + " of its slot");
    }
    const bool nobody_serves = pool.served_before == 0 && serving(spawn.slot.pool) == 0;
    const auto seats = static_cast<Duration::rep>(pool.seats);
    if (nobody_serves && pool.early_death &&
        now_ < *pool.early_death + least_delay(backoff, pool.failures) / seats) {
        report("PoolIsPaced", say(spawn.worker) + " is started too early after failure " +
                                  std::to_string(pool.failures) + " of its pool");
    }
}

// One that joins a worker of its own seat while the pool rolls is the next to be replaced. Whether
// it still rolls, or has recycled somebody, is seen when the turn is over.
void Oracle::judge_rollout_delay(const core::Spawn& spawn, PoolBook& pool) {
    const bool replaces = std::any_of(living_.begin(), living_.end(), [&spawn](const auto& entry) {
        return entry.second.slot == spawn.slot && entry.second.serves();
    });
    if (replaces && pool.stage_before == core::RolloutStage::Rolling && pool.replaced_at &&
        now_ < *pool.replaced_at + pool.spec.rollout.delay) {
        pool.replaces_early = spawn.worker;
    }
}

// Somebody is sent away whose successor serves.
void Oracle::note_replacement(WorkerId replaced, const Life& life) {
    const bool has_successor =
        std::any_of(living_.begin(), living_.end(), [replaced, &life](const auto& entry) {
            return entry.first > replaced && entry.second.slot == life.slot &&
                   entry.second.serves();
        });
    if (has_successor) {
        pools_[life.slot.pool].replaced_at = now_;
    }
}

void Oracle::judge(const core::Signal& signal) {
    Life* life = find(signal.worker);
    if (life == nullptr) {
        report("NoSignalAfterReap", say(signal.worker) + " is gone and gets a signal");
        return;
    }
    switch (signal.kind) {
        case SignalKind::Terminate:
            if (life->terminated || life->aborted || life->killed) {
                report("EscalationOrder", say(signal.worker) + " is told to stop too late");
            }
            life->terminated = true;
            note_replacement(signal.worker, *life);
            life->is_parked = false;  // it is continued, so that it can end
            if (life->served_before) {
                sent_away_.push_back(signal.worker);
            }
            break;
        case SignalKind::Abort:
            judge_abort(signal.worker, *life);
            life->aborted = true;
            break;
        case SignalKind::Kill:
            judge_kill(signal.worker, *life);
            life->killed = true;
            break;
    }
    life->since = now_;
    life->extended_until.reset();
}

void Oracle::judge_abort(WorkerId id, const Life& life) {
    if (life.aborted || life.killed) {
        report("EscalationOrder", say(id) + " is aborted twice");
    }
    if (life.is_parked) {
        report("SpareIsNoWorker", say(id) + " is aborted for being parked");
    }
    const config::Pool& spec = pools_[life.slot.pool].spec;
    const bool serving = life.ready_at.has_value();
    const Duration time_out = serving ? spec.watchdog.timeout : spec.ready.timeout;
    const bool late = life.undisturbed() && (!serving || time_out > 0ms) && past(life, time_out);
    if (!life.asked_abort && !late) {
        report("StallDoesNotKill", say(id) + " is aborted and was not late");
    }
}

void Oracle::judge_kill(WorkerId id, const Life& life) {
    if (stopping_ == core::StopMode::Now) {
        return;
    }
    if (!life.terminated && !life.said_stopping && !life.aborted) {
        report("EscalationOrder", say(id) + " is killed without being asked first");
    }
    const config::Pool& spec = pools_[life.slot.pool].spec;
    bool late = past(life, spec.stop_timeout) || (fast_since_ && now_ >= *fast_since_ + 2s);
    if (life.killed) {
        late = past(life, 10s);
    } else if (life.aborted) {
        late = past(life, spec.watchdog.kill_after);
    }
    const bool drains = !life.killed && !life.aborted;
    if (!late && !(drains && too_many_generations(life))) {
        report("StallDoesNotKill", say(id) + " is killed and was not late");
    }
}

void Oracle::judge(const core::Announce& announce) {
    if (announce.notice == Notice::MasterStopping && !stopping_) {
        stopping_ = core::StopMode::Graceful;
    }
    if (announce.notice == Notice::ConfigLoaded) {
        // Also when a reload undoes itself.
        for (auto& [id, pool] : pools_) {
            if (const config::Pool* spec = core_->policy(id)) {
                pool.spec = *spec;
            }
            forgive(pool);
            pool.replaced_at.reset();  // whatever delay held then
        }
    }
    const bool goes_back = announce.notice == Notice::RolloutRolledBack ||
                           announce.reason.starts_with("back to generation");
    if (goes_back && announce.pool) {
        pools_[*announce.pool].went_back = true;
    }
    if (announce.notice == Notice::RolloutCanary) {
        judge_canary(announce);
    }
    if (announce.notice == Notice::RolloutStarted && announce.pool) {
        started_anew_ = true;
        pools_[*announce.pool].last_before_rollout = newest_;
        pools_[*announce.pool].replaced_at.reset();
    }
    if (announce.notice != Notice::WorkerReady) {
        return;
    }
    Life* life = find(announce.worker.value_or(WorkerId{}));
    if (life == nullptr) {
        report("ReadyIsTrue", "a worker is called ready that is not there");
        return;
    }
    PoolBook& pool = pools_[life->slot.pool];
    if (!is_ready(*life, pool.spec.ready) || !life->undisturbed()) {
        report("ReadyIsTrue", say(*announce.worker) + " is called ready and is not");
    }
    if (announce.reason.starts_with("it was not seen listening")) {
        pool.unseen = life->generation;
    }
    pool.given_up = pool.given_up && life->is_spare;  // a pool with a ready worker never gives up
    life->ready_at = now_;
    life->observed_since = now_;
    life->since = now_;
    life->extended_until.reset();
    const bool has_seat = !life->is_spare;
    if (has_seat && (pool.stage_before != core::RolloutStage::Canary || !life->goes_first)) {
        pool.slots[life->slot.index].proven = life->generation;
    }
}

void Oracle::judge_canary(const core::Announce& announce) {
    const Life* life = find(announce.worker.value_or(WorkerId{}));
    if (life == nullptr) {
        report("CanaryIsObserved", "a canary passes that is not there");
        return;
    }
    PoolBook& pool = pools_[life->slot.pool];
    pool.canary_passed = true;
    pool.slots[life->slot.index].proven = life->generation;
    if (!life->serves() || now_ - life->observed_since < pool.spec.rollout.observe) {
        report("CanaryIsObserved", say(*announce.worker) + " passes too early");
    }
}

void Oracle::judge(const core::Obituary& obituary) {
    ++obituaries_;
    if (!died_ || died_->first != obituary.worker) {
        report("OneObituaryPerDeath", say(obituary.worker) + " has not died now");
        return;
    }
    const Life& dead = died_->second;
    if (obituary.failure && dead.terminated && !dead.aborted) {
        report("LeavingIsNoFailure", say(obituary.worker) + " was asked to leave");
    }
    PoolBook& pool = pools_[dead.slot.pool];
    finished_ = obituary.next.starts_with("none");
    if (finished_) {
        pool.slots[dead.slot.index].proven = dead.generation;
    }
    const bool counts = obituary.next.starts_with("restarted") ||
                        obituary.next.starts_with("next try") ||
                        obituary.next.find("failures within") != std::string::npos;
    const bool proven = dead.ready_at && now_ - *dead.ready_at >= 1s;
    if (counts && !proven && !pool.rolling_before) {
        SlotBook& slot = pool.slots[dead.slot.index];
        ++slot.failures;
        ++pool.failures;
        slot.early_death = now_;
        pool.early_death = now_;
        pool.seats = std::max(pool.wanted, 1U);
    }
    const bool quiet = dead.said_stopping && !obituary.failure;
    if (!counts || quiet || pool.rolling_before || serving(dead.slot.pool) > 0) {
        return;
    }
    std::erase_if(pool.limit_failures,
                  [&](TimePoint then) { return now_ - then > pool.spec.start_limit.interval; });
    pool.limit_failures.push_back(now_);
    const std::uint32_t burst = pool.spec.start_limit.burst;
    pool.given_up = pool.given_up || (burst > 0 && pool.limit_failures.size() >= burst);
}

void Oracle::judge(const core::Reply& reply) {
    const auto ticket = open_tickets_.find(reply.ticket);
    if (ticket == open_tickets_.end()) {
        report("EveryTicketAnsweredOnce",
               "ticket " + std::to_string(reply.ticket.value) + " is answered again");
        return;
    }
    if (reply.result == core::Reply::Result::Done) {
        for (const WorkerId worker : ticket->second.to_be_gone) {
            if (find(worker) != nullptr) {
                report("DoneMeansDone", say(worker) + " should have been replaced");
            }
        }
    }
    rolled_back_ = rolled_back_ || (reply.result == core::Reply::Result::RolledBack &&
                                    reply.ticket == newest_reload_);
    open_tickets_.erase(ticket);
}

void Oracle::judge(const core::ServiceUp& /*up*/) {
    if (up_) {
        report("EveryTicketAnsweredOnce", "the service is called up twice");
    }
    up_ = true;
}

void Oracle::judge(const core::Exit& /*exit*/) {
    if (ended_ || !stopping_ || !living_.empty()) {
        report("EndsAfterStop", "the master exits too early or twice");
    }
    ended_ = true;
}

}  // namespace topsman::sim
