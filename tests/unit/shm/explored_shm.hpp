#pragma once

// The product's own queue, channel and parking, compiled once more with an atomic that the explorer
// stops at: all that is in namespace topsman::shm elsewhere is in topsman::shm_explored here. A
// second file that includes this defines shm_explored as another name before. Nothing of shm/
// beside it.

#include "explorer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace topsman::explorer {

/// std::atomic as far as it is used; each operation is one step.
template <class T>
class Atomic {
  public:
    static constexpr bool is_always_lock_free = true;

    Atomic() = default;

    constexpr Atomic(T value) noexcept : value_(value) {}  // NOLINT: as std::atomic's

    Atomic(const Atomic&) = delete;
    Atomic& operator=(const Atomic&) = delete;

    T load(std::memory_order = {}) const noexcept {
        step(this);
        T value = value_;
        if (const void* own = kept(this)) {
            std::memcpy(&value, own, sizeof(value));
        }
        return seen(value);
    }

    void store(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
        step(this);
        if (order == std::memory_order_seq_cst) {
            let_go();
        } else if (keep(&value_, &value, sizeof(value))) {
            return;
        }
        value_ = value;
    }

    T exchange(T value, std::memory_order = {}) noexcept {
        return change([&](T) { return value; });
    }

    T fetch_add(T value, std::memory_order = {}) noexcept {
        return change([&](T old) { return static_cast<T>(old + value); });
    }

    T fetch_sub(T value, std::memory_order = {}) noexcept {
        return change([&](T old) { return static_cast<T>(old - value); });
    }

    T fetch_and(T value, std::memory_order = {}) noexcept {
        return change([&](T old) { return old & value; });
    }

    T fetch_or(T value, std::memory_order = {}) noexcept {
        return change([&](T old) { return old | value; });
    }

    bool compare_exchange_strong(T& expected, T value, std::memory_order = {}) noexcept {
        step(this);
        let_go();
        const T old = seen(value_);
        if (old != expected) {
            expected = old;
            return false;
        }
        value_ = value;
        return true;
    }

    bool compare_exchange_weak(T& expected, T value, std::memory_order = {}) noexcept {
        return compare_exchange_strong(expected, value);
    }

  private:
    T seen(T value) const noexcept {
        saw(this, static_cast<std::uint64_t>(value));
        return value;
    }

    template <class Change>
    T change(Change&& change) noexcept {
        step(this);
        let_go();
        const T old = seen(value_);
        value_ = change(old);
        return old;
    }

    T value_{};
};

}  // namespace topsman::explorer

namespace std {
template <class T>
using explored_atomic = topsman::explorer::Atomic<T>;

inline void explored_thread_fence(std::memory_order) noexcept {
    topsman::explorer::let_go();
}
}  // namespace std

// NOLINTBEGIN(bugprone-suspicious-include): that is the idea
#define atomic explored_atomic
#define atomic_thread_fence explored_thread_fence
#define shm shm_explored
#include "shm/channel.cpp"
#include "shm/channel_sweep.cpp"
#include "shm/inbox_reader.cpp"
#include "shm/job_queue.cpp"
#include "shm/job_queue_keys.cpp"
#include "shm/job_queue_results.cpp"
#include "shm/job_queue_sweep.cpp"
#include "shm/job_queue_wait.cpp"
#include "shm/later_jobs.cpp"
#include "shm/parking.cpp"

// NOLINTEND(bugprone-suspicious-include)

namespace topsman::shm {

bool futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t seen,
                Deadline /*deadline*/) noexcept {
    explorer::let_go();
    if (word.load() == seen) {  // and sleeps, in the same step
        explorer::sleep_on(&word);
    }
    return true;
}

void futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept {
    explorer::step(&word);
    explorer::let_go();
    explorer::wake_all(&word);
}

/// Without it, what must be found is found.
inline bool has_fences = true;

void heavy_fence() noexcept {
    if (has_fences) {
        explorer::let_all_go();
    }
}

bool has_heavy_fence() noexcept {
    return true;
}

Deadline until_next_look(Deadline deadline) noexcept {
    return deadline;
}

inline void expect_right(const explorer::Explored& found) {
    EXPECT_EQ(found.failure, "");
    EXPECT_GT(found.runs, 1U);
}

/// What the processes of a scenario share: an object of so many bytes, and their lanes behind it.
class ExploredMemory : public testing::Test {
  protected:
    static constexpr std::uint32_t kLanes = 4;

    explicit ExploredMemory(std::size_t object_bytes)
        : bytes_(object_bytes + (kLanes + 1) * sizeof(Lane)),
          memory_(new (std::align_val_t{kCacheLine}) std::byte[bytes_]),
          lanes_(reinterpret_cast<Lane*>(memory_ + object_bytes), kLanes + 1) {}

    ExploredMemory(const ExploredMemory&) = delete;
    ExploredMemory& operator=(const ExploredMemory&) = delete;

    ~ExploredMemory() override { operator delete[](memory_, std::align_val_t{kCacheLine}); }

    [[nodiscard]] std::span<std::byte> all() const { return {memory_, bytes_}; }

    [[nodiscard]] std::span<Lane> lanes() const { return lanes_; }

    /// Every run begins as a thread does that has not waited for anything yet.
    static void forget_what_was_learned() {
        looks = kLeastLooks;
        times_in_vain = 0;
        turn = 0;
    }

  private:
    std::size_t bytes_;
    std::byte* memory_;
    std::span<Lane> lanes_;
};

}  // namespace topsman::shm
