#pragma once

#include "shm/atomic_words.hpp"
#include "shm/limits.hpp"

#include <atomic>
#include <cstdint>
#include <type_traits>

namespace topsman::shm {

/// A record with one writer and any number of readers that never wait.
///
/// Two copies and an index: the writer fills the copy that nobody is told to read, then one store
/// of the index publishes it. A writer killed at any instruction leaves the published copy whole,
/// which a seqlock does not (its writer can die odd). A reader that was overtaken while it copied
/// sees the index changed and copies again.
template <class T>
class TwoCopy {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 8 == 0);

  public:
    /// Single writer only.
    void store(const T& value) noexcept {
        const std::uint32_t index = index_.load(std::memory_order_relaxed);
        store_words(copies_[(index + 1) & 1U], &value, sizeof(T));
        index_.store(index + 1, std::memory_order_release);
    }

    /// A consistent copy. False after `tries` overtakings (a hostile or very busy writer).
    [[nodiscard]] bool load(T& value, int tries = 64) const noexcept {
        for (int i = 0; i < tries; ++i) {
            const std::uint32_t before = index_.load(std::memory_order_acquire);
            load_words(&value, copies_[before & 1U], sizeof(T));
            if (index_.load(std::memory_order_relaxed) == before) {
                return true;
            }
        }
        return false;
    }

    /// Changes with each store; a cheap way to see whether anything is new.
    [[nodiscard]] std::uint32_t version() const noexcept {
        return index_.load(std::memory_order_acquire);
    }

  private:
    using Words = std::atomic<std::uint64_t>[sizeof(T) / 8];

    alignas(kCacheLine) std::atomic<std::uint32_t> index_;
    Words copies_[2];
};

}  // namespace topsman::shm
