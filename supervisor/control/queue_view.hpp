#pragma once

// What can be known of the job queues, read from the segment alone. Every number there may be
// anybody's: each is checked before it is used, and text is made printable.

#include "shm/segment.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace topsman::control {

struct QueueLine {
    std::string name;
    std::uint32_t capacity = 0;
    std::uint32_t item_size = 0;
    std::uint32_t max_attempts = 0;
    std::uint32_t priorities = 0;
    std::uint32_t ready = 0;
    std::uint32_t later = 0;  ///< ready, but not before their time
    std::uint32_t running = 0;
    std::uint32_t dead = 0;   ///< dead letters
    std::uint32_t done = 0;   ///< executed; whoever asked for their results has not read them
    std::uint32_t again = 0;  ///< of ready, later and running: not their first attempt
    std::uint32_t most_attempts = 0;  ///< of these
    double oldest_s = 0;              ///< of those that are ready, since they were submitted
    std::uint64_t illegal = 0;        ///< words that no worker of ours has written
};

struct DeadLetterLine {
    std::uint64_t id = 0;
    double age_s = 0;  ///< since it was submitted
    std::uint32_t attempts = 0;
    bool is_late = false;  ///< its deadline had passed; else it was tried often enough
    std::uint32_t size = 0;
    std::string text;  ///< its beginning
};

/// In the order of the configuration. `now_ns` is CLOCK_MONOTONIC.
[[nodiscard]] std::vector<QueueLine> read_queues(const shm::Segment& segment, std::int64_t now_ns);

/// At most `most` of a queue's dead letters, by their place; none when there is no such queue.
[[nodiscard]] std::optional<std::vector<DeadLetterLine>> read_dead_letters(
    const shm::Segment& segment, const std::string& queue, std::int64_t now_ns, std::size_t most);

}  // namespace topsman::control
