// A new configuration: what it changes at once, and what it sets going.

#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>
#include <utility>

namespace topsman::core {
namespace {

const config::Pool* find_spec(const config::Config& config, const std::string& name) {
    return config.find_pool(name);
}

// What a living worker was not started with.
bool needs_generation(const config::Config& before, const config::Config& after) {
    return std::any_of(after.pools.begin(), after.pools.end(), [&before](const config::Pool& pool) {
        const config::Pool* old = find_spec(before, pool.name);
        return old == nullptr || old->exec != pool.exec;
    });
}

}  // namespace

Pool SupervisorCore::State::make_pool(const config::Pool& spec) {
    Pool pool;
    pool.id = PoolId{last_pool++};
    pool.spec = spec;
    pool.generation = generation;
    pool.stable = generation;
    pool.up_deadline = now + clock_duration(std::max(spec.ready.timeout, spec.ready.min_uptime));
    for (std::uint32_t index = 0; index < spec.workers; ++index) {
        pool.slots.emplace_back(SlotId{pool.id, index}, generation);
    }
    return pool;
}

void SupervisorCore::State::on(const Reload& event) {
    if (phase != Phase::Running) {
        refuse(event.ticket, "the master is stopping");
        return;
    }
    const config::Config before = std::exchange(config, event.config);
    if (needs_generation(before, config)) {
        ++generation.value;
    }
    Wait wait;
    for (Pool& pool : pools) {
        const config::Pool* after = find_spec(config, pool.spec.name);
        if (!pool.removed && after == nullptr) {
            remove_pool(pool, wait);
        } else if (!pool.removed) {
            change_pool(pool, *after, wait);
        }
    }
    for (const config::Pool& spec : config.pools) {
        if (find_pool(spec.name) == nullptr) {
            add_pool(spec, wait);
        }
    }
    const auto place = [this](const Pool& pool) {
        const auto in_file =
            std::find_if(config.pools.begin(), config.pools.end(),
                         [&pool](const config::Pool& spec) { return spec.name == pool.spec.name; });
        return std::pair(pool.removed, in_file - config.pools.begin());
    };
    std::stable_sort(pools.begin(), pools.end(),
                     [&place](const Pool& a, const Pool& b) { return place(a) < place(b); });
    if (wait.lines.empty() && wait.empty()) {
        wait.lines.emplace_back("nothing to change");
    }
    out->emplace_back(Announce{Notice::ConfigLoaded, std::nullopt, std::nullopt, std::nullopt,
                               "generation " + std::to_string(generation.value)});
    tickets.add(event.ticket, std::move(wait), *out);
}

void SupervisorCore::State::add_pool(const config::Pool& spec, Wait& wait) {
    const Pool& pool = pools.emplace_back(make_pool(spec));
    for (const Slot& slot : pool.slots) {
        wait.starting.insert(slot.id());
    }
    wait.lines.push_back(spec.name + ": new, " + counted(spec.workers, "worker"));
}

void SupervisorCore::State::remove_pool(Pool& pool, Wait& wait) {
    const auto before = pool.slots.size();
    resize(pool, 0, wait);
    pool.removed = true;
    tickets.rollout_failed(pool.id, "overtaken by a newer reload", *out);
    pool.rollout.reset();
    wait.lines.push_back(pool.spec.name + ": removed, " + counted(before, "worker"));
}

void SupervisorCore::State::change_pool(Pool& pool, const config::Pool& after, Wait& wait) {
    const auto size = static_cast<std::uint32_t>(pool.slots.size());
    const bool executes = pool.spec.exec != after.exec;
    const bool changed = pool.spec != after || size != after.workers;
    config::Pool same = after;
    same.workers = pool.spec.workers;
    same.workers_auto = pool.spec.workers_auto;
    same.exec = pool.spec.exec;
    const bool policies = same != pool.spec;
    const bool revives =
        after.restart == config::RestartPolicy::Always && after.restart != pool.spec.restart;
    pool.spec = after;
    if (changed) {
        pool.forgive();
        for (Slot& slot : pool.slots) {
            const bool again = slot.phase() == SlotPhase::Tripped ||
                               slot.phase() == SlotPhase::Waiting ||
                               (revives && slot.phase() == SlotPhase::Finished);
            if (again) {
                slot.vacate();
            }
        }
    }
    if (size != after.workers) {
        wait.lines.push_back(pool.spec.name + ": " + std::to_string(size) + " -> " +
                             std::to_string(after.workers));
        resize(pool, after.workers, wait);
    }
    if (policies) {
        wait.lines.push_back(pool.spec.name + ": new settings in force");
    }
    if (executes) {
        pool.generation = generation;
    }
    // A rollout that failed, or is under way, is what the same file asks for once more.
    if (pool.generation != pool.stable) {
        begin_rollout(pool, std::nullopt, pool.generation);
        wait.rollouts.insert(pool.id);
    }
}

void SupervisorCore::State::resize(Pool& pool, std::uint32_t size, Wait& wait) {
    while (pool.slots.size() > size) {
        const Slot slot = pool.slots.back();
        pool.slots.pop_back();
        tickets.worker_failed(slot.id(), "overtaken by a newer request", *out);
        if (pool.rollout && slot.renewal != Renewal::None) {
            --pool.rollout->total;
        }
        for (const auto& id : {slot.current(), slot.successor()}) {
            if (id) {
                tickets.worker_replaced(pool.id, *id);
                send_away(workers.at(*id));
                wait.leaving.insert(*id);
            }
        }
    }
    while (pool.slots.size() < size) {
        Slot& slot = pool.slots.emplace_back(
            SlotId{pool.id, static_cast<std::uint32_t>(pool.slots.size())}, pool.stable);
        wait.starting.insert(slot.id());
        if (pool.rollout) {
            slot.renewal = Renewal::Wanted;
            ++pool.rollout->total;
        }
    }
}

}  // namespace topsman::core
