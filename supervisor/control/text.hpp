#pragma once

// Text for terminals: what comes from the segment or from a worker may hold anything, and must not
// reach a terminal as control characters or as broken UTF-8.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace topsman::control {

/// Bytes of the UTF-8 character that `text` begins with; 0 if it does not begin with one.
[[nodiscard]] std::size_t utf8_length(std::string_view text) noexcept;

/// Control characters become spaces, bytes that are not UTF-8 '?'.
[[nodiscard]] std::string printable(std::string_view text);

/// printable() of a NUL-terminated array that may lack its NUL.
template <std::size_t N>
[[nodiscard]] std::string printable(const char (&text)[N]) {
    const std::string_view all(text, N);
    return printable(all.substr(0, all.find('\0')));
}

/// Columns it takes, each character counted as one.
[[nodiscard]] std::size_t width(std::string_view text) noexcept;
/// At most `columns` wide, with an ellipsis where it was cut.
[[nodiscard]] std::string cut(std::string_view text, std::size_t columns);

[[nodiscard]] std::string format_duration(double seconds);   ///< 0.3s 42s 3m12s 3h12m 12d3h
[[nodiscard]] std::string format_size(std::uint64_t bytes);  ///< 0 512B 12.3M 1.2G
[[nodiscard]] std::string exact_size(std::uint64_t bytes);   ///< 16KiB 1MiB 1000B
[[nodiscard]] std::string format_rate(double per_second);    ///< 0 0.3 17 1204

/// "250ms", "30s", "5m", "2h"; a bare number is seconds.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace topsman::control
