#pragma once

// A queue that a few processes of the explorer share, and what is the same in all that is explored
// of it. A second file that includes this defines shm_explored as another name before.

#include "explored_shm.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace topsman::shm {

inline void expect_right(const explorer::Explored& found) {
    EXPECT_EQ(found.failure, "");
    EXPECT_GT(found.runs, 1U);
}

class ExploredQueue : public testing::Test {
  protected:
    static constexpr std::uint32_t kLanes = 4;
    static constexpr Owner kVerifier{4, 1};  ///< the others are those of the processes, from 1 on

    using Processes = std::vector<std::function<void()>>;

    /// What is wrong in the end. `dead` is the number of a process; as many as there are: none.
    using End = std::function<std::string(std::size_t dead, bool somebody_sleeps)>;

    explicit ExploredQueue(const QueueShape& shape)
        : shape_(shape),
          bytes_(queue_bytes(shape) + (kLanes + 1) * sizeof(Lane) + kCacheLine),
          memory_(new (std::align_val_t{kCacheLine}) std::byte[bytes_]),
          lanes_(reinterpret_cast<Lane*>(memory_ + queue_bytes(shape)), kLanes + 1) {}

    ExploredQueue(const ExploredQueue&) = delete;
    ExploredQueue& operator=(const ExploredQueue&) = delete;

    ~ExploredQueue() override { operator delete[](memory_, std::align_val_t{kCacheLine}); }

    JobQueue queue() { return JobQueue(memory_, shape_, lanes_); }

    std::span<std::byte> all() { return {memory_, bytes_}; }

    /// From one part of the queue up to another.
    static std::span<std::byte> between(const void* first, const void* end) {
        auto* begin = static_cast<std::byte*>(const_cast<void*>(first));
        return {begin, static_cast<std::size_t>(static_cast<const std::byte*>(end) - begin)};
    }

    /// Each access to `shared` is a step.
    explorer::Explored explore_in(std::span<std::byte> shared, const std::function<void()>& begin,
                                  const Processes& processes, const std::vector<bool>& may_die,
                                  const End& end) {
        explorer::Scenario scenario;
        scenario.arena = all();
        scenario.shared = shared;
        scenario.begin = [this, &begin] {
            looks = kLeastLooks;
            times_in_vain = 0;
            turn = 0;
            for (const std::uint32_t lane : {1U, 2U, 3U}) {
                queue().join({lane, 1});
            }
            begin();
        };
        scenario.processes = processes;
        scenario.may_die = may_die;
        scenario.sweep = [this](std::size_t dead) {
            (void)queue().sweep({static_cast<std::uint32_t>(dead + 1), 1});
            wake_everyone(lanes_);
        };
        scenario.end = [&end](std::size_t dead, const std::vector<std::size_t>& asleep) {
            return end(dead, !asleep.empty());
        };
        return explorer::explore(scenario);
    }

  private:
    QueueShape shape_;
    std::size_t bytes_;
    std::byte* memory_;
    std::span<Lane> lanes_;
};

}  // namespace topsman::shm
