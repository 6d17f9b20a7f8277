#include "shm/block_pool.hpp"

#include <algorithm>

namespace topsman::shm {

std::size_t blocks_bytes(const BlockClasses& classes) noexcept {
    return block_bytes(classes) + block_count(classes) * (sizeof(BlockRow) + sizeof(LaneSet));
}

namespace {

std::size_t word_bytes(const BlockClass& one) noexcept {
    return (sizeof(BlockRow) * one.count + kCacheLine - 1) / kCacheLine * kCacheLine;
}

}  // namespace

std::size_t late_blocks_bytes(const BlockClass& one) noexcept {
    static_assert(sizeof(LaneSet) % kCacheLine == 0);
    return word_bytes(one) + (sizeof(LaneSet) + block_stride(one)) * one.count;
}

BlockPool::BlockPool(const BlockClasses& classes, std::uint32_t lanes, std::span<BlockRow> rows,
                     std::span<LaneSet> readers, std::byte* memory) noexcept
    : lanes_(lanes) {
    for (const BlockClass& one : classes) {
        if (one.count != 0) {
            add({one, blocks_, rows.data() + blocks_, readers.data() + blocks_, memory});
            memory += block_stride(one) * one.count;
        }
    }
}

void BlockPool::add(const BlockClass& one, std::byte* memory) noexcept {
    auto* readers = reinterpret_cast<LaneSet*>(memory + word_bytes(one));
    add({one, blocks_, reinterpret_cast<BlockRow*>(memory), readers,
         reinterpret_cast<std::byte*>(readers + one.count)});
}

void BlockPool::add(const Region& region) noexcept {
    std::uint8_t at = classes_;
    for (; at > 0 && regions_[by_size_[at - 1U]].shape.size > region.shape.size; --at) {
        by_size_[at] = by_size_[at - 1U];
    }
    by_size_[at] = classes_;
    regions_[classes_++] = region;
    blocks_ += static_cast<std::uint32_t>(region.shape.count);
}

const BlockPool::Region* BlockPool::region_of(std::uint32_t block) const noexcept {
    for (std::size_t i = 0; i < classes_; ++i) {
        if (block - regions_[i].first < regions_[i].shape.count) {
            return &regions_[i];
        }
    }
    return nullptr;
}

BlockRow* BlockPool::row_of(std::uint32_t block) const noexcept {
    const Region* region = region_of(block);
    return region == nullptr ? nullptr : region->rows + (block - region->first);
}

LaneSet* BlockPool::readers_of(std::uint32_t block) const noexcept {
    const Region* region = region_of(block);
    return region == nullptr ? nullptr : region->readers + (block - region->first);
}

std::uint64_t BlockPool::largest() const noexcept {
    return classes_ == 0 ? 0 : regions_[by_size_[classes_ - 1U]].shape.size;
}

std::span<std::byte> BlockPool::memory(BlockRef ref) const noexcept {
    const Region* region = region_of(ref.block);
    if (region == nullptr) {
        return {};
    }
    const std::uint64_t offset = (ref.block - region->first) * block_stride(region->shape);
    return {region->memory + offset, region->shape.size};
}

std::uint64_t BlockPool::length(BlockRef ref) const noexcept {
    const Region* region = region_of(ref.block);
    return region == nullptr
               ? 0
               : std::min(
                     region->rows[ref.block - region->first].length.load(std::memory_order_relaxed),
                     region->shape.size);
}

std::optional<BlockRef> BlockPool::allocate(std::uint64_t length, Owner owner) noexcept {
    for (std::size_t i = 0; i < classes_; ++i) {
        const Region& region = regions_[by_size_[i]];
        if (region.shape.size < length) {
            continue;
        }
        if (const auto ref = allocate_of(region, owner)) {
            region.rows[ref->block - region.first].length.store(length, std::memory_order_relaxed);
            return ref;
        }
    }
    return std::nullopt;
}

// NOLINTNEXTLINE(readability-make-member-function-const): it changes what the view shows
std::optional<BlockRef> BlockPool::allocate_of(const Region& region, Owner owner) noexcept {
    const std::uint64_t count = region.shape.count;
    // Each lane begins to look at a place of its own, so that lanes do not meet.
    const std::uint64_t start = std::uint64_t{owner.lane} * count / (std::uint64_t{lanes_} + 1);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto index = static_cast<std::uint32_t>((start + i) % count);
        std::uint64_t word = region.rows[index].word.load(std::memory_order_relaxed);
        const BlockWord free = BlockWord::unpack(word);
        if (free.state != BlockState::Free) {
            continue;
        }
        const std::uint32_t version = (free.version + 1) % BlockWord::kVersions;
        const BlockWord owned{BlockState::Owned, version, owner};
        if (region.rows[index].word.compare_exchange_strong(word, owned.pack(),
                                                            std::memory_order_acq_rel)) {
            return BlockRef{region.first + index, version};
        }
    }
    return std::nullopt;
}

bool BlockPool::change(BlockRef ref, BlockWord from, BlockWord to) noexcept {
    BlockRow* row = row_of(ref.block);
    std::uint64_t word = from.pack();
    return row != nullptr && row->word.compare_exchange_strong(word, to.pack());
}

bool BlockPool::pass(BlockRef ref, Owner owner) noexcept {
    return change(ref, {BlockState::Owned, ref.version, owner},
                  {BlockState::Passed, ref.version, owner});
}

std::optional<BlockRef> BlockPool::take(BlockRef ref, Owner owner) noexcept {
    const BlockRow* row = row_of(ref.block);
    if (row == nullptr) {
        return std::nullopt;
    }
    const BlockWord word = BlockWord::unpack(row->word.load(std::memory_order_relaxed));
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
    LaneSet* readers = readers_of(ref.block);
    if (readers == nullptr || lane > lanes_) {
        return false;
    }
    // The bit first, then the look: if the block is still Shared now, whoever closes it later sees
    // the bit. A bit that was set in vain, in another use of the block, only delays its end.
    readers->insert(lane);
    const BlockWord word = BlockWord::unpack(row_of(ref.block)->word.load());
    if (word.state == BlockState::Shared && word.version == ref.version) {
        return true;
    }
    close(ref, lane);
    return false;
}

void BlockPool::close(BlockRef ref, std::uint32_t lane) noexcept {
    LaneSet* readers = readers_of(ref.block);
    if (readers != nullptr && lane <= lanes_) {
        readers->erase(lane);
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
    const BlockWord word = BlockWord::unpack(row_of(block)->word.load());
    if (word.state == BlockState::Closed && !readers_of(block)->any()) {
        (void)change({block, word.version}, word, {BlockState::Free, word.version, {}});
    }
}

void BlockPool::sweep(Owner dead) noexcept {
    for (std::uint32_t block = 0; block < blocks_; ++block) {
        const BlockWord word = BlockWord::unpack(row_of(block)->word.load());
        if (word.owner == dead && word.state != BlockState::Free) {
            (void)release({block, word.version}, dead);
        }
        if (LaneSet* readers = readers_of(block); readers->contains(dead.lane)) {
            readers->erase(dead.lane);
        }
        // Whether or not the dead one had a part in it: it may have died between its last step and
        // the look at who is left.
        free_if_unread(block);
    }
}

BlockUsage BlockPool::usage(std::size_t block_class) const noexcept {
    const Region& region = regions_[block_class];
    BlockUsage usage;
    usage.size = region.shape.size;
    for (std::uint64_t i = 0; i < region.shape.count; ++i) {
        const BlockWord word =
            BlockWord::unpack(region.rows[i].word.load(std::memory_order_relaxed));
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
