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
    Reserve,
};
inline constexpr std::size_t kParts = 22;
inline constexpr std::size_t kHeaderBytes = 8'192;
inline constexpr std::uint64_t kMagic = 0x6e61'6d73'706f'7401;  // "\1topsman" in memory
inline constexpr std::size_t kBootIdBytes = 40;

struct DirectoryEntry {
    std::uint64_t offset;  ///< from the start of the segment
    std::uint64_t size;
};

/// What a reload may add, as the header's `late` says it: part of the layout.
enum class Late : std::uint32_t { None = 0, Queue = 1, Histogram = 2, Channel = 3, Blocks = 4 };
inline constexpr std::size_t kLateKinds = 5;
inline constexpr std::size_t kMaxLate =
    kMaxQueues + kMaxHistograms + kMaxChannels + kMaxBlockClasses;

/// A queue's shape, which no part's type knows. They lie one after the other in Part::Queues.
struct QueueEntry {
    char name[kNameBytes];
    std::uint32_t capacity;
    std::uint32_t item_size;
    std::uint32_t max_attempts;
    std::uint16_t priorities;
    std::uint16_t has_keys;
    std::uint32_t result_size;
};

/// A channel's shape, as a queue's. They lie one after the other in Part::Channels.
struct ChannelEntry {
    char name[kNameBytes];
    char pool[kNameBytes];
    std::uint32_t slots;
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
    char histograms[kMaxHistograms][kNameBytes];  ///< names
    ChannelEntry channels[kMaxChannels];
    /// How many of each kind the segment was made with: the first ones of the arrays above, in the
    /// kind's own part. What was added since follows them, and lies in Part::Reserve in the order
    /// of `late`. It is there once its kind stands in `late`: that one store is the commit point,
    /// and the first None is the end.
    std::uint32_t made_with[kLateKinds];
    Late late[kMaxLate];
};

static_assert(sizeof(Header) <= kHeaderBytes);

/// A name and a shape as the header has them.
[[nodiscard]] QueueEntry entry_of(const NamedQueue& queue);
[[nodiscard]] ChannelEntry entry_of(const NamedChannel& channel);

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
    std::vector<Late> late;     ///< the last ones of those above: which lie in the reserve, and how
    std::uint64_t reserve = 0;  ///< its bytes, of Part::Reserve in all

    /// How many of a kind there are in all, and how many of them were there first.
    [[nodiscard]] std::size_t count(Late kind) const noexcept;
    [[nodiscard]] std::size_t count_first(Late kind) const noexcept;
    /// Bytes of the one of that index.
    [[nodiscard]] std::size_t bytes(Late kind, std::size_t index) const noexcept;
    /// Where in the reserve the late one of that index lies; of one more: what is in use.
    [[nodiscard]] std::uint64_t late_offset(Late kind, std::size_t index) const noexcept;
    [[nodiscard]] std::uint64_t reserve_used() const noexcept;
    /// The blocks that were there first.
    [[nodiscard]] BlockClasses first_blocks() const noexcept;
};

/// Bytes of a part: what its type, the number of lanes and the shapes of queues and blocks say.
/// 0: the segment has no such part.
[[nodiscard]] std::size_t part_size(Part part, const Layout& layout) noexcept;

/// Checks the first page of a file of `file_size` bytes: magic, layout version, ABI, size, boot,
/// pid namespace and every bound, or one sentence that begins with `name`.
[[nodiscard]] Result<Layout> check_header(const std::string& name, std::span<const std::byte> page,
                                          std::uint64_t file_size, const Place& place);

}  // namespace topsman::shm
