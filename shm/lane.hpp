#pragma once

// A lane is the part of the segment that exactly one living process writes.
//
// The master grants a free lane just before it forks (FREE -> STARTING), the child's first act is
// one CAS to STARTED with its pid, and it exits if that fails: so there is no worker without a
// record, whenever the master is killed. After the worker was reaped the master sweeps what it held
// and gives the lane back (STARTED -> DEAD -> FREE). A lane's generation changes with each grant,
// so (lane, generation) names one incarnation for ever; it is the owner written into every word
// that must be given back on death.

#include "shm/limits.hpp"

#include <atomic>
#include <cstdint>

namespace topsman::shm {

enum class LanePhase : std::uint8_t { Free = 0, Starting = 1, Started = 2, Dead = 3 };

/// The one word that says whose a lane is: phase:8 | generation:24 | value:32, in one atomic.
/// value is the master's epoch while STARTING, the process id while STARTED and DEAD.
struct LaneWord {
    LanePhase phase = LanePhase::Free;
    std::uint32_t generation = 0;  ///< 24 bits, wraps
    std::uint32_t value = 0;

    [[nodiscard]] constexpr std::uint64_t pack() const noexcept {
        return (std::uint64_t{static_cast<std::uint8_t>(phase)} << 56U) |
               (std::uint64_t{generation & 0xff'ffffU} << 32U) | value;
    }

    [[nodiscard]] static constexpr LaneWord unpack(std::uint64_t word) noexcept {
        return LaneWord{static_cast<LanePhase>(word >> 56U),
                        static_cast<std::uint32_t>((word >> 32U) & 0xff'ffffU),
                        static_cast<std::uint32_t>(word & 0xffff'ffffU)};
    }

    friend constexpr bool operator==(LaneWord, LaneWord) = default;
};

/// Who holds something: a lane in one of its generations. 0 is nobody (lane 0 holds nothing that
/// is given back, but for a job that a master died over while it submitted it).
struct Owner {
    std::uint32_t lane = 0;
    std::uint32_t generation = 0;

    [[nodiscard]] constexpr std::uint64_t pack() const noexcept {
        return (std::uint64_t{lane} << 32U) | generation;
    }

    [[nodiscard]] static constexpr Owner unpack(std::uint64_t word) noexcept {
        return Owner{static_cast<std::uint32_t>(word >> 32U), static_cast<std::uint32_t>(word)};
    }

    friend constexpr bool operator==(Owner, Owner) = default;
};

enum LaneFlag : std::uint32_t {
    kLaneAttached = 1U << 0U,  ///< the SDK is in the worker
    kLaneDraining = 1U << 1U,
    kLaneReady = 1U << 2U,   ///< it has said so; for a master that was not there to hear it
    kLaneParked = 1U << 3U,  ///< a spare that waits for its seat, see `seat`
};

/// What `Lane::seat` says. A spare is warmed up before anybody knows which slot it will have, so
/// its environment cannot name one; the word does, and releases it by the same store. A worker that
/// was started for a slot has 0 there, and its slot in its environment.
inline constexpr std::uint32_t kNoSpare = 0;
inline constexpr std::uint32_t kSeatHeld = 1;  ///< it is to wait before it takes connections

[[nodiscard]] constexpr std::uint32_t seat_of(std::uint32_t slot) noexcept {
    return slot + 2;
}

/// Of a word that is neither of the two above.
[[nodiscard]] constexpr std::uint32_t slot_of_seat(std::uint32_t seat) noexcept {
    return seat - 2;
}

/// As it lies in the segment. Only the holder writes, but for `word` and the fields marked
/// "master".
struct alignas(kCacheLine) Lane {
    std::atomic<std::uint64_t> word;          ///< LaneWord
    std::atomic<std::uint64_t> worker;        ///< WorkerId; master, while STARTING
    std::atomic<std::uint64_t> start_ticks;   ///< /proc/PID/stat field 22; master
    std::atomic<std::uint32_t> slot;          ///< index into the scoreboard's slots; master
    std::atomic<std::uint32_t> flags;         ///< LaneFlag
    std::atomic<std::uint64_t> heartbeat_ns;  ///< CLOCK_MONOTONIC of the last beat; 0: none yet
    std::atomic<std::uint64_t> requests;      ///< finished, over this incarnation
    std::atomic<std::uint32_t> in_flight;     ///< zeroed by the sweep
    std::atomic<std::uint32_t> seat;          ///< of a spare: see below; master
    std::atomic<std::uint64_t> pidfd_inode;   ///< of pidfs(5), unique; 0: not known; master
    // The holder's threads sleep here and nowhere else, see parking.hpp. On a line of their own:
    // others write them.
    alignas(kCacheLine / 2) std::atomic<std::uint32_t> wake;  ///< futex word; anybody adds to it
    std::atomic<std::uint32_t> parked;  ///< threads that sleep or are about to; zeroed at the grant
};

static_assert(sizeof(Lane) == kCacheLine);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace topsman::shm
