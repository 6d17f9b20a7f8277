#pragma once

#include "shm/limits.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace topsman::shm {

/// When a message counts as received: once it is acknowledged, or once it is handed out.
enum class Delivery : std::uint32_t { AtLeastOnce = 0, AtMostOnce = 1 };

/// What the configuration says of a channel; fixed when the segment is made.
struct ChannelShape {
    std::uint32_t slots = 64;          ///< of the receiving pool: each has an inbox
    std::uint32_t capacity = 128;      ///< messages of one inbox
    std::uint32_t message_size = 256;  ///< bytes of the longest message
    Delivery delivery = Delivery::AtLeastOnce;
    friend bool operator==(const ChannelShape&, const ChannelShape&) = default;
};

struct NamedChannel {
    std::string name;
    std::string pool;  ///< whose slots receive
    ChannelShape shape;
    friend bool operator==(const NamedChannel&, const NamedChannel&) = default;
};

/// Is it within the limits that every index and size in the segment has?
[[nodiscard]] constexpr bool is_sound(const ChannelShape& shape) noexcept {
    return shape.slots >= 1 && shape.slots <= kMaxSlots && shape.capacity >= 1 &&
           shape.capacity <= kMaxChannelCapacity && shape.message_size >= 1 &&
           shape.message_size <= kMaxItemBytes && shape.delivery <= Delivery::AtMostOnce;
}

/// Bytes in the segment, a multiple of kCacheLine.
[[nodiscard]] std::size_t channel_bytes(const ChannelShape& shape) noexcept;

}  // namespace topsman::shm
