#include "tests/sim/fake_shell.hpp"

#include <algorithm>
#include <utility>

namespace topsman::sim {

void FakeShell::begin(const core::SupervisorCore& core, const config::Config& file) {
    install(core, file);
    keep(core);
}

void FakeShell::install(const core::SupervisorCore& core, const config::Config& prepared) {
    for (const core::PoolView& pool : core.snapshot().pools) {
        const config::Pool* spec = prepared.find_pool(pool.name);
        const config::Pool* wanted = core.config().find_pool(pool.name);
        if (spec != nullptr && wanted != nullptr && *spec == *wanted) {
            specs_[pool.generation][pool.name] = *spec;
        }
    }
}

void FakeShell::follow(const core::SupervisorCore& core, const core::Event& event) {
    const auto* reload = std::get_if<core::Reload>(&event);
    if (reload != nullptr) {
        install(core, reload->config);
    }
    if (reload != nullptr || core.revision() != kept_revision_) {
        kept_revision_ = core.revision();
        keep(core);
    }
}

std::vector<core::Action> FakeShell::in_order(std::vector<core::Action> actions) {
    core::sort_by_urgency(actions);
    return actions;
}

std::optional<std::string> FakeShell::spawn(const core::SupervisorCore& core,
                                            const core::Spawn& spawn, TimePoint now) {
    std::string name;
    for (const core::PoolView& pool : core.snapshot().pools) {
        name = pool.pool == spawn.slot.pool ? pool.name : name;
    }
    const auto known = specs_.find(spawn.generation);
    if (known == specs_.end() || !known->second.contains(name)) {
        return "nobody knows what generation " + std::to_string(spawn.generation.value) + " of " +
               name + " is";
    }
    config::Pool both = *core.policy(spawn.slot.pool);
    both.exec = known->second.at(name).exec;
    records_.started(spawn, name, now);
    kernel_.spawn(spawn, both, now);
    return std::nullopt;
}

std::optional<std::string> FakeShell::carry_out(const core::SupervisorCore& core,
                                                const core::Action& action, TimePoint now) {
    if (const auto* spawned = std::get_if<core::Spawn>(&action)) {
        return spawn(core, *spawned, now);
    }
    if (const auto* signal = std::get_if<core::Signal>(&action)) {
        kernel_.signal(*signal, now);
    } else if (const auto* park = std::get_if<core::Park>(&action)) {
        kernel_.park(park->worker, now);
    } else if (const auto* release = std::get_if<core::Release>(&action)) {
        kernel_.release(release->worker, release->slot);
    } else if (const auto* obituary = std::get_if<core::Obituary>(&action)) {
        records_.buried(obituary->worker);
        buried_.insert(obituary->worker);
    }
    return std::nullopt;
}

void FakeShell::publish(const core::SupervisorCore& core) {
    const core::Snapshot snapshot = core.snapshot();
    records_.publish(snapshot);
    std::set<core::Generation> used = core.generations_in_use();
    for (const core::PoolView& pool : snapshot.pools) {
        used.insert(pool.generation);
    }
    std::erase_if(specs_, [&used](const auto& entry) { return !used.contains(entry.first); });
    keep(core);
}

core::Inheritance FakeShell::left() const {
    return records_.left([this](core::WorkerId worker) {
        return Records::Lane{kernel_.has_said_ready(worker), kernel_.signs_of(worker)};
    });
}

void FakeShell::forget() {
    records_ = Records{};
    specs_.clear();
    buried_.clear();
    kernel_.forget_the_dead();
}

}  // namespace topsman::sim
