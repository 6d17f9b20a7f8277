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

}  // namespace

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
