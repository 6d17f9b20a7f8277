#include "supervisor/segment_plan.hpp"

#include "shm/base/check.hpp"
#include "shm/histogram.hpp"
#include "shm/segment_size.hpp"
#include "supervisor/control/text.hpp"

#include <sys/statvfs.h>

namespace topsman::supervisor {

shm::QueueShape shape_of(const config::Queue& queue) {
    return {queue.capacity,   queue.item_size, queue.max_attempts,
            queue.priorities, queue.dedup,     queue.result_size};
}

shm::NamedChannel channel_of(const config::Channel& channel) {
    const auto delivery = channel.delivery == config::Delivery::AtMostOnce
                              ? shm::Delivery::AtMostOnce
                              : shm::Delivery::AtLeastOnce;
    return {channel.name,
            channel.to,
            {channel.slots, channel.capacity, channel.message_size, delivery}};
}

std::vector<shm::NamedQueue> queues_of(const config::Config& config) {
    std::vector<shm::NamedQueue> queues;
    for (const config::Queue& queue : config.shared.queues) {
        queues.push_back({queue.name, shape_of(queue)});
    }
    return queues;
}

std::vector<shm::NamedChannel> channels_of(const config::Config& config) {
    std::vector<shm::NamedChannel> channels;
    for (const config::Channel& channel : config.shared.channels) {
        channels.push_back(channel_of(channel));
    }
    return channels;
}

shm::BlockClasses blocks_of(const config::Config& config) {
    shm::BlockClasses classes{};
    CHECK(config.shared.blocks.size() <= classes.size());
    for (std::size_t i = 0; i < config.shared.blocks.size(); ++i) {
        classes[i] = {config.shared.blocks[i].size, config.shared.blocks[i].count};
    }
    return classes;
}

config::SegmentSize segment_size(const config::Config& config, std::uint64_t room) {
    const std::vector<shm::NamedQueue> queues = queues_of(config);
    const std::vector<shm::NamedChannel> channels = channels_of(config);
    config::SegmentSize size;
    size.bytes = shm::segment_bytes(config.segment.lanes, queues, blocks_of(config),
                                    config.shared.histograms, channels, config.segment.reserve);
    size.made_of.emplace_back("lanes and fixed tables",
                              shm::segment_bytes(config.segment.lanes, {}));
    for (const shm::NamedQueue& queue : queues) {
        size.made_of.emplace_back("queue " + queue.name, shm::queue_bytes(queue.shape));
    }
    for (const shm::NamedChannel& channel : channels) {
        size.made_of.emplace_back("channel " + channel.name, shm::channel_bytes(channel.shape));
    }
    if (!config.shared.histograms.empty()) {
        size.made_of.emplace_back(
            "histograms",
            shm::histogram_bytes(config.shared.histograms.size(), config.segment.lanes));
    }
    if (!config.shared.blocks.empty()) {
        size.made_of.emplace_back("blocks", shm::blocks_bytes(blocks_of(config)));
    }
    if (config.segment.reserve != 0) {
        size.made_of.emplace_back("reserve", config.segment.reserve);
    }
    size.text = "segment of " + control::format_size(size.bytes) + ":";
    for (const auto& [what, bytes] : size.made_of) {
        size.text += (what == size.made_of.front().first ? " " : ", ") + what + " " +
                     control::format_size(bytes);
    }
    if (room != 0 && size.bytes > room) {
        size.problem =
            "the " + size.text + "; /dev/shm has " + control::format_size(room) +
            " in all: write smaller queues and channels or fewer blocks, or make it larger (in a "
            "container see its --shm-size)";
    }
    return size;
}

config::SegmentSize segment_size_here(const config::Config& config) {
    struct statvfs space {};

    const bool is_known = ::statvfs("/dev/shm", &space) == 0;
    return segment_size(config, is_known ? std::uint64_t{space.f_blocks} * space.f_frsize : 0);
}

}  // namespace topsman::supervisor
