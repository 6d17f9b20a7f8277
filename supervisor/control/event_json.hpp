#pragma once

// One line of `topsman events`: {"seq":7,"time":"...","event":"worker.exited","pool":"web",...}.
// Pure. A line is at most shm::kEventBytes long and valid JSON whatever it is made of: texts are
// shortened, the last ones first.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace topsman::control {

struct EventFields {
    std::string_view event;  ///< "worker.exited"
    std::optional<std::string_view> pool;
    std::optional<std::uint32_t> slot;
    std::optional<std::uint64_t> worker;
    std::optional<std::uint32_t> pid;
    /// More numbers: {"generation", 3}. Keys and numbers are ours and few.
    std::vector<std::pair<std::string_view, std::int64_t>> numbers;
    /// Texts in the order of their weight: {"reason", "..."}, {"next", "..."}. Empty ones are left
    /// out; what does not fit is cut and ends in an ellipsis.
    std::vector<std::pair<std::string_view, std::string_view>> texts;
};

/// `time` as from rfc3339().
[[nodiscard]] std::string event_json(std::uint64_t seq, std::string_view time,
                                     const EventFields& fields);

/// "2026-11-21T09:20:51.123Z"
[[nodiscard]] std::string rfc3339(std::chrono::system_clock::time_point time);

}  // namespace topsman::control
