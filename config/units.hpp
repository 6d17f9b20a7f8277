#pragma once

// One written value to one number. Each function accepts one way of writing and says, in its error,
// what to write instead of what it got.

#include "config/model.hpp"
#include "shm/base/result.hpp"

#include <string_view>

namespace topsman::config {

/// `250ms 30s 5m 1h 2d`: whole numbers with a unit, at most 366 days.
[[nodiscard]] Result<Duration> parse_duration(std::string_view text);

/// `64KiB 512MiB 1GiB 100B`, and `0`; in bytes, below 2^62.
[[nodiscard]] Result<std::int64_t> parse_size(std::string_view text);

struct CpuRange {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
};

/// `3` or `0-3`, both ends included.
[[nodiscard]] Result<CpuRange> parse_cpu_range(std::string_view text);

/// `1000/s 60/m 5/h`: so many a second, minute or hour, at most 1,000,000 a second. Gives the
/// nanoseconds between two.
[[nodiscard]] Result<std::uint64_t> parse_rate(std::string_view text);

/// A whole number without sign.
[[nodiscard]] Result<std::uint32_t> parse_count(std::string_view text);

/// Any word, but not none: of a user, a group.
[[nodiscard]] Result<std::string> parse_word(std::string_view text);

/// `2`, `0.2`: a decimal number without exponent or sign.
[[nodiscard]] Result<double> parse_real(std::string_view text);

/// `SIGTERM`, `TERM` or `15`; `RTMIN+3` too.
[[nodiscard]] Result<int> parse_signal(std::string_view text);

/// `0660`: octal, with its leading zero, at most 0777.
[[nodiscard]] Result<std::uint32_t> parse_mode(std::string_view text);

/// `true` or `false`.
[[nodiscard]] Result<bool> parse_bool(std::string_view text);

/// "SIGTERM" for 15.
[[nodiscard]] std::string signal_name(int signal);

/// "250ms", "30s", "5m": in the largest unit that is exact.
[[nodiscard]] std::string duration_text(Duration duration);

}  // namespace topsman::config
