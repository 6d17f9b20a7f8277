// Submitting to a full queue and taking from an empty one, with patience.

#include "shm/fenced_wait.hpp"
#include "shm/job_queue.hpp"

#include <algorithm>
#include <chrono>

namespace topsman::shm {
namespace {

/// Does `attempt` until it comes to something, asleep in the lane's own word between the attempts.
/// For what others change by an exchange before they look whom to wake: they need no other fence.
template <class IsOver, class Attempt>
auto until_done(Parking& parking, std::span<Lane> lanes, std::uint32_t lane, Deadline deadline,
                IsOver&& is_over, Attempt&& attempt) noexcept {
    auto done = attempt();
    if (!done && !is_over()) {
        (void)parking.park(lanes, lane, deadline, [&] {
            done = attempt();
            return !done && !is_over();
        });
    }
    return done;
}

/// Of CLOCK_MONOTONIC, as steady_clock is.
Deadline point_of(std::uint64_t ns) noexcept {
    return ns == 0 ? kNoDeadline : Deadline(std::chrono::nanoseconds(ns));
}

}  // namespace

std::uint64_t JobQueue::monotonic_ns() noexcept {
    return static_cast<std::uint64_t>(
        std::chrono::nanoseconds(Deadline::clock::now().time_since_epoch()).count());
}

// Room is made by an ack, with a light fence.

std::optional<JobId> JobQueue::submit_until(Owner me, std::span<const std::byte> item,
                                            const JobTerms& terms, Deadline deadline,
                                            IsOver is_over) noexcept {
    return fenced_until_done(control_->submitters, lanes_, me.lane, deadline, is_over,
                             [&] { return submit(me, item, terms); });
}

std::optional<KeyedJob> JobQueue::submit_once_until(Owner me, const JobKey& key,
                                                    std::span<const std::byte> item,
                                                    const JobTerms& terms, Deadline deadline,
                                                    IsOver is_over) noexcept {
    return fenced_until_done(control_->submitters, lanes_, me.lane, deadline, is_over,
                             [&] { return submit_once(me, key, item, terms); });
}

std::optional<JobId> JobQueue::ask_until(Owner me, std::span<const std::byte> item,
                                         const JobTerms& terms, Deadline deadline,
                                         IsOver is_over) noexcept {
    return fenced_until_done(control_->submitters, lanes_, me.lane, deadline, is_over,
                             [&] { return ask(me, item, terms); });
}

Answer JobQueue::wait_for(Owner me, JobId id, Deadline deadline, IsOver is_over) noexcept {
    Answer answer;
    (void)until_done(control_->askers, lanes_, me.lane, deadline, is_over, [&] {
        answer = look_for(id);
        return answer.state != AnswerState::NotYet;
    });
    return answer;
}

std::optional<TakenJob> JobQueue::take_until(Owner me, Deadline deadline, IsOver is_over) noexcept {
    std::optional<TakenJob> taken;
    do {
        // Nobody is told when a LATER job is due: whoever waits wakes up by itself then.
        const Deadline due = point_of(later_.first_due_ns());
        const auto is_over_or_sooner = [&] {
            return is_over() || point_of(later_.first_due_ns()) < due;
        };
        taken = until_done(control_->takers, lanes_, me.lane, std::min(deadline, due),
                           is_over_or_sooner, [&] { return take(me); });
    } while (!taken && !is_over() && Deadline::clock::now() < deadline);
    return taken;
}

}  // namespace topsman::shm
