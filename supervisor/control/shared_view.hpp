#pragma once

// What workers share beyond counters and mutexes, as a looker sees it: each thing's kind, name and
// state in words, and its numbers by name for JSON.

#include "shm/segment.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace topsman::control {

struct SharedLine {
    std::string kind;  ///< atomic | array | semaphore | bounded counter | rate limit | event |
                       ///< barrier | histogram | channel | blocks
    std::string name;
    std::string state;                                            ///< "5", "3 of 20 taken"
    std::uint32_t waiting = 0;                                    ///< workers that sleep on it
    std::vector<std::pair<std::string, std::int64_t>> numbers{};  ///< for JSON
};

/// In the order of registration, kind by kind. Safe on hostile bytes.
[[nodiscard]] std::vector<SharedLine> read_shared(const shm::Segment& segment);

}  // namespace topsman::control
