// What a configuration changes at once when it comes into force, and what it sets going.

#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>
#include <utility>

namespace topsman::core {
namespace {

std::string removed_line(const Pool& pool) {
    return pool.spec.name + ": removed, " + counted(pool.slots.size(), "worker");
}

}  // namespace

Pool SupervisorCore::State::make_pool(const config::Pool& spec, Generation runs) {
    Pool pool;
    pool.id = PoolId{last_pool++};
    pool.spec = spec;
    pool.generation = runs;
    pool.stable = runs;
    pool.up_deadline = now + clock_duration(std::max(spec.ready.timeout, spec.ready.min_uptime));
    for (std::uint32_t index = 0; index < spec.workers; ++index) {
        pool.slots.emplace_back(SlotId{pool.id, index}, runs);
    }
    return pool;
}

void SupervisorCore::State::put_in_force(const Version& version, Wait& wait) {
    for (Pool& pool : pools) {
        const config::Pool* after = version.config.find_pool(pool.spec.name);
        if (pool.removed) {
            continue;
        }
        if (after != nullptr) {
            change_pool(pool, *after, version.pools.at(after->name), wait);
        } else if (change && !change->goes_back) {
            wait.lines.push_back(removed_line(pool));  // when all else is done
        } else {
            remove_pool(pool, wait);
        }
    }
    for (const config::Pool& spec : version.config.pools) {
        if (find_pool(spec.name) == nullptr) {
            add_pool(spec, version.pools.at(spec.name), wait);
        }
    }
    const auto place = [&version](const Pool& pool) {
        const auto& specs = version.config.pools;
        const auto in_file =
            std::find_if(specs.begin(), specs.end(),
                         [&pool](const config::Pool& spec) { return spec.name == pool.spec.name; });
        return std::pair(pool.removed, in_file - specs.begin());
    };
    std::stable_sort(pools.begin(), pools.end(),
                     [&place](const Pool& a, const Pool& b) { return place(a) < place(b); });
}

void SupervisorCore::State::add_pool(const config::Pool& spec, Generation runs, Wait& wait) {
    const Pool& pool = pools.emplace_back(make_pool(spec, runs));
    for (const Slot& slot : pool.slots) {
        wait.starting.insert(slot.id());
    }
    wait.lines.push_back(spec.name + ": new, " + counted(spec.workers, "worker"));
}

void SupervisorCore::State::remove_pool(Pool& pool, Wait& wait) {
    wait.lines.push_back(removed_line(pool));
    resize(pool, 0, wait);
    pool.removed = true;
    tickets.rollout_failed(pool.id, kOvertaken, *out);
    pool.rollout.reset();
}

void SupervisorCore::State::change_pool(Pool& pool, const config::Pool& after, Generation runs,
                                        Wait& wait) {
    const auto size = static_cast<std::uint32_t>(pool.slots.size());
    const bool changed = pool.spec != after || size != after.workers;
    config::Pool same = after;
    same.workers = pool.spec.workers;
    same.workers_auto = pool.spec.workers_auto;
    same.exec = pool.spec.exec;
    const bool policies = same != pool.spec;
    const bool revives =
        after.restart == config::RestartPolicy::Always && after.restart != pool.spec.restart;
    pool.spec = after;
    pool.generation = runs;
    pool.rollout_end.clear();
    if (changed) {
        pool.forgive();
        revive_slots(pool, revives);
    }
    if (change) {
        change->shrink.erase(pool.id);
    }
    if (size != after.workers) {
        wait.lines.push_back(pool.spec.name + ": " + std::to_string(size) + " -> " +
                             std::to_string(after.workers));
        put_leavers_last(pool, after.workers);
        if (after.workers < size && change && !change->goes_back) {
            change->shrink[pool.id] = after.workers;
        } else {
            resize(pool, after.workers, wait);
        }
    }
    if (policies) {
        wait.lines.push_back(pool.spec.name + ": new settings in force");
    }
    if (begin_target(pool, runs)) {
        wait.rollouts.insert(pool.id);
    }
}

void SupervisorCore::State::revive_slots(Pool& pool, bool finished_too) {
    for (Slot& slot : pool.slots) {
        const bool again = slot.phase() == SlotPhase::Tripped ||
                           slot.phase() == SlotPhase::Waiting ||
                           (finished_too && slot.phase() == SlotPhase::Finished);
        if (again) {
            slot.vacate();
        }
    }
}

// Fewer: the last ones go. More: the lowest numbers that are free.
void SupervisorCore::State::resize(Pool& pool, std::uint32_t size, Wait& wait) {
    const std::size_t before = pool.slots.size();
    while (pool.slots.size() > size) {
        const Slot slot = pool.slots.back();
        pool.slots.pop_back();
        clear_seat(pool, slot, "", wait);
    }
    while (pool.slots.size() < size) {
        Slot& slot = pool.slots.emplace_back(SlotId{pool.id, pool.free_number()}, pool.stable);
        wait.starting.insert(slot.id());
        if (pool.rollout) {
            slot.renewal = Renewal::Wanted;
            ++pool.rollout->total;
        }
    }
    if (size > before) {
        pool.sort_slots();
    }
}

}  // namespace topsman::core
