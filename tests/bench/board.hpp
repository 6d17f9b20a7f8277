#pragma once

// What the helpers read of a running cluster: its scoreboard and its events, as any onlooker does.

#include "shm/segment.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace topsman::bench {

/// One `worker.*` event of the ring.
struct WorkerEvent {
    std::string name;
    std::int64_t slot = -1;
    std::int64_t pid = -1;
};

/// Follows the ring from where it is now. Asleep on its futex it costs the master one wake-up.
class EventFollower {
  public:
    explicit EventFollower(const shm::Segment& segment);

    /// The next one; none when the deadline (by now_ns()) has passed.
    [[nodiscard]] std::optional<WorkerEvent> next(std::int64_t deadline_ns);

  private:
    const shm::EventRing& ring_;
    std::uint64_t seen_;
    std::vector<WorkerEvent> pending_;
};

/// The workers that serve, of all pools.
[[nodiscard]] std::vector<shm::WorkerRecord> serving_workers(const shm::Segment& segment);

/// Waits up to 60 s until the segment of the cluster exists and `count` workers serve.
[[nodiscard]] shm::Segment wait_for_workers(const std::string& cluster, std::size_t count);

}  // namespace topsman::bench
