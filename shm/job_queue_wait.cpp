// Submitting to a full queue and taking from an empty one, with patience.

#include "shm/job_queue.hpp"

namespace topsman::shm {
namespace {

/// Does `attempt` until it comes to something, asleep in the lane's own word between the attempts.
template <class Attempt>
auto until_done(Parking& parking, std::span<Lane> lanes, std::uint32_t lane, Deadline deadline,
                JobQueue::IsOver is_over, Attempt&& attempt) noexcept {
    auto done = attempt();
    if (!done && !is_over()) {
        (void)parking.park(lanes, lane, deadline, [&] {
            done = attempt();
            return !done && !is_over();
        });
    }
    return done;
}

}  // namespace

std::optional<JobId> JobQueue::submit_until(Owner me, std::span<const std::byte> item,
                                            std::uint64_t now_ns, Deadline deadline,
                                            IsOver is_over) noexcept {
    return until_done(control_->submitters, lanes_, me.lane, deadline, is_over,
                      [&] { return submit(me, item, now_ns); });
}

std::optional<TakenJob> JobQueue::take_until(Owner me, Deadline deadline, IsOver is_over) noexcept {
    return until_done(control_->takers, lanes_, me.lane, deadline, is_over,
                      [&] { return take(me); });
}

}  // namespace topsman::shm
