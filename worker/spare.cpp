// A spare waits for its seat: in its own lane, so nothing that others wait for is in its hands.
// What the word says is in shm/lane.hpp; the master's store there is the release.

#include "shm/parking.hpp"
#include "worker/process.hpp"

namespace topsman::detail {

void wait_for_seat(Process& process) noexcept {
    if (is_detached() || !process.segment || process.slot != kNoSlot) {
        return;
    }
    shm::Lane& lane = *process.lane;
    const auto is_held = [&] {
        return lane.seat.load(std::memory_order_seq_cst) == shm::kSeatHeld &&
               !process.draining.load(std::memory_order_acquire);
    };
    // The flag before the words: who hears them looks at the flag.
    lane.flags.fetch_or(shm::kLaneReady | shm::kLaneParked, std::memory_order_release);
    (void)process.notifier.send("READY=1");
    // Nobody but the master wakes this lane for it, by its number: the set is for ourselves alone.
    shm::Parking own;
    (void)own.park(process.lanes, process.owner.lane, shm::kNoDeadline, is_held);
    lane.flags.fetch_and(~std::uint32_t{shm::kLaneParked}, std::memory_order_relaxed);
    // One that leaves without a seat has no slot: see shm::release_spare().
    const std::uint32_t seat = lane.seat.load(std::memory_order_seq_cst);
    if (seat > shm::kSeatHeld && shm::slot_of_seat(seat) < shm::kMaxSlots) {
        process.slot.store(shm::slot_of_seat(seat), std::memory_order_release);
    }
}

}  // namespace topsman::detail
