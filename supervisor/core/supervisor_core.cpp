#include "supervisor/core/supervisor_core.hpp"

#include "shm/base/check.hpp"
#include "supervisor/core/state.hpp"

#include <algorithm>
#include <utility>

namespace topsman::core {

SupervisorCore::SupervisorCore(config::Config config, std::uint64_t jitter_seed)
    : state_(std::make_unique<State>(std::move(config), jitter_seed)) {
    for (const config::Pool& pool : state_->config.pools) {
        state_->pools.push_back(state_->make_pool(pool, state_->generation));
    }
}

SupervisorCore::~SupervisorCore() = default;

void SupervisorCore::step(const Event& event, TimePoint now, std::vector<Action>& out) {
    State& state = *state_;
    state.now = now;
    state.out = &out;
    if (!state.started) {
        state.start();
        if (!std::holds_alternative<Adopt>(event)) {
            state.announce_config();
        }
    }
    std::visit([&state](const auto& what) { state.on(what); }, event);
    if (!is_sign_of_life(event) && !std::holds_alternative<Stalled>(event)) {
        state.expire();
    }
    state.reconcile();
    state.out = nullptr;
}

const config::Config& SupervisorCore::config() const {
    return state_->config;
}

std::uint64_t SupervisorCore::revision() const {
    return state_->revision;
}

const config::Pool* SupervisorCore::policy(PoolId pool) const {
    const auto found = std::find_if(state_->pools.begin(), state_->pools.end(),
                                    [pool](const Pool& candidate) { return candidate.id == pool; });
    return found == state_->pools.end() ? nullptr : &found->spec;
}

config::Config SupervisorCore::config_as_scaled() const {
    return state_->running_version().config;
}

std::uint64_t SupervisorCore::ignored_events() const {
    return state_->ignored;
}

void SupervisorCore::State::start() {
    started = true;
    measured_at = now;
    for (Pool& pool : pools) {
        pool.up_deadline =
            now + clock_duration(std::max(pool.spec.ready.timeout, pool.spec.ready.min_uptime));
    }
}

void SupervisorCore::State::announce_config() const {
    out->emplace_back(Announce{Notice::ConfigLoaded, std::nullopt, std::nullopt, std::nullopt,
                               "generation " + std::to_string(generation.value)});
}

Worker* SupervisorCore::State::find(WorkerId id) {
    const auto found = workers.find(id);
    if (found == workers.end()) {
        ++ignored;
        return nullptr;
    }
    return &found->second;
}

const Pool& SupervisorCore::State::pool_of(const Worker& worker) const {
    const auto found = std::find_if(pools.begin(), pools.end(), [&worker](const Pool& pool) {
        return pool.id == worker.slot.pool;
    });
    CHECK(found != pools.end());
    return *found;
}

Pool& SupervisorCore::State::pool_of(const Worker& worker) {
    return const_cast<Pool&>(std::as_const(*this).pool_of(worker));
}

Pool* SupervisorCore::State::find_pool(const std::string& name) {
    const auto found = std::find_if(pools.begin(), pools.end(), [&name](const Pool& pool) {
        return !pool.removed && pool.spec.name == name;
    });
    return found == pools.end() ? nullptr : &*found;
}

std::optional<TimePoint> SupervisorCore::State::deadline(const Worker& worker) const {
    const auto drain_by = fast_since ? std::optional(*fast_since + kFastDrain) : std::nullopt;
    return deadline_of(worker, pool_of(worker).spec, drain_by);
}

// Lane 0 is the master's. A worker that finds none is spawned when another is gone.
bool SupervisorCore::State::has_free_lane() const {
    return workers.size() + 1 < config.segment.lanes;
}

void SupervisorCore::State::announce(Notice notice, const Worker& worker,
                                     std::string reason) const {
    out->emplace_back(
        Announce{notice, worker.slot, worker.slot.pool, worker.id, std::move(reason)});
}

void SupervisorCore::State::announce(Notice notice, const Pool& pool, std::string reason) const {
    out->emplace_back(Announce{notice, std::nullopt, pool.id, std::nullopt, std::move(reason)});
}

}  // namespace topsman::core
