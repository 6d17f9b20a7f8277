// What the operator asks for, but for a new configuration.

#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>
#include <utility>

namespace topsman::core {

void SupervisorCore::State::refuse(Ticket ticket, const std::string& why) const {
    reply(ticket, Reply::Result::Failed, why, {}, *out);
}

std::string SupervisorCore::State::no_such_pool(const std::string& name) const {
    std::string known;
    for (const Pool& pool : pools) {
        if (!pool.removed) {
            known += (known.empty() ? "" : ", ") + pool.spec.name;
        }
    }
    return "no pool \"" + name + "\"; there is " + known;
}

std::string SupervisorCore::State::no_such_slot(const Pool& pool, std::uint32_t index) {
    const auto last =
        std::max_element(pool.slots.begin(), pool.slots.end(),
                         [](const Slot& a, const Slot& b) { return a.id() < b.id(); });
    return "no slot " + pool.name_of({pool.id, index}) +
           (index > last->id().index ? "; the last is " + pool.name_of(last->id())
                                     : ": it was taken away when there were to be fewer");
}

/// The pool that a wish is about; null: it is refused.
Pool* SupervisorCore::State::pool_wished(const std::string& name, Ticket ticket) {
    Pool* const pool = find_pool(name);
    if (phase != Phase::Running) {
        refuse(ticket, "the master is stopping");
        return nullptr;
    }
    if (pool == nullptr) {
        refuse(ticket, no_such_pool(name));
    }
    return pool;
}

void SupervisorCore::State::on(const Scale& event) {
    Pool* const pool = pool_wished(event.pool, event.ticket);
    if (pool == nullptr) {
        return;
    }
    std::uint64_t others = 0;
    for (const Pool& other : pools) {
        others += other.removed || &other == pool
                      ? 0
                      : other.slots.size() + other.max_surge() + other.spec.spares;
    }
    const std::uint64_t lanes = config.segment.lanes / 2;
    const std::uint64_t taken = others + pool->max_surge() + pool->spec.spares;
    if (event.workers == 0 || event.workers + taken > lanes) {
        const std::uint64_t most = lanes > taken ? lanes - taken : 0;
        refuse(event.ticket, event.pool + ": " + counted(event.workers, "worker") +
                                 " cannot be; it takes 1 to " + std::to_string(most) +
                                 " (segment.lanes is " + std::to_string(config.segment.lanes) +
                                 ")");
        return;
    }
    Wait wait;
    const auto size = static_cast<std::uint32_t>(pool->slots.size());
    wait.lines.push_back(size == event.workers
                             ? event.pool + ": " + counted(size, "worker") + " already"
                             : event.pool + ": " + std::to_string(size) + " -> " +
                                   std::to_string(event.workers));
    const bool stays_after_all = change && change->shrink.erase(pool->id) > 0;
    put_leavers_last(*pool, event.workers);
    resize(*pool, event.workers, wait);
    if (change) {
        outlast_change(*pool, stays_after_all);
    }
    tickets.add(event.ticket, std::move(wait), *out);
}

void SupervisorCore::State::on(const Restart& event) {
    if (phase != Phase::Running) {
        refuse(event.ticket, "the master is stopping");
        return;
    }
    Pool* only = event.pool ? find_pool(*event.pool) : nullptr;
    if (event.pool && only == nullptr) {
        refuse(event.ticket, no_such_pool(*event.pool));
        return;
    }
    if (event.slot && only == nullptr) {
        refuse(event.ticket, "a slot is named with its pool: web/0");
        return;
    }
    if (event.slot && only->find_slot({only->id, *event.slot}) == nullptr) {
        refuse(event.ticket, no_such_slot(*only, *event.slot));
        return;
    }
    Wait wait;
    for (Pool& pool : pools) {
        if (!pool.removed && (only == nullptr || only == &pool)) {
            begin_restart(pool, event.slot, wait);
            wait.rollouts.insert(pool.id);
        }
    }
    tickets.add(event.ticket, std::move(wait), *out);
}

void SupervisorCore::State::on(const ResetFailed& event) {
    if (phase != Phase::Running) {
        refuse(event.ticket, "the master is stopping");
        return;
    }
    if (event.pool && find_pool(*event.pool) == nullptr) {
        refuse(event.ticket, no_such_pool(*event.pool));
        return;
    }
    std::vector<std::string> lines;
    for (Pool& pool : pools) {
        if (pool.removed || (event.pool && pool.spec.name != *event.pool)) {
            continue;
        }
        const auto empty =
            std::count_if(pool.slots.begin(), pool.slots.end(), [](const Slot& slot) {
                return slot.phase() != SlotPhase::Occupied && slot.phase() != SlotPhase::Vacant &&
                       slot.phase() != SlotPhase::Drained;
            });
        pool.forgive();
        pool.restart_empty_slots();
        renew_spares(pool);  // they are of what has failed
        lines.push_back(
            pool.spec.name + ": " +
            (empty == 0 ? "nothing had failed"
                        : counted(static_cast<std::uint64_t>(empty), "slot") + " started again"));
    }
    reply(event.ticket, Reply::Result::Done, "", std::move(lines), *out);
}

void SupervisorCore::State::on(const Stop& event) {
    if (phase == Phase::Stopped) {
        reply(event.ticket, Reply::Result::Done, "", {"stopped"}, *out);
        return;
    }
    if (event.ticket != Ticket{}) {
        if (stop_tickets.size() < kMostTickets) {
            stop_tickets.push_back(event.ticket);
        } else {
            refuse(event.ticket, "it is being done, but too many wait for it already");
        }
    }
    begin_stop(event.mode, 0, "asked to");
}

void SupervisorCore::State::begin_stop(StopMode mode, int code, const std::string& why) {
    if (phase == Phase::Running) {
        phase = Phase::Stopping;
        exit_code = code;
        out->emplace_back(
            Announce{Notice::MasterStopping, std::nullopt, std::nullopt, std::nullopt, why});
        tickets.fail_all("the master is stopping", *out);
        change.reset();
        for (Pool& pool : pools) {
            pool.rollout.reset();
            for (Slot& slot : pool.slots) {
                slot.renewal = Renewal::None;
                slot.vacate();
            }
        }
        stop_mode = mode;
        if (mode != StopMode::Now) {
            for (auto& [id, worker] : workers) {
                send_away(worker);
            }
        }
    }
    stop_mode = std::max(stop_mode, mode);
    if (stop_mode >= StopMode::Fast && !fast_since) {
        fast_since = now;
    }
    if (stop_mode == StopMode::Now) {
        for (auto& [id, worker] : workers) {
            worker.asked_to_leave = worker.asked_to_leave || worker.cause.empty();
            fire(worker, Trigger::KillNow);
        }
    }
}

}  // namespace topsman::core
