#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace topsman {

/// "16KiB", "1000B": in the largest unit that is exact, as a configuration says it.
[[nodiscard]] inline std::string size_text(std::uint64_t bytes) {
    constexpr std::array<const char*, 4> kUnits{"B", "KiB", "MiB", "GiB"};
    std::size_t unit = 0;
    while (bytes != 0 && bytes % 1'024 == 0 && unit + 1 < kUnits.size()) {
        bytes /= 1'024;
        ++unit;
    }
    return std::to_string(bytes) + kUnits[unit];
}

}  // namespace topsman
