#pragma once

// What happened, for those who want to follow it: the last kEventSlots events as JSON lines,
// written by the master alone, read by anybody without disturbing it. Followers sleep in futex(2)
// on a word of the ring, which works on a read-only mapping and when the master hangs or is dead.

#include "shm/limits.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace topsman::shm {

struct EventLine {
    std::uint64_t seq;
    std::string json;
};

/// As it lies in the segment.
class EventRing {
  public:
    void init() noexcept;

    /// Single writer. The number of the next event is last_seq() + 1; `json` is cut off an event
    /// that is too long only at the caller's side: longer than kEventBytes is a CHECK.
    void append(std::string_view json) noexcept;

    [[nodiscard]] std::uint64_t last_seq() const noexcept;

    /// Events with a number above `since` that are still there, oldest first. Safe on hostile
    /// bytes.
    [[nodiscard]] std::vector<EventLine> read_since(std::uint64_t since) const;

    /// Waits until there is an event above `since` or the deadline passed. True: there is one.
    [[nodiscard]] bool wait(std::uint64_t since,
                            std::chrono::steady_clock::time_point deadline) const noexcept;

  private:
    struct Entry {
        std::atomic<std::uint64_t> seq;  ///< 0 while it is being written
        std::atomic<std::uint64_t> length;
        std::atomic<std::uint64_t> words[kEventBytes / 8];
    };

    std::atomic<std::uint64_t> last_;
    mutable std::atomic<std::uint32_t> bell_;  ///< futex word: low half of last_
    Entry entry_[kEventSlots];
};

}  // namespace topsman::shm
