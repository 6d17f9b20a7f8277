#pragma once

// Waiting for a message or for room: with light fences at those who wake.

#include "shm/channel.hpp"
#include "shm/fence.hpp"

namespace topsman::shm {

/// After an attempt in vain. Apart, so that a message that does not wait for anything has nothing
/// of this in its way.
template <class Attempt, class Over>
[[gnu::noinline]] auto Channel::wait_until_done(Parking& parking, std::span<Lane> lanes,
                                                std::uint32_t lane, Deadline deadline,
                                                Over&& is_over, Attempt&& attempt) noexcept {
    decltype(attempt()) done{};
    const auto still_needed = [&] {
        done = attempt();
        return !done && !is_over();
    };
    while (!done && !is_over()) {
        if (deadline != kNoDeadline && deadline <= Deadline::clock::now()) {
            break;
        }
        (void)parking.park(lanes, lane, until_next_look(deadline), still_needed, heavy_fence);
    }
    return done;
}

template <class Attempt, class Over>
auto Channel::until_done(Parking& parking, std::span<Lane> lanes, std::uint32_t lane,
                         Deadline deadline, Over&& is_over, Attempt&& attempt) noexcept {
    // A deadline of zero is an attempt: there is no need to look at the clock.
    if (auto done = attempt(); done || deadline == Deadline{}) {
        return done;
    }
    return wait_until_done(parking, lanes, lane, deadline, is_over, attempt);
}

}  // namespace topsman::shm
