#pragma once

// Too many failures in too short a time. Remembers at most `burst` of them.

#include "supervisor/core/types.hpp"

#include <deque>
#include <vector>

namespace topsman::core {

class StartLimit {
  public:
    /// Counts a failure at `now`. True: the limit is reached.
    bool record(const config::StartLimit& limit, TimePoint now);

    void clear() { failures_.clear(); }

    [[nodiscard]] std::size_t size() const { return failures_.size(); }

    /// The oldest first, for another master to resume().
    [[nodiscard]] std::vector<TimePoint> failures() const {
        return {failures_.begin(), failures_.end()};
    }

    void resume(const std::vector<TimePoint>& failures) {
        failures_.assign(failures.begin(), failures.end());
    }

  private:
    std::deque<TimePoint> failures_;
};

}  // namespace topsman::core
