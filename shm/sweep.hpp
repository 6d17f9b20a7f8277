#pragma once

// Granting lanes and giving back what the dead held. Only the master calls these, and only for
// processes that the kernel says are dead: it has reaped them, or found their pid and start time
// gone. Every step is idempotent: a master killed in the middle of a sweep leaves a lane DEAD, and
// the next master sweeps it again.

#include "shm/base/result.hpp"
#include "shm/base/slot_name.hpp"
#include "shm/segment.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace topsman::shm {

struct LaneGrant {
    std::uint32_t lane = 0;
    std::uint32_t generation = 0;
};

/// FREE -> STARTING(epoch) for the first free lane; clears its last words, flags, requests and
/// heartbeat. `seat`: kSeatHeld for a spare. Error: all lanes are in use
/// (errc::resource_unavailable_try_again).
[[nodiscard]] Result<LaneGrant> grant_lane(Segment& segment, std::uint64_t worker,
                                           std::uint32_t slot,
                                           std::uint32_t seat = kNoSpare) noexcept;

/// The spare in that lane has a seat from here on: it wakes up, and knows its slot. kNoSlot: it
/// wakes up and has none, because it is to leave. Nothing happens to one that waits for none.
void release_spare(Segment& segment, std::uint32_t lane, std::uint32_t slot) noexcept;

/// The child's first act after fork: STARTING(epoch) -> STARTED(pid). False: the lane is no longer
/// ours, the child must _exit. Async-signal-safe.
[[nodiscard]] bool claim_lane(Lane& lane, std::uint32_t generation, std::uint32_t epoch,
                              std::uint32_t pid) noexcept;

/// Gives back all that the lane's dead holder held and frees the lane. Wakes whoever may wait for
/// it. Does nothing if the lane's generation is another one.
void sweep_lane(Segment& segment, std::uint32_t lane, std::uint32_t generation) noexcept;

/// What a new master does with the lanes a dead one left: sweeps all whose process is gone
/// (`is_alive(pid, start_ticks)` asks the kernel), frees those never started and what the dead
/// master itself held, and returns the living ones. A lane with an illegal word is left alone: it
/// is never granted again.
struct LivingWorker {
    std::uint32_t lane = 0;
    std::uint32_t generation = 0;
    std::uint32_t pid = 0;
    std::uint64_t start_ticks = 0;  ///< 0: its master died before it wrote it down
    std::uint64_t worker = 0;
};

[[nodiscard]] std::vector<LivingWorker> sweep_dead_lanes(
    Segment& segment,
    const std::function<bool(std::uint32_t pid, std::uint64_t start_ticks)>& is_alive);

/// All that were started by earlier masters and not swept, dead or alive. Changes nothing.
[[nodiscard]] std::vector<LivingWorker> find_started(const Segment& segment);

/// The same question of a segment that is only looked at; sweeps nothing.
[[nodiscard]] std::vector<LivingWorker> find_living(
    const Segment& segment,
    const std::function<bool(std::uint32_t pid, std::uint64_t start_ticks)>& is_alive);

}  // namespace topsman::shm
