#pragma once

// Has a listener's wake-up died with a worker?
//
// The kernel wakes one of those that wait at a socket together (EPOLLEXCLUSIVE, a blocking accept).
// If that one is killed or stopped before its accept, the connection lies in the queue, and its
// siblings sleep beside it until the next one comes. So after a death or a freeze the queue is
// looked at; while it stays non-empty beside a worker that sleeps, somebody has to be woken: by a
// connection of our own, for nothing else wakes a program that knows nothing of us.

#include "supervisor/core/types.hpp"

#include <cstdint>
#include <optional>
#include <set>

namespace topsman::core {

/// The doubt about one listener, from a death to the look that ends it.
class QueueDoubt {
  public:
    enum class Verdict : std::uint8_t {
        Wait,      ///< look again at next_look()
        Nudge,     ///< make one connection, then look again at next_look()
        Settled,   ///< nobody waits: no doubt is left
        Helpless,  ///< it was nudged often enough: who sleeps there does not accept
    };

    /// The first look is due at once.
    explicit QueueDoubt(TimePoint now) : began_(now), next_look_(now) {}

    /// `waiting`: connections in the queue. `asleep`: workers that serve it, and sleep now.
    [[nodiscard]] Verdict look(std::uint32_t waiting, const std::set<WorkerId>& asleep,
                               TimePoint now);

    [[nodiscard]] TimePoint next_look() const { return next_look_; }

  private:
    TimePoint began_;
    TimePoint next_look_;
    std::optional<TimePoint> since_;  ///< `asleep_` have slept beside the queue at every look
    std::set<WorkerId> asleep_;
    std::uint32_t nudges_ = 0;
};

}  // namespace topsman::core
