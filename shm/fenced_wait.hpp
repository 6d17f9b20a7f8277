#pragma once

// Waiting for what others change with light fences: a message, room in an inbox or in a queue.

#include "shm/fence.hpp"
#include "shm/parking.hpp"

namespace topsman::shm {
namespace detail {

/// After an attempt in vain. Apart, so that whoever does not wait has nothing of this in its way.
template <class Over, class Attempt, class Fence>
[[gnu::noinline]] auto wait_until_done(Parking& parking, std::span<Lane> lanes, std::uint32_t lane,
                                       Deadline deadline, Over&& is_over, Attempt&& attempt,
                                       Fence&& fence) noexcept {
    decltype(attempt()) done{};
    if (is_over()) {
        return done;
    }
    const auto still_needed = [&] {
        done = attempt();
        return !done && !is_over();
    };
    do {
        (void)parking.park(lanes, lane, until_next_look(deadline), still_needed, fence);
    } while (!done && !is_over() && !has_heavy_fence() && Deadline::clock::now() < deadline);
    return done;
}

}  // namespace detail

/// Does `attempt` until it comes to something, asleep in the lane's own word between the attempts;
/// gives up at the deadline, or once `is_over()`. Returns what the last attempt came to. `fence` is
/// between having entered `parking` and the last attempt before the sleep: for those who know when
/// less is enough.
template <class Over, class Attempt, class Fence = void (*)() noexcept>
auto fenced_until_done(Parking& parking, std::span<Lane> lanes, std::uint32_t lane,
                       Deadline deadline, Over&& is_over, Attempt&& attempt,
                       Fence fence = heavy_fence) noexcept {
    // A deadline of zero is an attempt: there is no need to look at the clock.
    if (auto done = attempt(); done || deadline == Deadline{}) {
        return done;
    }
    return detail::wait_until_done(parking, lanes, lane, deadline, is_over, attempt, fence);
}

}  // namespace topsman::shm
