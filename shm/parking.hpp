#pragma once

// Waiting for other processes that may die: the one way to sleep on something in the segment.
//
// A Parking is the set of lanes whose threads sleep until something changes: one belongs to each
// object that can be waited for. Sleeping itself happens in the lane's own futex word, so nothing
// that others wait for is ever in the hands of the dead. How to use it:
//
//     to wait:    parking.park(lanes, my_lane, deadline, [&] { return !is_there(); });
//     to change:  make it so (one atomic store or exchange), then parking.wake_one(lanes)
//     to sweep:   parking.forget(dead_lane); sweep_lane() ends with wake_everyone()
//
// Why no wake-up is lost. A waiter enters the set, then looks; a waker changes, then looks into the
// set; a full fence between the two in both, so one of them sees the other. The waker takes the
// lane out of the set (that wake-up is now owed to it), adds one to the lane's word and wakes it.
// A waiter that leaves for another reason (it found what it wanted before, its time is up) and
// finds that it had been taken out passes the wake-up on. What the dead took along or had not yet
// said is made up for by the sweep, which wakes everyone: so there is no time limit in here.
//
// A wake-up is a hint. Who wakes looks again, and may find nothing. Threads of one process share
// its lane: a wake-up for the lane wakes them all, and each looks.

#include "shm/futex.hpp"
#include "shm/lane.hpp"
#include "shm/lane_set.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace topsman::shm {

enum class Parked : std::uint8_t { Ready, TimedOut };

/// As it lies in the segment; zero bytes are a valid empty one.
class Parking {
  public:
    /// Returns Ready once `still_needed()` is false, TimedOut if it was still true after
    /// `deadline`. Spins a little at first, for as long as that paid off lately. `still_needed`
    /// only looks or tries (`return !try_take();`), does not wait, and does not throw. For the
    /// holder of `lane`; any of its threads. A deadline in the past sleeps not at all.
    template <class StillNeeded>
    Parked park(std::span<Lane> lanes, std::uint32_t lane, Deadline deadline,
                StillNeeded&& still_needed) noexcept {
        return park(lanes, lane, deadline, still_needed, [] {});
    }

    /// The same for those whose wakers use light fences: `fence()` is called whenever the lane has
    /// entered the set, and before the look that follows.
    template <class StillNeeded, class Fence>
    Parked park(std::span<Lane> lanes, std::uint32_t lane, Deadline deadline,
                StillNeeded&& still_needed, Fence&& fence) noexcept;

    /// Wakes at most `count` waiting lanes, in turns; returns how many. Call it after the change
    /// that they wait for. Nobody waits: no system call and no store. Never waits itself.
    std::uint32_t wake(std::span<Lane> lanes, std::uint32_t count) noexcept;

    bool wake_one(std::span<Lane> lanes) noexcept { return wake(lanes, 1) != 0; }

    /// Wakes this lane, if it waits here: for a change that is there for it alone.
    bool wake_lane(std::span<Lane> lanes, std::uint32_t lane) noexcept;

    std::uint32_t wake_all(std::span<Lane> lanes) noexcept { return wake(lanes, UINT32_MAX); }

    /// Nobody waits. Who has made its change by a seq_cst exchange may ask this before wake(), and
    /// saves the fence when it is so.
    [[nodiscard]] bool is_empty(std::span<Lane> lanes) const noexcept {
        const std::size_t words = std::min<std::size_t>((lanes.size() + 63) / 64, LaneSet::kWords);
        std::uint64_t any = 0;
        for (std::size_t i = 0; i < words; ++i) {
            any |= waiting_.words[i].load(std::memory_order_seq_cst);
        }
        return any == 0;
    }

    /// Does the lane wait here, as far as anybody knows?
    [[nodiscard]] bool has(std::uint32_t lane) const noexcept { return waiting_.contains(lane); }

    /// The sweep's: the lane's holder is dead and waits no more. Idempotent.
    void forget(std::uint32_t dead) noexcept {
        if (waiting_.contains(dead)) {
            waiting_.erase(dead);
        }
    }

  private:
    class Stay;

    LaneSet waiting_;
};

/// The end of every sweep, and of every adoption: whoever sleeps looks again.
void wake_everyone(std::span<Lane> lanes) noexcept;

/// How often a thread looks before it goes to sleep. Sleeping and being woken costs some hundred
/// looks, so a thread for which waiting by looking pays off does more of it, others less; one for
/// which it has not for long looks once, and tries again now and then. With one CPU nobody else can
/// make progress meanwhile: one look.
class Spinning {
  public:
    template <class StillNeeded>
    static bool is_over(StillNeeded& still_needed) noexcept {
        const std::uint32_t rounds = budget();
        for (std::uint32_t i = 0; i < rounds; ++i) {
            if (!still_needed()) {
                learn(true);
                return true;
            }
            relax();
        }
        learn(false);
        return false;
    }

  private:
    static std::uint32_t budget() noexcept;
    static void learn(bool paid_off) noexcept;
    static void relax() noexcept;
};

/// One thread's time in a Parking, from before it enters to after it left.
class Parking::Stay {
  public:
    Stay(Parking& parking, std::span<Lane> lanes, std::uint32_t lane) noexcept;
    Stay(const Stay&) = delete;
    Stay& operator=(const Stay&) = delete;
    ~Stay();

    void enter() noexcept;
    /// Until the lane is woken; false: `deadline` has passed.
    bool wait(Deadline deadline) noexcept;
    /// Was the lane taken out of the set? Then the wake-up is ours, and so is what comes of it.
    bool was_called() noexcept;

  private:
    Parking& parking_;
    std::span<Lane> lanes_;
    std::uint32_t lane_;
    std::uint32_t seen_ = 0;
    bool is_inside_ = false;
};

template <class StillNeeded, class Fence>
Parked Parking::park(std::span<Lane> lanes, std::uint32_t lane, Deadline deadline,
                     StillNeeded&& still_needed, Fence&& fence) noexcept {
    if (Spinning::is_over(still_needed)) {
        return Parked::Ready;
    }
    Stay stay(*this, lanes, lane);
    for (;;) {
        stay.enter();
        fence();
        if (!still_needed()) {
            return Parked::Ready;
        }
        const bool is_in_time = stay.wait(deadline);
        // Looked at in this order: a wake-up that came before the look is used by it, one that
        // comes between the look and the leaving is passed on.
        if (stay.was_called() && !still_needed()) {
            return Parked::Ready;
        }
        if (!is_in_time) {
            return still_needed() ? Parked::TimedOut : Parked::Ready;
        }
    }
}

}  // namespace topsman::shm
