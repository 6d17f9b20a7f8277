#include "shm/header.hpp"

#include "shm/base/unique_fd.hpp"
#include "shm/block_pool.hpp"
#include "shm/channel.hpp"
#include "shm/event_ring.hpp"
#include "shm/histogram.hpp"
#include "shm/job_queue.hpp"
#include "shm/lane.hpp"
#include "shm/lane_set.hpp"
#include "shm/last_words.hpp"
#include "shm/metrics.hpp"
#include "shm/name_table.hpp"
#include "shm/robust_mutex.hpp"
#include "shm/scoreboard.hpp"
#include "shm/shared_object.hpp"
#include "shm/tx_cell.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <pthread.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman::shm {
namespace {

template <class... T>
constexpr std::uint64_t hash_types() noexcept {
    std::uint64_t hash = 0xcbf2'9ce4'8422'2325;  // FNV-1a
    const auto mix = [&hash](std::uint64_t value) { hash = (hash ^ value) * 0x100'0000'01b3; };
    (..., (mix(sizeof(T)), mix(alignof(T))));
    mix(sizeof(void*));
    mix(kHeaderBytes);
    return hash;
}

constexpr std::uint64_t kAbiHash =
    hash_types<Header, DirectoryEntry, Lane, Scoreboard, MasterRecord, PoolRecord, SlotRecord,
               WorkerRecord, ListenerRecord, EventRing, NameTable, NameRow, LaneCells, RobustMutex,
               pthread_mutex_t, TxCellStorage, LastWords, LaneSet, QueueEntry, QueueControl,
               JobRecord, SharedObject, SharedArrayStorage, BlockClass, BlockRow, HistogramCells,
               ChannelEntry, ChannelControl, InboxControl, CellHeader>();

std::string grouped(std::uint64_t number) {
    std::string digits = std::to_string(number);
    for (std::size_t i = digits.size(); i > 3; i -= 3) {
        digits.insert(i - 3, 1, ',');
    }
    return digits;
}

Error misfit(const std::string& name, const std::string& why) {
    return plain_error("segment " + name + ": " + why);
}

bool is_sound(const Layout& layout) noexcept {
    for (std::size_t i = 0; i < kParts; ++i) {
        const DirectoryEntry& entry = layout.directory[i];
        const bool is_inside = entry.offset >= kHeaderBytes && entry.offset < layout.total_size &&
                               entry.size <= layout.total_size - entry.offset;
        if (!is_inside || entry.offset % kCacheLine != 0 ||
            entry.size != part_size(static_cast<Part>(i), layout)) {
            return false;
        }
        for (std::size_t other = 0; other < i; ++other) {
            const DirectoryEntry& before = layout.directory[other];
            if (entry.offset < before.offset + before.size &&
                before.offset < entry.offset + entry.size) {
                return false;
            }
        }
    }
    return true;
}

/// How many entries of each kind the copy of a header has, and what of them is late; false when
/// that is impossible.
bool read_late(const Header& header, Layout& layout,
               std::array<std::size_t, kLateKinds>& counts) noexcept {
    static constexpr std::array<std::size_t, kLateKinds> kMost = {0, kMaxQueues, kMaxHistograms,
                                                                  kMaxChannels, kMaxBlockClasses};
    std::copy_n(header.made_with, kLateKinds, counts.begin());
    for (const Late kind : header.late) {
        if (kind == Late::None) {
            break;
        }
        if (static_cast<std::size_t>(kind) >= kLateKinds) {
            return false;
        }
        ++counts[static_cast<std::size_t>(kind)];
        layout.late.push_back(kind);
    }
    return std::equal(counts.begin(), counts.end(), kMost.begin(), std::less_equal<>());
}

/// The queues that the copy of a header tells of; false when one of them is impossible.
bool read_queues(std::span<const QueueEntry> entries, std::vector<NamedQueue>& queues) {
    for (const QueueEntry& entry : entries) {
        const QueueShape shape{entry.capacity,   entry.item_size,     entry.max_attempts,
                               entry.priorities, entry.has_keys != 0, entry.result_size};
        if (!is_sound(shape)) {
            return false;
        }
        queues.push_back({std::string(entry.name, ::strnlen(entry.name, kNameBytes)), shape});
    }
    return true;
}

/// The channels, as the queues.
bool read_channels(std::span<const ChannelEntry> entries, std::vector<NamedChannel>& channels) {
    for (const ChannelEntry& entry : entries) {
        const ChannelShape shape{entry.slots, entry.capacity, entry.message_size, entry.delivery};
        if (!is_sound(shape)) {
            return false;
        }
        channels.push_back({std::string(entry.name, ::strnlen(entry.name, kNameBytes)),
                            std::string(entry.pool, ::strnlen(entry.pool, kNameBytes)), shape});
    }
    return true;
}

/// All that has a shape of its own; false when it cannot be.
bool read_shapes(const Header& header, Layout& layout) {
    std::array<std::size_t, kLateKinds> counts{};
    if (!read_late(header, layout, counts)) {
        return false;
    }
    const auto count = [&counts](Late kind) { return counts[static_cast<std::size_t>(kind)]; };
    std::copy_n(header.blocks, count(Late::Blocks), layout.blocks.begin());
    for (std::size_t i = 0; i < count(Late::Histogram); ++i) {
        const char* name = header.histograms[i];
        layout.histograms.emplace_back(name, ::strnlen(name, kNameBytes));
    }
    return read_queues({header.queues, count(Late::Queue)}, layout.queues) &&
           read_channels({header.channels, count(Late::Channel)}, layout.channels) &&
           is_sound(layout.blocks, layout.count_first(Late::Blocks)) &&
           layout.count(Late::Blocks) == count(Late::Blocks);
}

/// The reserve has what lies in it, and has no odd end.
bool is_reserve_sound(Layout& layout) noexcept {
    layout.reserve = layout.directory[static_cast<std::size_t>(Part::Reserve)].size;
    return layout.reserve % kCacheLine == 0 && layout.reserve_used() <= layout.reserve;
}

/// The master may be adding to it: a copy that was the same twice has each entry whole, or not at
/// all.
bool copy_header(std::span<const std::byte> page,
                 std::span<std::byte, sizeof(Header)> copy) noexcept {
    constexpr int kMostTries = 100;
    alignas(Header) std::byte again[sizeof(Header)];
    std::memcpy(copy.data(), page.data(), sizeof(Header));
    for (int i = 0; i < kMostTries; ++i) {
        std::atomic_thread_fence(std::memory_order_acquire);
        std::memcpy(again, page.data(), sizeof(Header));
        if (std::memcmp(copy.data(), again, sizeof(Header)) == 0) {
            return true;
        }
        std::memcpy(copy.data(), again, sizeof(Header));
    }
    return false;
}

/// Of those that the segment was made with.
std::size_t first_bytes(const Layout& layout, Late kind) noexcept {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < layout.count_first(kind); ++i) {
        bytes += layout.bytes(kind, i);
    }
    return bytes;
}

}  // namespace

