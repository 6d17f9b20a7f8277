#pragma once

#include "shm/block_shape.hpp"
#include "shm/channel_shape.hpp"
#include "shm/queue_shape.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace topsman::shm {

/// Bytes of a segment with so many lanes and what the configuration adds: what Segment::create
/// reserves.
[[nodiscard]] std::size_t segment_bytes(std::uint32_t lanes, const std::vector<NamedQueue>& queues,
                                        const BlockClasses& blocks = {},
                                        const std::vector<std::string>& histograms = {},
                                        const std::vector<NamedChannel>& channels = {},
                                        std::size_t reserve = 0);

}  // namespace topsman::shm
