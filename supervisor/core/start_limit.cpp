#include "supervisor/core/start_limit.hpp"

#include "supervisor/core/backoff.hpp"

namespace topsman::core {

bool StartLimit::record(const config::StartLimit& limit, TimePoint now) {
    if (limit.burst == 0) {
        failures_.clear();
        return false;
    }
    failures_.push_back(now);
    while (failures_.size() > limit.burst ||
           now - failures_.front() > clock_duration(limit.interval)) {
        failures_.pop_front();
    }
    return failures_.size() >= limit.burst;
}

}  // namespace topsman::core
