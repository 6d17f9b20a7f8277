#pragma once

// In which order jobs are taken: a ring of job numbers, none of which is the truth.
//
// A slot is one word {turn:40, number + 1:24}; position p is slot p mod R in turn p div R, so value
// and turn change together (Tsigas and Zhang's queue; iceoryx's IndexQueue has the same shape). It
// goes EMPTY(turn) > FULL(turn, number) > EMPTY(turn + 1), each by one exchange that anybody may
// do. Head and tail are plain stores that only lag: whoever comes next walks on from where they
// point to. So nobody waits for one that died or was stopped between two steps.
//
// An entry may be stale (its job was taken, or is ringed twice): it is removed by who meets it.

#include "shm/limits.hpp"

#include <atomic>
#include <cstdint>

namespace topsman::shm {

/// As they lie in the segment.
struct RingEnds {
    alignas(kCacheLine) std::atomic<std::uint64_t> head;  ///< at most the first one that is FULL
    alignas(kCacheLine) std::atomic<std::uint64_t> tail;  ///< at most the first one never filled
};

/// A view like std::span: what it shows lies in the segment, its size does not.
class JobRing {
  public:
    /// Slots for `capacity` jobs: twice as many, as stale entries take room too. Whole lines.
    [[nodiscard]] static constexpr std::uint64_t slots_for(std::uint32_t capacity) noexcept {
        std::uint64_t slots = kCacheLine / sizeof(std::uint64_t);
        while (slots < 2 * std::uint64_t{capacity}) {
            slots *= 2;
        }
        return slots;
    }

    JobRing(RingEnds& ends, std::atomic<std::uint64_t>* slots, std::uint64_t size) noexcept;

    /// The i-th of the rings that follow this one, of the same size: ends beside ends, slots beside
    /// slots.
    [[nodiscard]] JobRing next(std::uint32_t i) const noexcept {
        JobRing ring = *this;
        ring.ends_ += i;
        ring.slots_ += i * size();
        return ring;
    }

    /// A FULL slot as it was read.
    struct Entry {
        std::uint64_t place;
        std::uint64_t slot;

        [[nodiscard]] std::uint32_t number() const noexcept {
            return static_cast<std::uint32_t>(slot & kNumberMask) - 1;
        }
    };

    /// Appends. The place is stored in `place` before the entry is there, so that whoever sees the
    /// entry sees it too. False: there is no room at the end.
    bool push(std::uint32_t number, std::atomic<std::uint64_t>& place) const noexcept;

    /// The first entry, from `from` on; sets `from` to its place. False: the ring is empty, or
    /// `steps` are used up: nothing that a hostile process has written makes this a long walk.
    bool first(std::uint64_t& from, Entry& entry, std::uint64_t& steps) const noexcept;

    [[nodiscard]] std::uint64_t size() const noexcept { return mask_ + 1; }

    /// False: somebody else has removed it.
    bool remove(const Entry& entry) const noexcept;

    /// Where to look for the first entry; it may lag.
    [[nodiscard]] std::uint64_t head() const noexcept {
        return ends_->head.load(std::memory_order_relaxed);
    }

    void set_head(std::uint64_t place) const noexcept {
        ends_->head.store(place, std::memory_order_relaxed);
    }

    /// Is this job's number in the ring at that place?
    [[nodiscard]] bool holds(std::uint64_t place, std::uint32_t number) const noexcept;

  private:
    static constexpr unsigned kNumberBits = 24;
    static constexpr std::uint64_t kNumberMask = (std::uint64_t{1} << kNumberBits) - 1;
    static constexpr std::uint64_t kTurnMask = ~std::uint64_t{0} >> kNumberBits;

    [[nodiscard]] std::uint64_t turn_of(std::uint64_t place) const noexcept {
        return (place >> shift_) & kTurnMask;
    }

    static constexpr std::uint64_t empty(std::uint64_t turn) noexcept {
        return turn << kNumberBits;
    }

    static constexpr std::uint64_t full(std::uint64_t turn, std::uint32_t number) noexcept {
        return (turn << kNumberBits) | (number + 1);
    }

    RingEnds* ends_;
    std::atomic<std::uint64_t>* slots_;
    std::uint64_t mask_;
    unsigned shift_;
};

}  // namespace topsman::shm
