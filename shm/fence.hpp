#pragma once

// A full fence between processes of which one side pays for both, membarrier(2).
//
// Who sends a message stores it and then looks whether somebody sleeps; who is about to sleep says
// so and then looks whether there is a message. Each needs a fence between its two steps, or both
// look too early. A fence costs a sender more than all the rest of a message; sleeping costs a
// thousand times as much anyway. So the sender makes do with a light one, and who goes to sleep has
// the kernel put a full one into whatever the others are executing.

#include "shm/futex.hpp"

#include <atomic>
#include <cstdint>

namespace topsman::shm {

/// A change before it is seen by whoever's later change is not seen after it.
inline void full_fence() noexcept {
#ifdef __SANITIZE_THREAD__
    // ThreadSanitizer does not know fences; all that is ordered here are atomics anyway.
    thread_local std::atomic<std::uint32_t> word{0};
    (void)word.fetch_add(1, std::memory_order_seq_cst);
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/// Before a process relies on light fences: from here on heavy ones reach it. A forked child need
/// not say so again, an executed program does. Once is enough; any thread.
void join_fences() noexcept;

namespace detail {
/// Heavy fences of others reach this process.
inline std::atomic<bool> fences_are_joined = false;
}  // namespace detail

/// For the many: between a store and a load. A full fence where the kernel cannot help.
inline void light_fence() noexcept {
    if (detail::fences_are_joined.load(std::memory_order_relaxed)) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
        full_fence();
    }
}

/// For the few.
void heavy_fence() noexcept;

/// False: the kernel does not do it here (a seccomp filter, a small kernel), so what another
/// process has just stored may not be seen yet after a heavy_fence(): look again soon.
[[nodiscard]] bool has_heavy_fence() noexcept;

/// Until when to sleep at once after a heavy_fence(): `deadline`, or for a few milliseconds where
/// there is none.
[[nodiscard]] Deadline until_next_look(Deadline deadline) noexcept;

}  // namespace topsman::shm