QueueEntry entry_of(const NamedQueue& queue) {
    QueueEntry entry{};
    queue.name.copy(entry.name, kNameBytes - 1);
    entry.capacity = queue.shape.capacity;
    entry.item_size = queue.shape.item_size;
    entry.max_attempts = queue.shape.max_attempts;
    entry.priorities = static_cast<std::uint16_t>(queue.shape.priorities);
    entry.has_keys = queue.shape.has_keys ? 1 : 0;
    entry.result_size = queue.shape.result_size;
    return entry;
}

ChannelEntry entry_of(const NamedChannel& channel) {
    ChannelEntry entry{};
    channel.name.copy(entry.name, kNameBytes - 1);
    channel.pool.copy(entry.pool, kNameBytes - 1);
    entry.slots = channel.shape.slots;
    entry.capacity = channel.shape.capacity;
    entry.message_size = channel.shape.message_size;
    entry.delivery = channel.shape.delivery;
    return entry;
}

std::size_t Layout::count(Late kind) const noexcept {
    switch (kind) {
        case Late::Queue:
            return queues.size();
        case Late::Histogram:
            return histograms.size();
        case Late::Channel:
            return channels.size();
        case Late::Blocks:
            return static_cast<std::size_t>(std::find(blocks.begin(), blocks.end(), BlockClass{}) -
                                            blocks.begin());
        case Late::None:
            break;
    }
    return 0;
}

std::size_t Layout::count_first(Late kind) const noexcept {
    const auto added = static_cast<std::size_t>(std::count(late.begin(), late.end(), kind));
    return count(kind) - std::min(count(kind), added);
}

std::size_t Layout::bytes(Late kind, std::size_t index) const noexcept {
    switch (kind) {
        case Late::Queue:
            return queue_bytes(queues[index].shape);
        case Late::Histogram:
            return histogram_bytes(1, lanes);
        case Late::Channel:
            return channel_bytes(channels[index].shape);
        case Late::Blocks:
            return late_blocks_bytes(blocks[index]);
        case Late::None:
            break;
    }
    return 0;
}

std::uint64_t Layout::late_offset(Late kind, std::size_t index) const noexcept {
    std::array<std::size_t, kLateKinds> next{};
    for (std::size_t i = 0; i < kLateKinds; ++i) {
        next[i] = count_first(static_cast<Late>(i));
    }
    std::uint64_t offset = 0;
    for (const Late one : late) {
        const std::size_t at = next[static_cast<std::size_t>(one)]++;
        if (one == kind && at == index) {
            break;
        }
        offset += bytes(one, at);
    }
    return offset;
}

std::uint64_t Layout::reserve_used() const noexcept {
    return late_offset(Late::None, 0);
}

BlockClasses Layout::first_blocks() const noexcept {
    BlockClasses first{};
    std::copy_n(blocks.begin(), count_first(Late::Blocks), first.begin());
    return first;
}

