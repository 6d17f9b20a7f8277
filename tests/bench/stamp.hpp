#pragma once

#include <cstdint>
#include <time.h>

namespace topsman::bench {

/// The clock that the scoreboard and Python's time.monotonic_ns() use too.
[[nodiscard]] inline std::int64_t now_ns() noexcept {
    timespec now{};
    (void)::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// A process's first act: when it was, and whose.
struct Stamp {
    std::int64_t at_ns;
    std::int64_t pid;
};

}  // namespace topsman::bench
