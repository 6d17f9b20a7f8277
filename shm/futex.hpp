#pragma once

// Sleeping on a word of shared memory, futex(2). Never the private variant, which
// std::atomic::wait uses and which is not woken from another process.

#include <atomic>
#include <chrono>
#include <cstdint>

namespace topsman::shm {

/// A point of CLOCK_MONOTONIC; kNoDeadline: for ever.
using Deadline = std::chrono::steady_clock::time_point;
inline constexpr Deadline kNoDeadline = Deadline::max();

/// Sleeps until somebody wakes the word, or until `deadline`; does not sleep when the word is not
/// `seen` any more. May return for no reason. False: the deadline has passed.
bool futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t seen,
                Deadline deadline) noexcept;

/// Wakes all that sleep on the word. A system call: ask first whether anybody does.
void futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept;

}  // namespace topsman::shm
