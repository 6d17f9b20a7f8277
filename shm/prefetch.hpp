#pragma once

// Lines of cache that are asked for before they are needed. Hints: nothing depends on them.

#include <cstddef>

namespace topsman::shm {

inline constexpr std::size_t kLine = 64;

/// What another processor has written last, and this one is about to: an exchange waits for its
/// line, and so do all that come after it.
inline void prefetch_to_write(const void* first, std::size_t bytes) noexcept {
    const auto* at = static_cast<const std::byte*>(first);
    for (std::size_t line = 0; line < bytes; line += kLine) {
#if defined(__x86_64__)
        asm volatile("prefetchw %0" : : "m"(at[line]));  // the builtin has no intent to write
#else
        __builtin_prefetch(at + line, 1);
#endif
    }
}

/// What another processor writes, and this one reads as soon as it may.
inline void prefetch_to_read(const void* at) noexcept {
    __builtin_prefetch(at);
}

}  // namespace topsman::shm
