#pragma once

// Blocks of memory that processes give to each other without copying them.
//
// One word for each block says all there is to know: its state, whose it is, and which use of the
// block this is. Every step is one exchange of that word, which is the commit point:
//
//   Free --allocate--> Owned --pass--> Passed --take--> Owned            one can write
//                        |                |
//                        +--release-------+--release--> Free
//                        |
//                        +--share--> Shared --release--> Closed -------> Free    all can read
//
// There are no free lists, bitmaps or counts beside the words, hence nothing that could disagree
// with them. Who reads a shared block is a mask with one bit for each lane, not a count: the bit of
// a dead reader can be taken back. Readers come only while the block is Shared; in Closed they can
// only go, so whoever sees the mask empty then may free it, the sweep too.
//
// Death: the sweep frees what the dead owned and what they had passed and nobody had taken, closes
// what they had shared, and takes their bits out of the masks.

#include "shm/block_shape.hpp"
#include "shm/lane.hpp"
#include "shm/lane_set.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace topsman::shm {

enum class BlockState : std::uint8_t { Free = 0, Owned = 1, Passed = 2, Shared = 3, Closed = 4 };

/// state:4 | version:26 | lane:10 | generation:24. The version changes with each new owner, so a
/// reference to an earlier use of the block is recognised.
struct BlockWord {
    BlockState state = BlockState::Free;
    std::uint32_t version = 0;
    Owner owner;  ///< nobody when Free and Closed

    static constexpr std::uint32_t kVersions = std::uint32_t{1} << 26U;

    [[nodiscard]] constexpr std::uint64_t pack() const noexcept {
        return (std::uint64_t{static_cast<std::uint8_t>(state)} << 60U) |
               (std::uint64_t{version % kVersions} << 34U) |
               (std::uint64_t{owner.lane & 0x3ffU} << 24U) | (owner.generation & 0xff'ffffU);
    }

    [[nodiscard]] static constexpr BlockWord unpack(std::uint64_t word) noexcept {
        return BlockWord{static_cast<BlockState>(word >> 60U),
                         static_cast<std::uint32_t>(word >> 34U) % kVersions,
                         Owner{static_cast<std::uint32_t>(word >> 24U) & 0x3ffU,
                               static_cast<std::uint32_t>(word & 0xff'ffffU)}};
    }
};

/// As it lies in the segment.
struct BlockRow {
    std::atomic<std::uint64_t> word;    ///< BlockWord
    std::atomic<std::uint64_t> length;  ///< bytes in use; the owner's, a hint to the next one
};

/// Which use of which block. A plain number in a message; untrusted when it comes from elsewhere.
struct BlockRef {
    std::uint32_t block = 0;
    std::uint32_t version = 0;

    friend constexpr bool operator==(BlockRef, BlockRef) = default;
};

struct BlockUsage {
    std::uint64_t size = 0;  ///< bytes of one block
    std::uint64_t used = 0;  ///< owned, passed, shared
    std::uint64_t free = 0;
    std::uint64_t illegal = 0;  ///< the word is nonsense: quarantined, never given out again
};

/// The blocks of one segment; a view. All references and words are checked before they are used.
/// False, or nullopt, means that a reference is not what the caller believes: nothing was done.
class BlockPool {
  public:
    BlockPool() noexcept = default;
    /// `lanes`: the highest number that a lane has.
    BlockPool(const BlockClasses& classes, std::uint32_t lanes, std::span<BlockRow> rows,
              std::span<LaneSet> readers, std::byte* memory) noexcept;

    /// One more class, whose words, readers and blocks lie one behind the other at `memory`, in
    /// late_blocks_bytes() bytes. The numbers of its blocks follow those of the others.
    void add(const BlockClass& one, std::byte* memory) noexcept;

    [[nodiscard]] std::size_t blocks() const noexcept { return blocks_; }

    [[nodiscard]] std::uint64_t largest() const noexcept;

    /// A block of at least `length` bytes, of the smallest class that has a free one. Its bytes are
    /// what the last owner left.
    [[nodiscard]] std::optional<BlockRef> allocate(std::uint64_t length, Owner owner) noexcept;

    /// The whole of a block, and how much of it its owner says is in use.
    [[nodiscard]] std::span<std::byte> memory(BlockRef ref) const noexcept;
    [[nodiscard]] std::uint64_t length(BlockRef ref) const noexcept;

    /// The owner gives it up for whoever shows `ref`.
    [[nodiscard]] bool pass(BlockRef ref, Owner owner) noexcept;
    /// The first to show it becomes the owner; the new reference is the result.
    [[nodiscard]] std::optional<BlockRef> take(BlockRef ref, Owner owner) noexcept;

    /// The owner will not write any more; others may open it.
    [[nodiscard]] bool share(BlockRef ref, Owner owner) noexcept;
    /// Becomes a reader. At most once for each lane, until close().
    [[nodiscard]] bool open(BlockRef ref, std::uint32_t lane) noexcept;
    void close(BlockRef ref, std::uint32_t lane) noexcept;

    /// The owner has done with it: whether it is Owned, Passed or Shared. Readers keep what they
    /// have opened.
    bool release(BlockRef ref, Owner owner) noexcept;

    /// Takes back all that the dead held. Idempotent, may run beside everything else.
    void sweep(Owner dead) noexcept;

    [[nodiscard]] BlockUsage usage(std::size_t block_class) const noexcept;

  private:
    /// The blocks of one class.
    struct Region {
        BlockClass shape{};
        std::uint32_t first = 0;  ///< its first block's number
        BlockRow* rows = nullptr;
        LaneSet* readers = nullptr;
        std::byte* memory = nullptr;
    };

    void add(const Region& region) noexcept;
    /// Null when there is no such block.
    [[nodiscard]] const Region* region_of(std::uint32_t block) const noexcept;
    [[nodiscard]] BlockRow* row_of(std::uint32_t block) const noexcept;
    [[nodiscard]] LaneSet* readers_of(std::uint32_t block) const noexcept;
    [[nodiscard]] std::optional<BlockRef> allocate_of(const Region& region, Owner owner) noexcept;
    /// Changes the word of `ref` if it is as said.
    [[nodiscard]] bool change(BlockRef ref, BlockWord from, BlockWord to) noexcept;
    void free_if_unread(std::uint32_t block) noexcept;

    std::array<Region, kMaxBlockClasses> regions_{};  ///< by their first block
    std::array<std::uint8_t, kMaxBlockClasses> by_size_{};
    std::uint8_t classes_ = 0;
    std::uint32_t blocks_ = 0;
    std::uint32_t lanes_ = 0;
};

}  // namespace topsman::shm
