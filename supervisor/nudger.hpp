#pragma once

// Wakes a worker for a connection whose wake-up died with another one. The core's QueueDoubt says
// when to look at a listener's queue and when to act; this looks and acts.

#include "supervisor/chronicle.hpp"
#include "supervisor/core/queue_doubt.hpp"
#include "supervisor/core/supervisor_core.hpp"
#include "supervisor/posix/listener.hpp"
#include "supervisor/worker_table.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace topsman::supervisor {

class Nudger {
  public:
    Nudger(std::vector<posix::BoundListener>& listeners, const WorkerTable& workers,
           Chronicle& chronicle)
        : listeners_(listeners), workers_(workers), chronicle_(chronicle) {}

    /// A worker has died or was stopped: whatever it was to take from the shared listeners may lie
    /// there still. (A reuse_port socket is its worker's own; the successor finds what lies there.)
    void doubt(core::TimePoint now);

    /// When look() is due; nobody is in doubt, nothing is due.
    [[nodiscard]] std::optional<core::TimePoint> next_look() const;

    /// True if it nudged: a listener's count has changed.
    bool look(const core::Snapshot& snapshot, core::TimePoint now);

  private:
    struct Case {
        core::QueueDoubt doubt;
        UniqueFd nudge;  ///< a connection that was not made yet when we looked last
    };

    bool look_at(posix::BoundListener& listener, Case& open, const core::Snapshot& snapshot,
                 core::TimePoint now);
    [[nodiscard]] std::set<core::WorkerId> asleep_at(int socket,
                                                     const core::Snapshot& snapshot) const;

    std::vector<posix::BoundListener>& listeners_;
    const WorkerTable& workers_;
    Chronicle& chronicle_;
    std::map<std::uint32_t, Case> cases_;  ///< by the listener's row
};

}  // namespace topsman::supervisor
