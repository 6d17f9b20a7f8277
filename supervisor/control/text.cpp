#include "supervisor/control/text.hpp"

#include "shm/base/size_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace topsman::control {
namespace {

bool is_continuation(char c) noexcept {
    return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U;
}

std::string with_unit(const char* format, double value, const char* unit) {
    std::array<char, 64> buffer{};
    (void)std::snprintf(buffer.data(), buffer.size(), format, value, unit);
    return buffer.data();
}

}  // namespace

std::size_t utf8_length(std::string_view text) noexcept {
    if (text.empty()) {
        return 0;
    }
    const auto first = static_cast<unsigned char>(text[0]);
    std::size_t length = 0;
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first < 0xe0) {
        length = 2;
    } else if ((first & 0xf0U) == 0xe0U) {
        length = 3;
    } else if (first >= 0xf0 && first < 0xf5) {
        length = 4;
    }
    if (length == 0 || text.size() < length) {
        return 0;
    }
    for (std::size_t i = 1; i < length; ++i) {
        if (!is_continuation(text[i])) {
            return 0;
        }
    }
    const auto second = static_cast<unsigned char>(text[1]);
    const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool no_character =
        (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
    return overlong || no_character ? 0 : length;
}

std::string printable(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        const auto first = static_cast<unsigned char>(text[0]);
        // U+0080..U+009F are control characters too: some terminals take U+009B as ESC [.
        const bool is_c1 =
            length == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
        if (length == 0) {
            result += '?';
        } else if (first < 0x20 || first == 0x7f || is_c1) {
            result += ' ';
        } else {
            result += text.substr(0, length);
        }
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return result;
}

std::size_t width(std::string_view text) noexcept {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::string cut(std::string_view text, std::size_t columns) {
    if (width(text) <= columns) {
        return std::string(text);
    }
    if (columns == 0) {
        return {};
    }
    std::string result;
    for (std::size_t used = 0; used + 1 < columns; ++used) {
        const std::size_t length = std::max<std::size_t>(utf8_length(text), 1);
        result += text.substr(0, length);
        text.remove_prefix(length);
    }
    return result + "…";
}

std::string format_duration(double seconds) {
    if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) {
        return "?";
    }
    if (seconds < 9.95) {
        return with_unit("%.1f%s", seconds, "s");
    }
    const auto s = static_cast<std::uint64_t>(seconds);
    const auto two = [](std::uint64_t big, const char* big_unit, std::uint64_t small,
                        const char* small_unit) {
        return std::to_string(big) + big_unit + std::to_string(small) + small_unit;
    };
    if (s < 60) {
        return std::to_string(s) + "s";
    }
    if (s < 3'600) {
        return two(s / 60, "m", s % 60, "s");
    }
    if (s < 86'400) {
        return two(s / 3'600, "h", s / 60 % 60, "m");
    }
    return two(s / 86'400, "d", s / 3'600 % 24, "h");
}

std::string format_size(std::uint64_t bytes) {
    if (bytes < 1'024) {
        return bytes == 0 ? "0" : std::to_string(bytes) + "B";
    }
    constexpr std::array<const char*, 6> kUnits{"K", "M", "G", "T", "P", "E"};
    auto value = static_cast<double>(bytes) / 1'024;
    std::size_t unit = 0;
    while (value >= 999.95 && unit + 1 < kUnits.size()) {
        value /= 1'024;
        ++unit;
    }
    return with_unit(value < 99.95 ? "%.1f%s" : "%.0f%s", value, kUnits[unit]);
}

std::string exact_size(std::uint64_t bytes) {
    return size_text(bytes);
}

std::string format_rate(double per_second) {
    if (!std::isfinite(per_second)) {
        return "?";
    }
    if (per_second == 0) {
        return "0";
    }
    return with_unit(std::abs(per_second) < 9.95 ? "%.1f%s" : "%.0f%s", per_second, "");
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
    std::uint64_t factor = 0;
    if (unit == "ms") {
        factor = 1;
    } else if (unit == "s" || unit.empty()) {
        factor = 1'000;
    } else if (unit == "m") {
        factor = 60'000;
    } else if (unit == "h") {
        factor = 3'600'000;
    }
    // A year is for ever here, and keeps sums with time points from overflowing.
    constexpr std::uint64_t kYear = 365ULL * 24 * 3'600 * 1'000;
    if (factor == 0 || number > kYear / factor) {
        return std::nullopt;
    }
    return std::chrono::milliseconds(number * factor);
}

}  // namespace topsman::control
