// The oracle's books: what happened, from the events.

#include "tests/sim/oracle.hpp"

#include <algorithm>

namespace topsman::sim {

using namespace std::chrono_literals;
using core::WorkerId;

void Oracle::report(const std::string& property, const std::string& what) {
    if (!violation_) {
        violation_ = Violation{property, what};
    }
}

Oracle::Life* Oracle::find(WorkerId worker) {
    const auto found = living_.find(worker);
    return found == living_.end() ? nullptr : &found->second;
}

std::uint32_t Oracle::serving(core::PoolId pool) const {
    return static_cast<std::uint32_t>(
        std::count_if(living_.begin(), living_.end(), [pool](const auto& entry) {
            return entry.second.slot.pool == pool && entry.second.serves();
        }));
}

// A canary beside its seat's worker is a surplus.
std::uint32_t Oracle::served_slots(core::PoolId pool) const {
    std::set<std::uint32_t> slots;
    for (const auto& [id, life] : living_) {
        if (life.slot.pool == pool && life.serves()) {
            slots.insert(life.slot.index);
        }
    }
    return static_cast<std::uint32_t>(slots.size());
}

void Oracle::learn_pools(const core::SupervisorCore& core) {
    for (const core::PoolView& view : core.snapshot().pools) {
        const config::Pool* spec = core.config().find_pool(view.name);
        if (spec != nullptr && !pools_.contains(view.pool)) {
            pools_[view.pool].spec = *spec;
        }
        PoolBook& pool = pools_[view.pool];
        pool.stage_before = view.stage;
        for (const core::SlotView& slot : view.slots) {
            slots_before_.insert(slot.slot);
        }
        pool.generation_before = view.generation;
        pool.rolling_before =
            view.stage != core::RolloutStage::Idle && view.stage != core::RolloutStage::Paused;
        pool.served_before = served_slots(view.pool);
        pool.canary_passed = false;
        pool.went_back = false;
    }
}

// Reset as early as may be: the core may be more patient, not less.
void Oracle::forget_failures() {
    for (const auto& [id, life] : living_) {
        PoolBook& pool = pools_[life.slot.pool];
        if (life.ready_at && !life.is_spare &&
            now_ - *life.ready_at >= pool.spec.backoff.reset_after) {
            pool.slots[life.slot.index].failures = 0;
            pool.failures = 0;
        }
    }
}

void Oracle::before(const core::Event& event, TimePoint now, const core::SupervisorCore& core) {
    now_ = now;
    died_.reset();
    finished_ = false;
    obituaries_ = 0;
    drain_.reset();
    scale_.reset();
    slots_before_.clear();
    restart_.reset();
    started_anew_ = false;
    rolled_back_ = false;
    spawned_.clear();
    released_.clear();
    sent_away_.clear();
    tick_ = std::holds_alternative<core::Tick>(event);
    judges_ = !core::is_sign_of_life(event) && !std::holds_alternative<core::Stalled>(event);
    learn_pools(core);
    for (auto& [id, life] : living_) {
        life.served_before = life.serves();
        life.asked_abort = false;
    }
    const auto due = core.next_deadline();
    quiet_stale_ = !due || *due > now;
    std::visit(
        [this](const auto& what) {
            if constexpr (requires { what.worker; }) {
                quiet_stale_ = quiet_stale_ && find(what.worker) == nullptr;
            } else {
                quiet_stale_ = false;
            }
            note(what);
        },
        event);
    forget_failures();
}

void Oracle::note(const core::Spawned& event) {
    Life* life = find(event.worker);
    if (life == nullptr || life->executed) {
        return;
    }
    life->executed = true;
    const config::Ready& ready = pools_[life->slot.pool].spec.ready;
    if (life->starts() && (ready.by == config::ReadyBy::None || ready.assumed)) {
        life->since = now_;
    }
}

void Oracle::note(const core::BecameReady& event) {
    if (Life* life = find(event.worker)) {
        life->said_ready = true;
    }
}

void Oracle::note(const core::CannotTell& event) {
    if (Life* life = find(event.worker)) {
        life->cannot_tell = true;
    }
}

void Oracle::note(const core::Beat& event) {
    Life* life = find(event.worker);
    if (life != nullptr && life->serves()) {
        life->since = std::max(life->since, std::min(event.at, now_));
    }
}

void Oracle::note(const core::AskedAbort& event) {
    if (Life* life = find(event.worker)) {
        life->asked_abort = true;
    }
}

void Oracle::note(const core::AskedExtension& event) {
    Life* life = find(event.worker);
    if (life == nullptr) {
        return;
    }
    const bool counts =
        !life->starts() || !life->executed || !by_age(*life, pools_[life->slot.pool].spec.ready);
    if (!life->aborted && !life->killed && counts) {
        const TimePoint until = now_ + event.by;
        life->extended_until = std::max(life->extended_until.value_or(until), until);
    }
}

void Oracle::note(const core::SaidStopping& event) {
    Life* life = find(event.worker);
    if (life != nullptr && life->undisturbed()) {
        life->said_stopping = true;
        life->since = now_;
        life->extended_until.reset();
    }
}

void Oracle::note(const core::DumpsCore& /*event*/) {}

void Oracle::note(const core::Exited& event) {
    Life* life = find(event.worker);
    if (life == nullptr) {
        return;
    }
    died_.emplace(event.worker, *life);
    living_.erase(event.worker);
    const Life& dead = died_->second;
    PoolBook& pool = pools_[dead.slot.pool];
    if (dead.is_spare) {
        if (!dead.terminated) {
            pool.spare_death = now_;
            ++pool.spare_failures;
        }
        return;
    }
    SlotBook& slot = pool.slots[dead.slot.index];
    if (dead.ready_at && now_ - *dead.ready_at >= pool.spec.backoff.reset_after) {
        slot.failures = 0;
        pool.failures = 0;
    }
    slot.early_death.reset();
}

void Oracle::note(const core::Parked& event) {
    Life* life = find(event.worker);
    if (life != nullptr && life->is_spare && life->undisturbed()) {
        life->is_parked = true;
        pools_[life->slot.pool].spare_failures = 0;
    }
}

void Oracle::note(const core::NotParked& event) {
    const Life* life = find(event.worker);
    if (life != nullptr && life->is_spare && life->undisturbed()) {
        pools_[life->slot.pool].spare_failures = 0;
    }
}

void Oracle::forgive(PoolBook& pool) {
    pool.spare_death.reset();
    pool.spare_failures = 0;
    for (auto& [index, slot] : pool.slots) {
        slot.failures = 0;
        slot.early_death.reset();
    }
    pool.failures = 0;
    pool.early_death.reset();
    pool.limit_failures.clear();
    pool.given_up = false;
}

void Oracle::open(core::Ticket ticket, std::set<WorkerId> to_be_gone) {
    if (ticket != core::Ticket{}) {
        open_tickets_.emplace(ticket, TicketBook{std::move(to_be_gone)});
    }
}

void Oracle::note(const core::Reload& event) {
    newest_reload_ = event.ticket;
    open(event.ticket);
    if (stopping_) {
        return;
    }
    for (auto& [id, pool] : pools_) {
        const config::Pool* spec = event.config.find_pool(pool.spec.name);
        if (spec != nullptr && pool.wanted > 0) {
            pool.spec = *spec;
        }
        forgive(pool);
    }
}

void Oracle::note(const core::Rollback& event) {
    newest_reload_ = event.ticket;
    open(event.ticket);
}

void Oracle::note(const core::Busy& event) {
    for (const core::Busy::Line& line : event.workers) {
        if (Life* life = find(line.worker)) {
            life->in_flight = line.in_flight;
        }
    }
}

void Oracle::note(const core::Scale& event) {
    scale_ = event;
    open(event.ticket);
    for (auto& [id, pool] : pools_) {
        forgive(pool);
    }
}

void Oracle::note(const core::Drain& event) {
    drain_ = event;
    open(event.ticket);
}

void Oracle::note(const core::Restart& event) {
    restart_ = event;
    std::set<WorkerId> old;
    for (auto& [id, pool] : pools_) {
        if (event.pool && *event.pool != pool.spec.name) {
            continue;
        }
        forgive(pool);
        for (const auto& [worker, life] : living_) {
            if (life.slot.pool == id && life.serves() && !pool.rolling_before &&
                (!event.slot || *event.slot == life.slot.index)) {
                old.insert(worker);
            }
        }
    }
    open(event.ticket, std::move(old));
}

void Oracle::note(const core::ResetFailed& event) {
    open(event.ticket);
    for (auto& [id, pool] : pools_) {
        forgive(pool);
    }
}

void Oracle::note(const core::Stop& event) {
    open(event.ticket);
    stopping_ = std::max(stopping_.value_or(event.mode), event.mode);
    if (*stopping_ >= core::StopMode::Fast && !fast_since_) {
        fast_since_ = now_;
    }
}

void Oracle::note(const core::Tick& /*event*/) {}

void Oracle::note(const core::Stalled& event) {
    for (auto& [id, life] : living_) {
        life.since += event.by;
        life.observed_since = std::min(life.observed_since + event.by, now_);
        if (life.extended_until) {
            *life.extended_until += event.by;
        }
    }
    if (fast_since_) {
        *fast_since_ += event.by;
    }
}

}  // namespace topsman::sim
