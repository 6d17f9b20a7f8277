#pragma once

// What the configuration asks of the shared segment: for who makes it, and for `topsman check`.

#include "config/check.hpp"
#include "config/model.hpp"
#include "shm/block_shape.hpp"
#include "shm/channel_shape.hpp"
#include "shm/queue_shape.hpp"

#include <cstdint>
#include <vector>

namespace topsman::supervisor {

[[nodiscard]] shm::QueueShape shape_of(const config::Queue& queue);
[[nodiscard]] shm::NamedChannel channel_of(const config::Channel& channel);
[[nodiscard]] std::vector<shm::NamedQueue> queues_of(const config::Config& config);
[[nodiscard]] std::vector<shm::NamedChannel> channels_of(const config::Config& config);
[[nodiscard]] shm::BlockClasses blocks_of(const config::Config& config);

/// Its size, what it is made of, and whether `room` bytes of /dev/shm in all are enough; 0:
/// unknown.
[[nodiscard]] config::SegmentSize segment_size(const config::Config& config, std::uint64_t room);

/// The same, with the room that there is here.
[[nodiscard]] config::SegmentSize segment_size_here(const config::Config& config);

}  // namespace topsman::supervisor
