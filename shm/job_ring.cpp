#include "shm/job_ring.hpp"

#include <algorithm>
#include <bit>

namespace topsman::shm {
namespace {

/// Where the turn so many before this one begins.
std::uint64_t earlier(std::uint64_t turn, std::uint64_t turns, unsigned shift) noexcept {
    return (turn < turns ? 0 : turn - turns) << shift;
}

}  // namespace

JobRing::JobRing(RingEnds& ends, std::atomic<std::uint64_t>* slots, std::uint64_t size) noexcept
    : ends_(&ends),
      slots_(slots),
      mask_(size - 1),
      shift_(static_cast<unsigned>(std::countr_zero(size))) {}

bool JobRing::push(std::uint32_t number, std::atomic<std::uint64_t>& place) const noexcept {
    std::uint64_t at = ends_->tail.load(std::memory_order_relaxed);
    // Each pass either ends, or finds that somebody else has filled a slot. The bound is for a tail
    // that a hostile process has set back.
    for (std::uint64_t i = 0; i <= 2 * (mask_ + 1); ++i) {
        std::atomic<std::uint64_t>& slot = slots_[at & mask_];
        const std::uint64_t turn = turn_of(at);
        std::uint64_t seen = slot.load(std::memory_order_acquire);
        if (seen == empty(turn)) {
            place.store(at, std::memory_order_relaxed);
            // seq_cst: who has parked itself before sees the entry, or is seen by who looks for the
            // parked after this.
            if (slot.compare_exchange_strong(seen, full(turn, number), std::memory_order_seq_cst)) {
                // One who was stopped for long would set it back; now and then it happens still.
                if (ends_->tail.load(std::memory_order_relaxed) <= at) {
                    ends_->tail.store(at + 1, std::memory_order_relaxed);
                }
                return true;
            }
        }
        if (seen >> kNumberBits < turn) {
            return false;  // what was there a turn ago has not been taken
        }
        // A tail that lags by many turns: this place was filled in the last turn but one at least.
        const std::uint64_t laps = (seen & kNumberMask) != 0 ? 0 : 1;
        at = std::max(at, earlier(seen >> kNumberBits, laps, shift_) + (at & mask_)) + 1;
    }
    return false;
}

bool JobRing::first(std::uint64_t& from, Entry& entry, std::uint64_t& steps) const noexcept {
    for (; steps != 0; --steps) {
        const std::uint64_t seen = slots_[from & mask_].load(std::memory_order_seq_cst);
        const std::uint64_t turn = turn_of(from);
        if (seen >> kNumberBits == turn && (seen & kNumberMask) != 0) {
            entry = Entry{from, seen};
            return true;
        }
        if (seen >> kNumberBits <= turn) {
            return false;
        }
        // A head that lags by many turns: what was filled here could be only when all that was
        // there a turn before, up to here, had been removed.
        const std::uint64_t laps = (seen & kNumberMask) != 0 ? 1 : 2;
        from = std::max(from + 1, earlier(seen >> kNumberBits, laps, shift_) + (from & mask_));
    }
    return false;
}

bool JobRing::remove(const Entry& entry) const noexcept {
    std::uint64_t seen = entry.slot;
    return slots_[entry.place & mask_].compare_exchange_strong(
        seen, empty((turn_of(entry.place) + 1) & kTurnMask), std::memory_order_seq_cst);
}

bool JobRing::holds(std::uint64_t place, std::uint32_t number) const noexcept {
    return slots_[place & mask_].load(std::memory_order_seq_cst) == full(turn_of(place), number);
}

}  // namespace topsman::shm
