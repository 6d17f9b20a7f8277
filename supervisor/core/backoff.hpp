#pragma once

// How long to wait before the next try. A value and a rule; who counts the failures is the slot's
// and the pool's business.

#include "supervisor/core/types.hpp"

#include <cstdint>

namespace topsman::core {

/// A worker that served for so long is replaced at once, however it ended.
inline constexpr Duration kProvenAfter = std::chrono::seconds(1);

/// The wait after the n-th failure in a row: none after the first, then
/// initial x factor^(n-2), jittered by `unit` (in [-1, 1)), at most max.
[[nodiscard]] Duration backoff_delay(const config::Backoff& backoff, std::uint32_t failures,
                                     double unit);

/// A duration of the file as one of the clock, cut off where the clock's would overflow.
[[nodiscard]] Duration clock_duration(config::Duration duration);

}  // namespace topsman::core