std::uint64_t abi_hash() noexcept {
    return kAbiHash;
}

std::size_t part_size(Part part, const Layout& layout) noexcept {
    const std::size_t all = std::size_t{layout.lanes} + 1;
    switch (part) {
        case Part::Lanes:
            return sizeof(Lane) * all;
        case Part::Scoreboard:
            return sizeof(Scoreboard);
        case Part::Events:
            return sizeof(EventRing);
        case Part::MetricNames:
        case Part::MutexNames:
        case Part::CellNames:
        case Part::ObjectNames:
        case Part::ArrayNames:
            return sizeof(NameTable);
        case Part::Metrics:
            return sizeof(LaneCells) * all;
        case Part::Mutexes:
            return sizeof(RobustMutex) * kMaxMutexes;
        case Part::Cells:
            return sizeof(TxCellStorage) * kMaxCells;
        case Part::LastWords:
            return sizeof(LastWords) * all;
        case Part::IdleLanes:
            return sizeof(LaneSet) * kMaxListeners;
        case Part::Queues:
            return kCacheLine + first_bytes(layout, Late::Queue);
        case Part::Objects:
            return sizeof(SharedObject) * kMaxObjects;
        case Part::Arrays:
            return sizeof(SharedArrayStorage) * kMaxArrays;
        case Part::BlockRows:
            return sizeof(BlockRow) * block_count(layout.first_blocks());
        case Part::BlockReaders:
            return sizeof(LaneSet) * block_count(layout.first_blocks());
        case Part::BlockMemory:
            return block_bytes(layout.first_blocks());
        case Part::Channels:
            return kCacheLine + first_bytes(layout, Late::Channel);
        case Part::Histograms:
            return first_bytes(layout, Late::Histogram);
        case Part::Reserve:
            return layout.reserve;
    }
    return 0;
}

Result<Place> Place::here() {
    static constexpr const char* kBootId = "/proc/sys/kernel/random/boot_id";
    static constexpr const char* kNamespace = "/proc/self/ns/pid";
    Place place;
    const UniqueFd file(::open(kBootId, O_RDONLY | O_CLOEXEC));
    char text[kBootIdBytes] = {};
    const ssize_t got = file ? ::read(file.get(), text, sizeof(text) - 1) : -1;
    if (got <= 0) {
        return system_error(kBootId);
    }
    const std::string_view id(text, static_cast<std::size_t>(got));
    place.boot_id = id.substr(0, id.find('\n'));

    struct stat status {};

    if (::stat(kNamespace, &status) != 0) {
        return system_error(kNamespace);
    }
    place.pid_namespace = status.st_ino;
    return place;
}

Result<Layout> check_header(const std::string& name, std::span<const std::byte> page,
                            std::uint64_t file_size, const Place& place) {
    if (file_size < kHeaderBytes || page.size() < sizeof(Header)) {
        return misfit(name, "truncated: it has " + grouped(file_size) + " bytes");
    }
    // Copied once, so that what was checked is what is used.
    alignas(Header) std::byte copy[sizeof(Header)];
    if (!copy_header(page, copy)) {
        return misfit(name, "its header is being written again and again");
    }
    const auto& header = *reinterpret_cast<const Header*>(copy);

    if (header.magic.load(std::memory_order_relaxed) != kMagic) {
        return misfit(name, "not a topsman segment, or one whose maker died before it was whole");
    }
    if (header.layout_version != kLayoutVersion) {
        return misfit(name, "it has layout version " + std::to_string(header.layout_version) +
                                ", this topsman has " + std::to_string(kLayoutVersion));
    }
    if (header.abi_hash != kAbiHash) {
        return misfit(name, "it was made by a topsman that was built differently");
    }
    if (header.total_size != file_size) {
        return misfit(name, (file_size < header.total_size ? "truncated: it has " : "it has ") +
                                grouped(file_size) + " bytes, its header says " +
                                grouped(header.total_size));
    }
    if (!place.boot_id.empty() &&
        std::string_view(header.boot_id, ::strnlen(header.boot_id, kBootIdBytes)) !=
            place.boot_id) {
        return misfit(name, "it is from before the last boot");
    }
    // A robust mutex knows its owner by thread id: in two pid namespaces one id is two threads,
    // and the death of one would release the lock of the other.
    if (header.pid_namespace != place.pid_namespace) {
        return misfit(name, "it belongs to another pid namespace (another container?)");
    }
    Layout layout;
    layout.lanes = header.lanes;
    layout.total_size = header.total_size;
    std::copy_n(header.directory, kParts, layout.directory.begin());
    if (layout.lanes == 0 || layout.lanes > kMaxLanes || !read_shapes(header, layout) ||
        !is_reserve_sound(layout) || !is_sound(layout)) {
        return misfit(name, "its directory is corrupt");
    }
    return layout;
}

}  // namespace topsman::shm
