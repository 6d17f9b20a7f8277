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
#include <numeric>
#include <optional>
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

/// The queues that the copy of a header tells of; nothing when one of them is impossible.
std::optional<std::vector<NamedQueue>> read_queues(const Header& header) {
    std::vector<NamedQueue> queues;
    for (const QueueEntry& entry : header.queues) {
        if (entry.capacity == 0) {
            break;
        }
        const QueueShape shape{entry.capacity, entry.item_size, entry.max_attempts,
                               entry.priorities};
        if (!is_sound(shape)) {
            return std::nullopt;
        }
        queues.push_back({std::string(entry.name, ::strnlen(entry.name, kNameBytes)), shape});
    }
    return queues;
}

/// The channels, as the queues.
std::optional<std::vector<NamedChannel>> read_channels(const Header& header) {
    std::vector<NamedChannel> channels;
    for (const ChannelEntry& entry : header.channels) {
        if (entry.slots == 0) {
            break;
        }
        const ChannelShape shape{entry.slots, entry.capacity, entry.message_size, entry.delivery};
        if (!is_sound(shape)) {
            return std::nullopt;
        }
        channels.push_back({std::string(entry.name, ::strnlen(entry.name, kNameBytes)),
                            std::string(entry.pool, ::strnlen(entry.pool, kNameBytes)), shape});
    }
    return channels;
}

std::vector<std::string> read_histograms(const Header& header) {
    std::vector<std::string> names;
    for (const auto& name : header.histograms) {
        if (name[0] == '\0') {
            break;
        }
        names.emplace_back(name, ::strnlen(name, kNameBytes));
    }
    return names;
}

/// What of the layout nobody has written down: which histograms are late, and what is left behind
/// the queues. False when there is less than nothing.
bool find_reserve(Layout& layout) noexcept {
    const DirectoryEntry& queues = layout.directory[static_cast<std::size_t>(Part::Queues)];
    const DirectoryEntry& histograms = layout.directory[static_cast<std::size_t>(Part::Histograms)];
    const std::uint64_t at_first = histograms.size / histogram_bytes(1, layout.lanes);
    if (at_first > layout.histograms.size() || queues.size % kCacheLine != 0) {
        return false;
    }
    layout.late_histograms = static_cast<std::uint32_t>(layout.histograms.size() - at_first);
    const std::size_t used = part_size(Part::Queues, layout);
    layout.reserve = queues.size - std::min<std::uint64_t>(queues.size, used);
    return queues.size >= used;
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

}  // namespace

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
            return std::accumulate(
                layout.queues.begin(), layout.queues.end(),
                kCacheLine + layout.reserve + histogram_bytes(layout.late_histograms, layout.lanes),
                [](std::size_t sum, const NamedQueue& queue) {
                    return sum + queue_bytes(queue.shape);
                });
        case Part::Objects:
            return sizeof(SharedObject) * kMaxObjects;
        case Part::Arrays:
            return sizeof(SharedArrayStorage) * kMaxArrays;
        case Part::BlockRows:
            return sizeof(BlockRow) * block_count(layout.blocks);
        case Part::BlockReaders:
            return sizeof(LaneSet) * block_count(layout.blocks);
        case Part::BlockMemory:
            return block_bytes(layout.blocks);
        case Part::Channels:
            return std::accumulate(layout.channels.begin(), layout.channels.end(), kCacheLine,
                                   [](std::size_t sum, const NamedChannel& channel) {
                                       return sum + channel_bytes(channel.shape);
                                   });
        case Part::Histograms:
            return histogram_bytes(layout.histograms.size() - layout.late_histograms, layout.lanes);
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
    auto queues = read_queues(header);
    if (queues) {
        layout.queues = std::move(*queues);
    }
    std::copy_n(header.blocks, kMaxBlockClasses, layout.blocks.begin());
    layout.histograms = read_histograms(header);
    auto channels = read_channels(header);
    if (channels) {
        layout.channels = std::move(*channels);
    }
    if (!queues || !channels || !is_sound(layout.blocks) || layout.lanes == 0 ||
        layout.lanes > kMaxLanes || !find_reserve(layout) || !is_sound(layout)) {
        return misfit(name, "its directory is corrupt");
    }
    return layout;
}

}  // namespace topsman::shm
