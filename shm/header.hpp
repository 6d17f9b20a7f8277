#pragma once

// The first page of the segment: who made it, for which layout, and what lies where.
//
// Everybody who maps a segment copies this page to memory of its own, checks the copy, and uses
// nothing else: any process that may write to the segment may write here too, at any time.

#include "shm/base/result.hpp"
#include "shm/block_shape.hpp"
#include "shm/channel_shape.hpp"
#include "shm/limits.hpp"
#include "shm/queue_shape.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace topsman::shm {

/// What lies in the segment. The number is the part's index in the directory: part of the layout.
enum class Part : std::uint32_t {
    Lanes,
    Scoreboard,
    Events,
    MetricNames,
    MutexNames,
    CellNames,
    Metrics,
    Mutexes,
    Cells,
    LastWords,
    IdleLanes,
    Queues,
    ObjectNames,
    Objects,
    ArrayNames,
    Arrays,
    BlockRows,
    BlockReaders,
    BlockMemory,
    Histograms,
    Channels,
};
inline constexpr std::size_t kParts = 21;
inline constexpr std::size_t kHeaderBytes = 4'096;
inline constexpr std::uint64_t kMagic = 0x6e61'6d73'706f'7401;  // "\1topsman" in memory
inline constexpr std::size_t kBootIdBytes = 40;

struct DirectoryEntry {
    std::uint64_t offset;  ///< from the start of the segment
    std::uint64_t size;
};

/// A queue's shape, which no part's type knows. They lie one after the other in Part::Queues. One
/// that is added later is there once its capacity is: that is stored last.
struct QueueEntry {
    char name[kNameBytes];
    std::uint32_t capacity;  ///< 0: there is no such queue, nor any after it
    std::uint32_t item_size;
    std::uint32_t max_attempts;
    std::uint32_t priorities;
};

/// A channel's shape, as a queue's. They lie one after the other in Part::Channels.
struct ChannelEntry {
    char name[kNameBytes];
    char pool[kNameBytes];
    std::uint32_t slots;  ///< 0: there is no such channel, nor any after it
    std::uint32_t capacity;
    std::uint32_t message_size;
    Delivery delivery;
};

/// As it lies at offset 0.
struct Header {
    std::atomic<std::uint64_t> magic;  ///< written last: a segment without it is not whole
    std::uint64_t abi_hash;
    std::uint32_t layout_version;
    std::uint32_t lanes;  ///< without the master's
    std::uint64_t total_size;
    std::uint64_t pid_namespace;  ///< inode of /proc/self/ns/pid
    char boot_id[kBootIdBytes];   ///< /proc/sys/kernel/random/boot_id
    std::atomic<std::uint32_t> epoch;
    std::atomic<std::uint32_t> master_pid;
    std::atomic<std::uint64_t> master_start_ticks;
    DirectoryEntry directory[kParts];
    QueueEntry queues[kMaxQueues];
    BlockClass blocks[kMaxBlockClasses];
    /// Names; an empty one ends them. Of one that is added later the first letter is stored last.
    char histograms[kMaxHistograms][kNameBytes];
    ChannelEntry channels[kMaxChannels];
};

static_assert(sizeof(Header) <= kHeaderBytes);

/// Differs whenever two builds would not agree on the bytes of a segment.
[[nodiscard]] std::uint64_t abi_hash() noexcept;

/// Where this process lives; a segment is of use only there.
struct Place {
    std::string boot_id;  ///< empty: of no matter
    std::uint64_t pid_namespace = 0;

    [[nodiscard]] static Result<Place> here();
};

/// What a checked header says, in memory of our own.
struct Layout {
    std::uint32_t lanes = 0;
    std::uint64_t total_size = 0;
    std::array<DirectoryEntry, kParts> directory{};
    BlockClasses blocks{};
    std::vector<NamedQueue> queues;
    std::vector<std::string> histograms;
    std::vector<NamedChannel> channels;
    // What a reload adds lies behind the queues: further queues from the beginning of the reserve,
    // further histograms from its end, so that those before stay where they are.
    std::uint64_t reserve = 0;          ///< bytes in the middle that are nobody's yet
    std::uint32_t late_histograms = 0;  ///< how many of `histograms`, the last ones, lie there
};

/// Bytes of a part: what its type, the number of lanes and the shapes of queues and blocks say.
/// 0: the segment has no such part.
[[nodiscard]] std::size_t part_size(Part part, const Layout& layout) noexcept;

/// Checks the first page of a file of `file_size` bytes: magic, layout version, ABI, size, boot,
/// pid namespace and every bound, or one sentence that begins with `name`.
[[nodiscard]] Result<Layout> check_header(const std::string& name, std::span<const std::byte> page,
                                          std::uint64_t file_size, const Place& place);

}  // namespace topsman::shm
