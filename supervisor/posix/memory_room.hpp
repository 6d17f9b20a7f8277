#pragma once

// How much memory there is for more: what /proc/meminfo and the limits of our own control group
// say. Text in, numbers out; what does not look like the kernel's text says nothing.

#include <cstdint>
#include <optional>
#include <string_view>

namespace topsman::posix {

/// MemAvailable of /proc/meminfo (proc(5)), in bytes.
[[nodiscard]] std::optional<std::uint64_t> parse_available(std::string_view meminfo);

/// Of a group that may have `max` ("max": any number) and has `current`.
[[nodiscard]] std::optional<std::uint64_t> parse_group_room(std::string_view max,
                                                            std::string_view current);

/// Where our group's files are: "0::/system.slice/x.service" in /proc/self/cgroup (cgroups(7)).
/// Empty where there is no unified hierarchy.
[[nodiscard]] std::string_view parse_group(std::string_view cgroup);

/// The smaller of the two, for this process now. None: nobody says.
[[nodiscard]] std::optional<std::uint64_t> available_memory();

}  // namespace topsman::posix
