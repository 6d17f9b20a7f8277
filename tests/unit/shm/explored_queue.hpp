#pragma once

// A queue that a few processes of the explorer share, and what is the same in all that is explored
// of it. A second file that includes this defines shm_explored as another name before.

#include "explored_shm.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace topsman::shm {

class ExploredQueue : public ExploredMemory {
  protected:
    static constexpr Owner kVerifier{4, 1};  ///< the others are those of the processes, from 1 on

    using Processes = std::vector<std::function<void()>>;

    /// What is wrong in the end. `dead` is the number of a process; as many as there are: none.
    using End = std::function<std::string(std::size_t dead, bool somebody_sleeps)>;

    explicit ExploredQueue(const QueueShape& shape)
        : ExploredMemory(queue_bytes(shape)), shape_(shape) {}

    JobQueue queue() { return JobQueue(all().data(), shape_, lanes()); }

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
            forget_what_was_learned();
            for (const std::uint32_t lane : {1U, 2U, 3U}) {
                queue().join({lane, 1});
            }
            begin();
        };
        scenario.processes = processes;
        scenario.may_die = may_die;
        scenario.sweep = [this](std::size_t dead) {
            (void)queue().sweep({static_cast<std::uint32_t>(dead + 1), 1});
            wake_everyone(lanes());
        };
        scenario.end = [&end](std::size_t dead, const std::vector<std::size_t>& asleep) {
            return end(dead, !asleep.empty());
        };
        return explorer::explore(scenario);
    }

  private:
    QueueShape shape_;
};

}  // namespace topsman::shm
