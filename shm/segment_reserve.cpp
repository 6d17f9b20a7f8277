// What a reload adds to a segment that is in use: out of its reserve, found by all at one store.

#include "shm/base/check.hpp"
#include "shm/base/size_text.hpp"
#include "shm/segment_impl.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace topsman::shm {

Result<void> Segment::Impl::has_room(const std::string& what, Late kind, std::size_t most,
                                     std::size_t bytes) const {
    CHECK(is_masters);
    const std::uint64_t left = layout.reserve - layout.reserve_used();
    if (layout.count(kind) < most && bytes <= left) {
        return {};
    }
    return plain_error(what + ": " +
                           (bytes > left ? std::to_string(bytes - left) +
                                               " bytes more than what is left of segment.reserve"
                                         : "the segment has as many as it can have"),
                       std::errc::no_buffer_space);
}

/// The last one of this kind, which our layout and the header's entry have already.
void Segment::Impl::publish_last(Late kind) noexcept {
    const std::size_t last = layout.count(kind) - 1;
    const std::size_t turn = layout.late.size();
    layout.late.push_back(kind);
    // All zeros is an empty one; whoever may write here may have done so, also behind the end.
    std::memset(place_of(kind, last), 0, layout.bytes(kind, last));
    if (turn + 1 < kMaxLate) {
        std::atomic_ref(header().late[turn + 1]).store(Late::None, std::memory_order_relaxed);
    }
    // The commit point: from this store on everybody finds it, also the next master.
    std::atomic_ref(header().late[turn]).store(kind, std::memory_order_release);
}

Result<void> Segment::add_queue(const NamedQueue& queue) {
    CHECK(is_sound(queue.shape) && queue.name.size() < kNameBytes);
    std::vector<NamedQueue>& queues = impl_->layout.queues;
    if (auto room = impl_->has_room("queue " + queue.name, Late::Queue, kMaxQueues,
                                    queue_bytes(queue.shape));
        !room) {
        return room;
    }
    impl_->header().queues[queues.size()] = entry_of(queue);
    queues.push_back(queue);
    impl_->publish_last(Late::Queue);
    return {};
}

Result<void> Segment::add_histogram(const std::string& name) {
    CHECK(!name.empty() && name.size() < kNameBytes);
    std::vector<std::string>& histograms = impl_->layout.histograms;
    if (auto room = impl_->has_room("histogram " + name, Late::Histogram, kMaxHistograms,
                                    histogram_bytes(1, impl_->layout.lanes));
        !room) {
        return room;
    }
    char* entry = impl_->header().histograms[histograms.size()];
    std::memset(entry, 0, kNameBytes);
    name.copy(entry, kNameBytes - 1);
    histograms.push_back(name);
    impl_->publish_last(Late::Histogram);
    return {};
}

Result<void> Segment::add_channel(const NamedChannel& channel) {
    CHECK(is_sound(channel.shape) && channel.name.size() < kNameBytes &&
          channel.pool.size() < kNameBytes);
    std::vector<NamedChannel>& channels = impl_->layout.channels;
    if (auto room = impl_->has_room("channel " + channel.name, Late::Channel, kMaxChannels,
                                    channel_bytes(channel.shape));
        !room) {
        return room;
    }
    impl_->header().channels[channels.size()] = entry_of(channel);
    channels.push_back(channel);
    impl_->publish_last(Late::Channel);
    return {};
}

Result<void> Segment::add_blocks(const BlockClass& one) {
    Layout& layout = impl_->layout;
    const std::size_t there = layout.count(Late::Blocks);
    const std::string what = "blocks of " + size_text(one.size);
    if (auto room = impl_->has_room(what, Late::Blocks, kMaxBlockClasses, late_blocks_bytes(one));
        !room) {
        return room;
    }
    BlockClasses all = layout.blocks;
    all[there] = one;
    if (!is_sound(all, layout.count_first(Late::Blocks))) {
        return plain_error(what + ": with the others the segment cannot have them",
                           std::errc::no_buffer_space);
    }
    layout.blocks = all;
    impl_->header().blocks[there] = one;
    impl_->publish_last(Late::Blocks);
    return {};
}

std::uint64_t Segment::reserve_left() const noexcept {
    return impl_->layout.reserve - impl_->layout.reserve_used();
}

bool Segment::look_again() {
    Layout& before = impl_->layout;
    const std::size_t turn = before.late.size();
    if (turn == kMaxLate ||
        std::atomic_ref(impl_->header().late[turn]).load(std::memory_order_acquire) == Late::None) {
        return false;
    }
    Result<Place> place = Place::here();
    if (!place) {
        return false;
    }
    place->boot_id.clear();  // it was looked at before
    Result<Layout> now = check_header("", {impl_->base(), kHeaderBytes}, before.total_size, *place);
    // What was there stays where it is, or this is nothing that a master of ours has written.
    const auto begins_with = [](const auto& all, const auto& first) {
        return all.size() >= first.size() && std::equal(first.begin(), first.end(), all.begin());
    };
    const bool is_more =
        now && now->lanes == before.lanes &&
        std::equal(before.directory.begin(), before.directory.end(), now->directory.begin(),
                   [](const DirectoryEntry& a, const DirectoryEntry& b) {
                       return a.offset == b.offset && a.size == b.size;
                   }) &&
        begins_with(now->late, before.late) && now->late.size() > before.late.size() &&
        begins_with(now->queues, before.queues) &&
        begins_with(now->histograms, before.histograms) &&
        begins_with(now->channels, before.channels) &&
        std::equal(before.blocks.begin(),
                   before.blocks.begin() + static_cast<std::ptrdiff_t>(before.count(Late::Blocks)),
                   now->blocks.begin());
    if (is_more) {  // the rest is the same, and others may be reading it
        before.queues = std::move(now->queues);
        before.histograms = std::move(now->histograms);
        before.channels = std::move(now->channels);
        before.blocks = now->blocks;
        before.late = std::move(now->late);
    }
    return is_more;
}

}  // namespace topsman::shm
