#pragma once

// What is told of a change while it is waited for, as `kubectl rollout status` does: who is ready,
// who leaves, how far a rollout is. It comes from the events and the scoreboard: the master is not
// asked.

#include "shm/segment.hpp"

#include <map>
#include <optional>
#include <ostream>
#include <string>

namespace topsman::control {

/// One event in words; none: it is not worth a line, or is no event (any worker can write there).
[[nodiscard]] std::optional<std::string> progress_line(const std::string& event);

class Progress {
  public:
    /// From now on. A segment that cannot be read tells nothing.
    Progress(const std::string& segment, std::ostream& out);

    /// What has happened since the last time.
    void tell();

  private:
    void tell_rollouts();

    std::optional<shm::Segment> segment_;
    std::ostream& out_;
    std::uint64_t last_ = 0;
    std::map<std::string, std::string> rollouts_;  ///< by pool: "rolling 2/4"
};

}  // namespace topsman::control
