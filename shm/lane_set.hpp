#pragma once

#include "shm/limits.hpp"

#include <atomic>
#include <cstdint>

namespace topsman::shm {

/// A set of lanes, as it lies in the segment: an array of words from the first version, so that
/// more lanes are never another layout. Each bit is changed by its lane's holder, or by the sweep.
struct alignas(kCacheLine) LaneSet {
    static constexpr std::uint32_t kWords = (kMaxLanes + 1) / 64;
    std::atomic<std::uint64_t> words[kWords];

    void insert(std::uint32_t lane) noexcept { words[lane / 64].fetch_or(bit(lane)); }

    void erase(std::uint32_t lane) noexcept { words[lane / 64].fetch_and(~bit(lane)); }

    /// erase(); true: it was in the set, and the caller is the one who took it out.
    bool take_out(std::uint32_t lane) noexcept {
        return (words[lane / 64].fetch_and(~bit(lane)) & bit(lane)) != 0;
    }

    [[nodiscard]] bool contains(std::uint32_t lane) const noexcept {
        return (words[lane / 64].load() & bit(lane)) != 0;
    }

    [[nodiscard]] bool any() const noexcept {
        for (const auto& word : words) {
            if (word.load() != 0) {
                return true;
            }
        }
        return false;
    }

    /// Is any lane but this one in the set?
    [[nodiscard]] bool any_but(std::uint32_t lane) const noexcept {
        for (std::uint32_t i = 0; i < kWords; ++i) {
            const std::uint64_t word = words[i].load();
            if ((i == lane / 64 ? word & ~bit(lane) : word) != 0) {
                return true;
            }
        }
        return false;
    }

  private:
    static constexpr std::uint64_t bit(std::uint32_t lane) noexcept {
        return std::uint64_t{1} << (lane % 64);
    }
};

}  // namespace topsman::shm
