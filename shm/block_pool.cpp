#include "shm/block_pool.hpp"

#include <algorithm>

namespace topsman::shm {

std::size_t blocks_bytes(const BlockClasses& classes) noexcept {
    return block_bytes(classes) + block_count(classes) * (sizeof(BlockRow) + sizeof(LaneSet));
}

BlockPool::BlockPool(const BlockClasses& classes, std::uint32_t lanes, std::span<BlockRow> rows,
                     std::span<LaneSet> readers, std::byte* memory) noexcept
    : classes_(classes), lanes_(lanes), rows_(rows), readers_(readers), memory_(memory) {}

std::uint64_t BlockPool::largest() const noexcept {
    return std::max_element(classes_.begin(), classes_.end(),
                            [](const auto& a, const auto& b) { return a.size < b.size; })
        ->size;
}

std::optional<BlockPool::Place> BlockPool::place(std::uint32_t block) const noexcept {
    std::uint64_t index = block;
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < classes_.size(); ++i) {
        const std::uint64_t stride = block_stride(classes_[i]);
        if (index < classes_[i].count) {
            return Place{i, offset + index * stride};
        }
        index -= classes_[i].count;
        offset += classes_[i].count * stride;
    }
    return std::nullopt;
}

std::span<std::byte> BlockPool::memory(BlockRef ref) const noexcept {
    const auto found = place(ref.block);
    return found ? std::span(memory_ + found->offset, classes_[found->block_class].size)
                 : std::span<std::byte>();
}

std::uint64_t BlockPool::length(BlockRef ref) const noexcept {
    const auto found = place(ref.block);
    return found ? std::min(rows_[ref.block].length.load(std::memory_order_relaxed),
                            classes_[found->block_class].size)
                 : 0;
}

std::optional<BlockRef> BlockPool::allocate(std::uint64_t length, Owner owner) noexcept {
    std::uint64_t first = 0;
    for (const BlockClass& one : classes_) {
        if (one.size >= length && one.count > 0) {
            if (const auto ref = allocate_of(first, one.count, owner)) {
                rows_[ref->block].length.store(length, std::memory_order_relaxed);
                return ref;
            }
        }
        first += one.count;
    }
    return std::nullopt;
}

std::optional<BlockRef> BlockPool::allocate_of(std::uint64_t first, std::uint64_t count,
                                               Owner owner) noexcept {
    // Each lane begins to look at a place of its own, so that lanes do not meet.
    const std::uint64_t start = std::uint64_t{owner.lane} * count / (std::uint64_t{lanes_} + 1);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto block = static_cast<std::uint32_t>(first + (start + i) % count);
        std::uint64_t word = rows_[block].word.load(std::memory_order_relaxed);
        const BlockWord free = BlockWord::unpack(word);
        if (free.state != BlockState::Free) {
            continue;
        }
        const std::uint32_t version = (free.version + 1) % BlockWord::kVersions;
        const BlockWord owned{BlockState::Owned, version, owner};
        if (rows_[block].word.compare_exchange_strong(word, owned.pack(),
                                                      std::memory_order_acq_rel)) {
            return BlockRef{block, version};
        }
    }
    return std::nullopt;
}

bool BlockPool::change(BlockRef ref, BlockWord from, BlockWord to) noexcept {
    if (ref.block >= rows_.size()) {
        return false;
    }
    std::uint64_t word = from.pack();
    return rows_[ref.block].word.compare_exchange_strong(word, to.pack());
}

bool BlockPool::pass(BlockRef ref, Owner owner) noexcept {
    return change(ref, {BlockState::Owned, ref.version, owner},
                  {BlockState::Passed, ref.version, owner});
}

std::optional<BlockRef> BlockPool::take(BlockRef ref, Owner owner) noexcept {
    if (ref.block >= rows_.size()) {
        return std::nullopt;
    }
    const BlockWord word = BlockWord::unpack(rows_[ref.block].word.load(std::memory_order_relaxed));
    const BlockWord passed{BlockState::Passed, ref.version, word.owner};
    const BlockRef taken{ref.block, (ref.version + 1) % BlockWord::kVersions};
    return change(ref, passed, {BlockState::Owned, taken.version, owner}) ? std::optional(taken)
                                                                          : std::nullopt;
}

bool BlockPool::share(BlockRef ref, Owner owner) noexcept {
    return change(ref, {BlockState::Owned, ref.version, owner},
                  {BlockState::Shared, ref.version, owner});
}

bool BlockPool::open(BlockRef ref, std::uint32_t lane) noexcept {
    if (ref.block >= rows_.size() || lane > lanes_) {
        return false;
    }
    // The bit first, then the look: if the block is still Shared now, whoever closes it later sees
    // the bit. A bit that was set in vain, in another use of the block, only delays its end.
    readers_[ref.block].insert(lane);
    const BlockWord word = BlockWord::unpack(rows_[ref.block].word.load());
    if (word.state == BlockState::Shared && word.version == ref.version) {
        return true;
    }
    close(ref, lane);
    return false;
}

void BlockPool::close(BlockRef ref, std::uint32_t lane) noexcept {
    if (ref.block < rows_.size() && lane <= lanes_) {
        readers_[ref.block].erase(lane);
        free_if_unread(ref.block);
    }
}

bool BlockPool::release(BlockRef ref, Owner owner) noexcept {
    const BlockWord free{BlockState::Free, ref.version, {}};
    if (change(ref, {BlockState::Owned, ref.version, owner}, free) ||
        change(ref, {BlockState::Passed, ref.version, owner}, free)) {
        return true;
    }
    if (!change(ref, {BlockState::Shared, ref.version, owner},
                {BlockState::Closed, ref.version, {}})) {
        return false;
    }
    free_if_unread(ref.block);
    return true;
}

void BlockPool::free_if_unread(std::uint32_t block) noexcept {
    // The word before the mask: once Closed, nobody becomes a reader, so an empty mask stays empty
    // of readers however long this takes, and the version makes a late exchange fail.
    const BlockWord word = BlockWord::unpack(rows_[block].word.load());
    if (word.state == BlockState::Closed && !readers_[block].any()) {
        (void)change({block, word.version}, word, {BlockState::Free, word.version, {}});
    }
}

void BlockPool::sweep(Owner dead) noexcept {
    for (std::uint32_t block = 0; block < rows_.size(); ++block) {
        const BlockWord word = BlockWord::unpack(rows_[block].word.load());
        if (word.owner == dead && word.state != BlockState::Free) {
            (void)release({block, word.version}, dead);
        }
        if (readers_[block].contains(dead.lane)) {
            readers_[block].erase(dead.lane);
        }
        // Whether or not the dead one had a part in it: it may have died between its last step and
        // the look at who is left.
        free_if_unread(block);
    }
}

BlockUsage BlockPool::usage(std::size_t block_class) const noexcept {
    std::uint64_t first = 0;
    for (std::size_t i = 0; i < block_class; ++i) {
        first += classes_[i].count;
    }
    BlockUsage usage;
    usage.size = classes_[block_class].size;
    for (std::uint64_t i = first; i < first + classes_[block_class].count; ++i) {
        const BlockWord word = BlockWord::unpack(rows_[i].word.load(std::memory_order_relaxed));
        const bool is_owned = word.owner.lane >= 1 && word.owner.lane <= lanes_;
        if (word.state == BlockState::Free) {
            ++usage.free;
        } else if (word.state == BlockState::Closed ||
                   (word.state < BlockState::Closed && is_owned)) {
            ++usage.used;
        } else {
            ++usage.illegal;
        }
    }
    return usage;
}

}  // namespace topsman::shm
