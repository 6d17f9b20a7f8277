#pragma once

// What the configuration says of blocks; fixed when the segment is made.

#include "shm/limits.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace topsman::shm {

/// `shared.blocks: { 16KiB: 1024 }` is {16'384, 1'024}. {0, 0}: there is no such class.
struct BlockClass {
    std::uint64_t size;   ///< bytes of one block
    std::uint64_t count;  ///< how many
    friend constexpr bool operator==(const BlockClass&, const BlockClass&) = default;
};

/// Rising sizes, then those that a reload has added, in its order, then zeroes.
using BlockClasses = std::array<BlockClass, kMaxBlockClasses>;

/// Each block begins at a line of its own.
constexpr std::uint64_t block_stride(const BlockClass& one) noexcept {
    return (one.size + kCacheLine - 1) / kCacheLine * kCacheLine;
}

constexpr std::uint64_t block_count(const BlockClasses& classes) noexcept {
    std::uint64_t count = 0;
    for (const BlockClass& one : classes) {
        count += one.count;
    }
    return count;
}

constexpr std::uint64_t block_bytes(const BlockClasses& classes) noexcept {
    std::uint64_t bytes = 0;
    for (const BlockClass& one : classes) {
        bytes += block_stride(one) * one.count;
    }
    return bytes;
}

/// Are they within all limits? Then no size that follows from them overflows. `first`: how many
/// were not added later.
[[nodiscard]] constexpr bool is_sound(const BlockClasses& classes,
                                      std::size_t first = kMaxBlockClasses) noexcept {
    std::uint64_t count = 0;
    bool is_end = false;
    for (std::size_t i = 0; i < classes.size(); ++i) {
        const BlockClass& one = classes[i];
        is_end = is_end || one == BlockClass{};
        if (is_end ? one != BlockClass{}
                   : one.size == 0 || one.size > kMaxBlockBytes || one.count == 0 ||
                         one.count > kMaxBlocks) {
            return false;
        }
        for (std::size_t before = 0; before < i && !is_end; ++before) {
            const bool may_be_less = i >= first;
            if (classes[before].size == one.size ||
                (classes[before].size > one.size && !may_be_less)) {
                return false;
            }
        }
        count += one.count;
    }
    return count <= kMaxBlocks;
}

/// Bytes in the segment: the memory, and what says whose it is.
[[nodiscard]] std::size_t blocks_bytes(const BlockClasses& classes) noexcept;

/// The same of a class that is added later: its words, its readers and its memory, each from a line
/// of its own.
[[nodiscard]] std::size_t late_blocks_bytes(const BlockClass& one) noexcept;

}  // namespace topsman::shm
