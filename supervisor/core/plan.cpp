// What a reload would do, by doing it to a copy: whatever is under way is reckoned with, and the
// answer cannot differ from the deed.

#include "supervisor/core/state.hpp"

#include <algorithm>

namespace topsman::core {

std::vector<PoolPlan> SupervisorCore::plan(const config::Config& wanted) const {
    State after(*state_);
    std::vector<Action> undone;
    after.out = &undone;
    after.on(Reload{{}, wanted});
    std::vector<PoolPlan> plans;
    for (const Pool& pool : after.pools) {
        const Pool* before = state_->find_pool(pool.spec.name);
        const config::Pool* spec = wanted.find_pool(pool.spec.name);
        if (pool.removed && (before == nullptr || spec != nullptr)) {
            continue;  // its last workers are leaving already
        }
        const std::size_t has = before == nullptr ? 0 : before->slots.size();
        const std::size_t gets = spec == nullptr ? 0 : spec->workers;
        PoolPlan plan;
        plan.pool = pool.spec.name;
        plan.is_new = before == nullptr;
        plan.is_removed = spec == nullptr;
        plan.started = static_cast<std::uint32_t>(gets > has ? gets - has : 0);
        plan.ended = static_cast<std::uint32_t>(has > gets ? has - gets : 0);
        if (pool.rollout && pool.rollout->target && spec != nullptr) {
            const auto last = pool.slots.begin() + static_cast<std::ptrdiff_t>(
                                                       std::min(has, std::size_t{spec->workers}));
            plan.replaced = static_cast<std::uint32_t>(
                std::count_if(pool.slots.begin(), last,
                              [](const Slot& slot) { return slot.renewal != Renewal::None; }));
            plan.sends_canary = pool.rollout->stage == RolloutStage::Canary;
        }
        plans.push_back(std::move(plan));
    }
    return plans;
}

}  // namespace topsman::core
