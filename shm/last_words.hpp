#pragma once

#include "shm/limits.hpp"

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace topsman::shm {

/// What a worker wants to be remembered by, written by it while it dies, read by the master after
/// it was reaped. Everything here is async-signal-safe and single-writer.
struct alignas(kCacheLine) LastWords {
    std::atomic<std::uint32_t> length;  ///< written last
    std::atomic<std::uint32_t> reserved;
    char text[kLastWordsBytes];

    void say(std::string_view words) noexcept;  ///< replaces what was said before
    void clear() noexcept;                      ///< master, when it grants the lane
    /// Printable, one line, bounded; safe on hostile bytes.
    [[nodiscard]] std::string read() const;
};

}  // namespace topsman::shm
