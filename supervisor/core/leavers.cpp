// Who goes when there are to be fewer: whoever has least to finish, so that least has to be waited
// for and least is lost with a program that does not finish. And who of those that leave is waited
// for no longer.

#include "supervisor/core/state.hpp"

#include <algorithm>
#include <tuple>

namespace topsman::core {
namespace {

/// What would be missed if this slot were taken away; the least goes first, of equals the highest
/// number: so a pool whose workers are all alike keeps its numbers without gaps.
auto weight(const Slot& slot, const Workers& workers) {
    bool serves = false;
    std::uint64_t in_flight = 0;
    for (const auto& id : {slot.current(), slot.successor()}) {
        if (id && is_serving(*id, workers)) {
            serves = true;
            in_flight += workers.at(*id).in_flight;
        }
    }
    const bool is_in_use = slot.phase() != SlotPhase::Drained;
    return std::tuple(is_in_use, serves, in_flight, ~slot.id().index);
}

/// Generations of which somebody is still draining, and when the last of its workers began to; not
/// the newest: those have been replaced by their like.
std::map<Generation, TimePoint> draining_generations(const Pool& pool, const Workers& workers) {
    std::map<Generation, TimePoint> began;
    for (const auto& [id, worker] : workers) {
        if (worker.slot.pool == pool.id && worker.state == WorkerState::Draining &&
            worker.generation != pool.generation && pool.role_of(worker) == Role::Leaving) {
            TimePoint& last = began.try_emplace(worker.generation, worker.since).first->second;
            last = std::max(last, worker.since);
        }
    }
    return began;
}

}  // namespace

/// Rollouts overtake each other, and connections may last for days: of more old generations than
/// `max_old_generations` the one that began to drain first has its stop deadline now.
void SupervisorCore::State::end_oldest(Pool& pool) {
    const std::size_t most = pool.spec.max_old_generations;
    auto began = draining_generations(pool, workers);
    while (most > 0 && began.size() > most) {
        const auto oldest =
            std::min_element(began.begin(), began.end(),
                             [](const auto& a, const auto& b) { return a.second < b.second; });
        for (auto& [id, worker] : workers) {
            if (worker.slot.pool == pool.id && worker.state == WorkerState::Draining &&
                worker.generation == oldest->first && pool.role_of(worker) == Role::Leaving) {
                worker.cause = "max_old_generations: more than " + std::to_string(most) +
                               " were draining, this one for longest";
                fire(worker, Trigger::Deadline);
            }
        }
        began.erase(oldest);
    }
}

void SupervisorCore::State::on(const Busy& event) {
    for (const Busy::Line& line : event.workers) {
        if (Worker* worker = find(line.worker)) {
            worker->in_flight = line.in_flight;
        }
    }
}

/// Those behind `size` are taken away, now or when the reload under way is done.
void SupervisorCore::State::put_leavers_last(Pool& pool, std::size_t size) {
    std::sort(pool.slots.begin(), pool.slots.end(), [this](const Slot& a, const Slot& b) {
        return weight(a, workers) > weight(b, workers);
    });
    const auto leavers =
        pool.slots.begin() + static_cast<std::ptrdiff_t>(std::min(size, pool.slots.size()));
    const auto by_number = [](const Slot& a, const Slot& b) { return a.id() < b.id(); };
    std::sort(pool.slots.begin(), leavers, by_number);
    std::sort(leavers, pool.slots.end(), by_number);
}

}  // namespace topsman::core
