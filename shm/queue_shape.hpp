#pragma once

#include "shm/limits.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace topsman::shm {

/// What the configuration says of a job queue; fixed when the segment is made.
struct QueueShape {
    std::uint32_t capacity = 1'024;  ///< jobs, dead letters among them
    std::uint32_t item_size = 256;   ///< bytes of the longest item
    std::uint32_t max_attempts = 3;  ///< taken so often without an ack: a dead letter
    std::uint32_t priorities = 1;    ///< how many: 0 and up, the highest is taken first
    bool has_keys = false;           ///< of two jobs with one key only the first is submitted
    std::uint32_t result_size = 0;   ///< bytes of the longest result; 0: jobs have none
    friend bool operator==(const QueueShape&, const QueueShape&) = default;
};

struct NamedQueue {
    std::string name;
    QueueShape shape;
    friend bool operator==(const NamedQueue&, const NamedQueue&) = default;
};

/// Is it within the limits that every index and size in the segment has?
[[nodiscard]] constexpr bool is_sound(const QueueShape& shape) noexcept {
    return shape.capacity >= 1 && shape.capacity <= kMaxQueueCapacity && shape.item_size >= 1 &&
           shape.item_size <= kMaxItemBytes && shape.max_attempts >= 1 &&
           shape.max_attempts <= kMaxAttempts && shape.priorities >= 1 &&
           shape.priorities <= kMaxPriorities && shape.result_size <= kMaxItemBytes;
}

/// Bytes in the segment, a multiple of kCacheLine.
[[nodiscard]] std::size_t queue_bytes(const QueueShape& shape) noexcept;

}  // namespace topsman::shm
