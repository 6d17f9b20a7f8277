// Taking a slot out of use, by the operator's will, and putting it back. Its worker finishes what
// it has begun and leaves, as at any other end; what is different is that nobody comes after it.
// Nothing else puts it back: no reload, no scaling, no new master.

#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>

namespace topsman::core {
namespace {

std::string way_back(const std::string& slot) {
    return "`topsman restart " + slot + "` puts it back in use";
}

}  // namespace

void SupervisorCore::State::on(const Drain& event) {
    Pool* const pool = pool_wished(event.pool, event.ticket);
    if (pool == nullptr) {
        return;
    }
    Slot* slot = pool->find_slot({pool->id, event.slot});
    if (slot == nullptr) {
        refuse(event.ticket, no_such_slot(*pool, event.slot));
        return;
    }
    const std::string name = pool->name_of(slot->id());
    if (is_last_to_serve(*pool, *slot)) {
        refuse(event.ticket, name + " is the only worker of " + pool->spec.name +
                                 " that serves: nobody would take its connections; have more with "
                                 "`topsman scale " +
                                 pool->spec.name + "=" + std::to_string(pool->slots.size() + 1) +
                                 "` first");
        return;
    }
    Wait wait;
    if (slot->phase() == SlotPhase::Drained) {
        wait.lines.push_back(name + ": drained already; " + way_back(name));
        wait.leaving = workers_in(slot->id());
    } else {
        const Slot before = *slot;
        slot->drain();
        slot->renewal = Renewal::None;
        slot->failures = 0;
        wait.lines.push_back(name + ": drained; " + way_back(name));
        clear_seat(*pool, before, "drained on request", wait);
        say_drained(*pool, slot->id());
    }
    tickets.add(event.ticket, std::move(wait), *out);
}

// Only where others would wait in vain: a pool without listeners just does nothing for a while.
bool SupervisorCore::State::is_last_to_serve(const Pool& pool, const Slot& slot) const {
    bool serves = false;
    for (const auto& [id, worker] : workers) {
        if (worker.slot.pool != pool.id || worker.state != WorkerState::Serving ||
            worker.spare != SpareStage::None) {
            continue;
        }
        if (worker.slot != slot.id()) {
            return false;
        }
        serves = true;
    }
    return serves && !pool.spec.exec.listeners.empty();
}

std::set<WorkerId> SupervisorCore::State::workers_in(SlotId slot) const {
    std::set<WorkerId> there;
    for (const auto& [id, worker] : workers) {
        if (worker.slot == slot) {
            there.insert(id);
        }
    }
    return there;
}

void SupervisorCore::State::say_drained(const Pool& pool, SlotId slot) const {
    if (workers_in(slot).empty()) {
        out->emplace_back(Announce{Notice::SlotDrained, slot, pool.id, std::nullopt,
                                   way_back(pool.name_of(slot))});
    }
}

/// The one that is restarted by name. Who restarts all of a pool is told what stays out of use.
void SupervisorCore::State::put_back(Pool& pool, std::optional<std::uint32_t> only, Wait& wait) {
    for (Slot& slot : pool.slots) {
        if (slot.phase() != SlotPhase::Drained) {
            continue;
        }
        const std::string name = pool.name_of(slot.id());
        if (!only) {
            wait.lines.push_back(name + ": stays drained; " + way_back(name));
        } else if (*only == slot.id().index) {
            slot.vacate();
        }
    }
}

/// Whoever has that seat, which is no more or is drained now, leaves; its rollout goes on without.
void SupervisorCore::State::clear_seat(Pool& pool, const Slot& seat, const std::string& why,
                                       Wait& wait) {
    tickets.worker_failed(seat.id(), "overtaken by a newer request", *out);
    if (pool.rollout && seat.renewal != Renewal::None) {
        --pool.rollout->total;
    }
    if (pool.rollout && pool.rollout->canary &&
        seat.role_of(*pool.rollout->canary) != Role::Leaving) {
        pool.rollout->canary.reset();
        pool.rollout->observed_since.reset();
    }
    for (const auto& id : {seat.current(), seat.successor()}) {
        if (id) {
            tickets.worker_replaced(pool.id, *id);
            send_away(workers.at(*id), why);
            wait.leaving.insert(*id);
        }
    }
}

}  // namespace topsman::core
