// From one configuration to another, and back. A reload takes effect as a whole or not at all: it
// keeps what was in force before it until all its rollouts are done, takes away workers and pools
// last, and undoes itself when a new generation fails.

#include "shm/base/check.hpp"
#include "supervisor/core/state.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>
#include <utility>

namespace topsman::core {
namespace {}  // namespace

void SupervisorCore::State::on(const Reload& event) {
    if (phase != Phase::Running) {
        refuse(event.ticket, "the master is stopping");
        return;
    }
    go_to(version_of(event.config), event.ticket);
}

void SupervisorCore::State::on(const Rollback& event) {
    if (phase != Phase::Running) {
        refuse(event.ticket, "the master is stopping");
        return;
    }
    if (!change && !previous) {
        refuse(event.ticket, "there is nothing to go back to: no reload has changed anything yet");
        return;
    }
    if (!change) {
        go_to(Version(*previous), event.ticket);
        return;
    }
    if (!change->goes_back) {
        go_back("on request");
    }
    // The way back as it is from here on.
    Wait wait;
    wait.change = change->id;
    wait.lines.push_back("back to " + in_words(generation));
    for (const Pool& pool : pools) {
        if (pool.rollout && pool.rollout->target) {
            wait.rollouts.insert(pool.id);
        }
    }
    tickets.add(event.ticket, std::move(wait), *out);
}

// A pool that executes the same is of the same generation, also when that is the one before the
// reload under way.
Version SupervisorCore::State::version_of(const config::Config& wanted) {
    Version version{wanted, generation, {}};
    const Generation fresh{last_generation.value + 1};
    for (const config::Pool& spec : wanted.pools) {
        const Pool* running = find_pool(spec.name);
        const config::Pool* before = change ? change->base.config.find_pool(spec.name) : nullptr;
        Generation runs = fresh;
        if (running != nullptr && running->spec.exec == spec.exec) {
            runs = running->generation;
        } else if (before != nullptr && before->exec == spec.exec) {
            runs = change->base.pools.at(spec.name);
        }
        version.pools[spec.name] = runs;
        last_generation = std::max(last_generation, runs);
    }
    version.generation = Generation{};
    for (const auto& [name, runs] : version.pools) {
        version.generation = std::max(version.generation, runs);
    }
    return version;
}

Version SupervisorCore::State::running_version() const {
    Version version{config, generation, {}};
    for (config::Pool& spec : version.config.pools) {
        for (const Pool& pool : pools) {
            if (!pool.removed && pool.spec.name == spec.name) {
                spec.workers = static_cast<std::uint32_t>(pool.slots.size());
                version.pools[spec.name] = pool.generation;
            }
        }
    }
    return version;
}

bool SupervisorCore::State::has_to_roll(const Pool& pool, Generation target) const {
    const auto is_other = [this, target](const Slot& slot) {
        return slot.current() && workers.at(*slot.current()).generation != target;
    };
    return target != pool.stable || (pool.rollout && pool.rollout->target) ||
           std::any_of(pool.slots.begin(), pool.slots.end(), is_other);
}

void SupervisorCore::State::go_to(const Version& target, Ticket ticket) {
    Wait wait;
    const bool same = config == target.config;
    const Version base = change ? change->base : running_version();
    if (change && !same) {
        tickets.change_failed(change->id, kOvertaken, *out);
    }
    bool rolls = false;
    for (Pool& pool : pools) {
        const auto wanted = target.pools.find(pool.spec.name);
        const bool stays = !pool.removed && wanted != target.pools.end();
        const bool has_to = stays && has_to_roll(pool, wanted->second);
        if (pool.rollout && !pool.removed &&
            (!stays || (has_to && pool.rollout->target != wanted->second))) {
            tickets.rollout_failed(pool.id, kOvertaken, *out);
            withdraw_rollout(pool, wait.leaving);
        }
        rolls = rolls || has_to;
    }
    if (!same || !change) {
        change.reset();
        if (rolls) {
            change = Change{++last_change, base, {}, false, {}, {}};
        }
    }
    if (config.shared != target.config.shared) {
        wait.lines.emplace_back("shared: as the configuration says now");
    }
    config = target.config;
    generation = target.generation;
    ++revision;
    put_in_force(target, wait);
    if (change) {
        wait.change = change->id;
    } else if (base.config != config) {
        previous = base;
    }
    if (wait.lines.empty() && wait.empty()) {
        wait.lines.emplace_back("nothing to change");
    }
    out->emplace_back(Announce{Notice::ConfigLoaded, std::nullopt, std::nullopt, std::nullopt,
                               in_words(generation)});
    tickets.add(ticket, std::move(wait), *out);
}

// A scaling holds whatever becomes of the reload under way.
void SupervisorCore::State::outlast_change(Pool& pool, bool stays_after_all) {
    for (config::Pool& before : change->base.config.pools) {
        if (before.name == pool.spec.name) {
            before.workers = static_cast<std::uint32_t>(pool.slots.size());
        }
    }
    ++revision;
    if (stays_after_all && (pool.rollout || !pool.is_half())) {
        begin_target(pool, pool.generation);
    }
}

// What was in force before is so again, in every pool.
void SupervisorCore::State::go_back(const std::string& why) {
    CHECK(change && !change->goes_back);
    change->goes_back = true;
    change->failure = why;
    change->shrink.clear();
    Wait back;
    tickets.change_undone(change->id, why, back);
    std::vector<PoolId> undone;
    for (Pool& pool : pools) {
        const auto before = change->base.pools.find(pool.spec.name);
        if (pool.removed || before == change->base.pools.end()) {
            continue;
        }
        const Generation runs = before->second;
        if (pool.generation != runs) {
            undone.push_back(pool.id);
        }
        if (pool.rollout && (pool.rollout->target || has_to_roll(pool, runs))) {
            tickets.rollout_failed(pool.id, why, *out);
            withdraw_rollout(pool, back.leaving);
        }
        pool.stable = runs;
        for (Slot& slot : pool.slots) {
            const bool is_empty = !slot.current() && slot.phase() != SlotPhase::Vacant &&
                                  slot.phase() != SlotPhase::Drained;
            if (slot.generation() != runs && is_empty) {
                slot.vacate();
            }
            slot.proven(runs);
        }
    }
    config = change->base.config;
    generation = change->base.generation;
    ++revision;
    put_in_force(change->base, back);
    for (Pool& pool : pools) {
        // A rollout back says so at its end; a restart under way is none.
        const bool rolls_back = pool.rollout && pool.rollout->target;
        if (!rolls_back && std::count(undone.begin(), undone.end(), pool.id) > 0) {
            say_rolled_back(pool);
        }
    }
    tickets.change_undone(change->id, why, back);
    change->leaving.insert(back.leaving.begin(), back.leaving.end());
    out->emplace_back(Announce{Notice::ConfigLoaded, std::nullopt, std::nullopt, std::nullopt,
                               "back to " + in_words(generation)});
}

void SupervisorCore::State::settle_change() {
    if (!change) {
        return;
    }
    const auto is_under_way = [this](const Pool& pool) {
        const bool stays = !pool.removed && config.find_pool(pool.spec.name) != nullptr;
        return stays && (pool.is_half() || (pool.rollout && pool.rollout->target));
    };
    if (std::any_of(pools.begin(), pools.end(), is_under_way)) {
        // Lanes may be short: then what is to go makes room.
        if (!change->goes_back && !has_free_lane()) {
            take_away();
        }
        return;
    }
    if (!change->goes_back) {
        take_away();
        if (change->base.config != config) {
            previous = change->base;
        }
    }
    std::erase_if(change->leaving, [this](WorkerId id) { return !workers.contains(id); });
    tickets.change_done(change->id, change->leaving);
    change.reset();
    ++revision;
    for (Pool& pool : pools) {
        pool.sort_slots();  // those that were to go and stay are not the last any more
    }
}

void SupervisorCore::State::take_away() {
    Wait wait;
    for (Pool& pool : pools) {
        const auto shrink = change->shrink.find(pool.id);
        if (pool.removed) {
            continue;
        }
        if (config.find_pool(pool.spec.name) == nullptr) {
            remove_pool(pool, wait);
        } else if (shrink != change->shrink.end() && shrink->second < pool.slots.size()) {
            resize(pool, shrink->second, wait);
        }
    }
    change->shrink.clear();
    change->leaving.merge(wait.leaving);
}

}  // namespace topsman::core
