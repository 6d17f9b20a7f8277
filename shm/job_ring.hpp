#pragma once

// In which order jobs are taken: a ring of job numbers, none of which is the truth.
//
// A slot is one word {turn:40, number + 1:24}; position p is slot p mod R in turn p div R, so value
// and turn change together (Tsigas and Zhang's queue; iceoryx's IndexQueue has the same shape). It
// is filled once a turn, by one exchange, and never emptied: the entry of a job that is not READY
// any more is stale, and passed over. So who takes jobs writes nothing into the slots, which move
// between processors in one direction only.
//
// The head only grows: what lies before it was taken or passed, and may be filled again a turn
// later. Who takes in a row moves it now and then; meanwhile the entries between it and where that
// process goes on are of jobs that it has taken itself. The tail only lags: whoever comes next
// walks on from where it points to. Nobody waits for one that died or was stopped between two
// steps.
//
// To pass an entry is two steps: the head is moved, and then the job looked at once more, for it
// may be READY again meanwhile, by a sweep that saw its entry still to come. That is two steps too:
// the job is changed, and then the head looked at. So one of the two sees the other, and puts the
// job in anew.

#include "shm/limits.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>

namespace topsman::shm {

/// As they lie in the segment.
struct RingEnds {
    alignas(kCacheLine) std::atomic<std::uint64_t> head;  ///< at most the first one to be taken
    alignas(kCacheLine) std::atomic<std::uint64_t> tail;  ///< at most the first one never filled
};

/// A view like std::span: what it shows lies in the segment, its size does not.
class JobRing {
  public:
    /// The place of a job that is in no ring.
    static constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

    /// Slots for `capacity` jobs: twice as many, as stale entries take room too. Whole lines.
    [[nodiscard]] static constexpr std::uint64_t slots_for(std::uint32_t capacity) noexcept {
        std::uint64_t slots = kCacheLine / sizeof(std::uint64_t);
        while (slots < 2 * std::uint64_t{capacity}) {
            slots *= 2;
        }
        return slots;
    }

    JobRing() noexcept = default;  ///< of nothing yet

    JobRing(RingEnds& ends, std::atomic<std::uint64_t>* slots, std::uint64_t size) noexcept
        : ends_(&ends),
          slots_(slots),
          mask_(size - 1),
          shift_(static_cast<unsigned>(std::countr_zero(size))) {}

    /// Appends. The place is stored in `place` before the entry is there, so that whoever sees the
    /// entry sees it too. `passed` is this process's own: a head that it has seen, so that it need
    /// not look at the real one, which takers write. False: there is no room at the end.
    [[gnu::always_inline]] bool push(std::uint32_t number, std::atomic<std::uint64_t>& place,
                                     std::atomic<std::uint64_t>& passed) const noexcept {
        // In the ordinary case the tail does not lag, and the slot was passed long ago.
        const std::uint64_t at = ends_->tail.load(std::memory_order_relaxed);
        std::uint64_t seen = slots_[at & mask_].load(std::memory_order_acquire);
        return (!is_filled(seen, at) && at - size() < passed.load(std::memory_order_relaxed) &&
                fill(at, seen, number, place)) ||
               push_further(number, place, passed);
    }

    /// The same, from a tail that lags or where the head has to be looked at.
    [[gnu::noinline]] bool push_further(std::uint32_t number, std::atomic<std::uint64_t>& place,
                                        std::atomic<std::uint64_t>& passed) const noexcept {
        std::uint64_t at = ends_->tail.load(std::memory_order_relaxed);
        // Each round either ends, or finds that somebody else has filled a slot. The bound is for a
        // tail that a hostile process has set back.
        for (std::uint64_t i = 0; i <= 2 * size(); ++i) {
            std::uint64_t seen = slots_[at & mask_].load(std::memory_order_acquire);
            if (!is_filled(seen, at)) {
                if (!was_passed(at - size(), passed)) {
                    return false;
                }
                if (fill(at, seen, number, place)) {
                    return true;
                }
            }
            // A tail that lags, perhaps by many turns: all before this entry were filled.
            at = std::max(at, place_of(seen, at)) + 1;
        }
        return false;
    }

    /// The first filled slot from `from` on; sets `from` to its place. False: there is none, or
    /// `steps` are used up: nothing that a hostile process has written makes this a long walk.
    bool first(std::uint64_t& from, std::uint32_t& number, std::uint64_t& steps) const noexcept {
        for (; steps != 0; --steps) {
            const std::uint64_t seen = slots_[from & mask_].load(std::memory_order_seq_cst);
            if (!is_filled(seen, from)) {
                return false;
            }
            if (seen >> kNumberBits == turn_of(from)) {
                number = static_cast<std::uint32_t>(seen & kNumberMask) - 1;
                return true;
            }
            // It was filled again, so the head has been here: a turn before that place.
            from = std::max(from + 1, place_of(seen, from) - size() + 1);
        }
        return false;
    }

