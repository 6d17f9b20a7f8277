#pragma once

// Small things that are found by name and may be waited for: a number, a flag, a limit. They have
// one shape, a Parking and some words, so that one table holds them all; what the words mean, each
// kind says for itself. Zero bytes are a valid empty one of each kind.

#include "shm/limits.hpp"
#include "shm/parking.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace topsman::shm {

/// As it lies in the segment, by the row of its name.
struct SharedObject {
    static constexpr std::size_t kWords = 16;
    Parking parking;
    std::atomic<std::uint64_t> word[kWords];

    /// By whoever registers the name, before others can find it.
    void clear() noexcept {
        for (std::atomic<std::uint64_t>& each : word) {
            each.store(0, std::memory_order_relaxed);
        }
    }
};

static_assert(sizeof(SharedObject) == 2 * kCacheLine);

/// A row of words: an array's numbers of 4 or 8 bytes, or a semaphore's permits. Who waits for an
/// element does so by its number modulo kParkings: beyond that some wake-ups are for others, who
/// look again.
struct alignas(kCacheLine) SharedArrayStorage {
    static constexpr std::uint32_t kParkings = 8;
    Parking parking[kParkings];
    std::uint32_t element_bytes;  ///< array: 4 or 8; written before others can find it
    alignas(kCacheLine) std::atomic<std::uint64_t> word[kMaxArrayBytes / 8];

    /// By whoever registers the name, before others can find it.
    void init(std::uint32_t bytes_of_element) noexcept {
        element_bytes = bytes_of_element;
        for (std::atomic<std::uint64_t>& each : word) {
            each.store(0, std::memory_order_relaxed);
        }
    }

    void forget(std::uint32_t dead) noexcept {
        for (Parking& each : parking) {
            each.forget(dead);
        }
    }
};

}  // namespace topsman::shm
