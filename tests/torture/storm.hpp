#pragma once

// Worker processes that are killed at random while they work, swept, and started again, until all
// of them have finished. Complements the single steps: several deaths at once, contended locks,
// deaths of those who wait, real parallelism.

#include "shm/lane.hpp"
#include "shm/segment.hpp"

#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <sys/types.h>
#include <vector>

namespace topsman::torture {

struct StormPlan {
    std::uint32_t workers = 10;
    /// A worker's whole work, from wherever the last holder of its lane left it.
    std::function<void(shm::Owner)> work;
    /// How far the holders of a lane have come: kills are timed by it.
    std::function<std::uint64_t(std::uint32_t lane)> progress;
    /// Looks on all the time, may be empty.
    std::function<void()> observe = {};
    std::uint64_t most_progress_between_kills = 100;
    /// After so many kills `enough` is called, and the rest is left in peace.
    std::uint64_t most_kills = UINT64_MAX;
    std::function<void()> enough = {};
};

class Storm {
  public:
    Storm(shm::Segment& segment, StormPlan plan, std::uint64_t seed);
    ~Storm();
    Storm(const Storm&) = delete;
    Storm& operator=(const Storm&) = delete;

    /// Until every worker has finished its work. Each lane has one worker: a segment of as many
    /// lanes as there are workers is needed.
    void run();

    [[nodiscard]] std::uint64_t kills() const noexcept { return kills_; }

    [[nodiscard]] std::uint64_t kills_of(std::uint32_t lane) const { return kills_of_[lane]; }

  private:
    struct Worker {
        pid_t pid = -1;
        shm::Owner owner;
    };

    void start();
    void kill(std::size_t index);
    /// The process of a worker that has finished is gone; its lane stays its own.
    void reap_finished();
    void await_progress(const Worker& worker, std::uint64_t steps) const;
    void await_all();

    shm::Segment& segment_;
    StormPlan plan_;
    std::mt19937_64 random_;
    std::vector<Worker> running_;
    std::vector<std::uint64_t> kills_of_;
    std::uint64_t kills_ = 0;
};

/// The memory of a ledger outside the segment: one number for each lane.
[[nodiscard]] std::span<std::uint64_t> new_ledger(std::uint32_t lanes);

}  // namespace topsman::torture
