#pragma once

// What a worker is called: its pool and the number of its slot. A spare has none yet.

#include <cstdint>
#include <string>

namespace topsman {

/// The slot of a spare that has none yet, wherever a slot's number is written down.
inline constexpr std::uint32_t kNoSlot = UINT32_MAX;

/// "web/0"; "web/spare".
[[nodiscard]] inline std::string slot_name(const std::string& pool, std::uint32_t slot) {
    return pool + "/" + (slot == kNoSlot ? "spare" : std::to_string(slot));
}

}  // namespace topsman