    /// Whose entry is at `place`, if it was filled in this turn and not again since. Else none.
    [[nodiscard]] std::uint32_t at(std::uint64_t place) const noexcept {
        const std::uint64_t seen = slots_[place & mask_].load(std::memory_order_seq_cst);
        return seen >> kNumberBits == turn_of(place)
                   ? static_cast<std::uint32_t>(seen & kNumberMask) - 1
                   : kNone;
    }

    /// Of no job.
    static constexpr std::uint32_t kNone = ~std::uint32_t{0};

    [[nodiscard]] std::uint64_t size() const noexcept { return mask_ + 1; }

    [[nodiscard]] std::uint64_t head() const noexcept {
        return ends_->head.load(std::memory_order_relaxed);
    }

    /// Moves the head, and is a full fence. Who has passed an entry looks at its job after this.
    void pass(std::uint64_t place) const noexcept {
        std::uint64_t head = ends_->head.load(std::memory_order_relaxed);
        while (!ends_->head.compare_exchange_weak(head, std::max(head, place),
                                                  std::memory_order_seq_cst)) {
        }
    }

    /// How many jobs one may take in a row before it moves the head: few in comparison.
    [[nodiscard]] std::uint64_t row() const noexcept {
        return std::clamp<std::uint64_t>(size() / 64, 1, 16);
    }

    /// Is this job's number in the ring at that place, for takers to come? After a seq_cst exchange
    /// of the job's word.
    [[nodiscard]] bool holds(std::uint64_t place, std::uint32_t number) const noexcept {
        return place != kNowhere &&
               slots_[place & mask_].load(std::memory_order_seq_cst) ==
                   full(turn_of(place), number) &&
               ends_->head.load(std::memory_order_seq_cst) <= place;
    }

  private:
    static constexpr unsigned kNumberBits = 24;
    static constexpr std::uint64_t kNumberMask = (std::uint64_t{1} << kNumberBits) - 1;
    static constexpr std::uint64_t kTurnMask = ~std::uint64_t{0} >> kNumberBits;

    [[nodiscard]] std::uint64_t turn_of(std::uint64_t place) const noexcept {
        return (place >> shift_) & kTurnMask;
    }

    static constexpr std::uint64_t full(std::uint64_t turn, std::uint32_t number) noexcept {
        return (turn << kNumberBits) | (number + 1);
    }

    /// Fills a slot that says `seen`. False: somebody else has.
    [[gnu::always_inline]] bool fill(std::uint64_t at, std::uint64_t& seen, std::uint32_t number,
                                     std::atomic<std::uint64_t>& place) const noexcept {
        place.store(at, std::memory_order_relaxed);
        // seq_cst: who has parked itself before sees the entry, or is seen by who looks for the
        // parked after this.
        if (!slots_[at & mask_].compare_exchange_strong(seen, full(turn_of(at), number),
                                                        std::memory_order_seq_cst)) {
            return false;
        }
        // One who was stopped for long would set it back; it happens now and then.
        if (ends_->tail.load(std::memory_order_relaxed) <= at) {
            ends_->tail.store(at + 1, std::memory_order_relaxed);
        }
        return true;
    }

    /// In the turn of `at`, or in a later one.
    [[nodiscard]] bool is_filled(std::uint64_t seen, std::uint64_t at) const noexcept {
        return seen >> kNumberBits >= turn_of(at) && (seen & kNumberMask) != 0;
    }

    /// Where the slot of `at` was filled that says `seen`.
    [[nodiscard]] std::uint64_t place_of(std::uint64_t seen, std::uint64_t at) const noexcept {
        return (seen >> kNumberBits << shift_) | (at & mask_);
    }

    /// What was filled there, a turn before, if there was one?
    [[nodiscard]] bool was_passed(std::uint64_t place,
                                  std::atomic<std::uint64_t>& passed) const noexcept {
        // Places before the first turn wrap to the end of the numbers.
        if (place > kNowhere - size() || place < passed.load(std::memory_order_relaxed)) {
            return true;
        }
        // acquire: who passed it had done with the slot.
        const std::uint64_t head = ends_->head.load(std::memory_order_acquire);
        passed.store(head, std::memory_order_relaxed);
        return place < head;
    }

    RingEnds* ends_ = nullptr;
    std::atomic<std::uint64_t>* slots_ = nullptr;
    std::uint64_t mask_ = 0;
    unsigned shift_ = 0;
};

}  // namespace topsman::shm
