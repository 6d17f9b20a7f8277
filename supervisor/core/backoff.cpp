#include "supervisor/core/backoff.hpp"

#include <algorithm>
#include <cmath>

namespace topsman::core {

Duration clock_duration(config::Duration duration) {
    constexpr config::Duration kLongest = std::chrono::hours(24 * 365 * 10);
    return std::clamp(duration, config::Duration::zero(), kLongest);
}

Duration backoff_delay(const config::Backoff& backoff, std::uint32_t failures, double unit) {
    const Duration initial = clock_duration(backoff.initial);
    const Duration longest = clock_duration(backoff.max);
    if (failures < 2 || initial == Duration::zero()) {
        return Duration::zero();
    }
    // In floating point the power may become infinite; the cut comes before the way back.
    const double grown =
        static_cast<double>(initial.count()) * std::pow(backoff.factor, failures - 2);
    const double capped = std::min(grown, static_cast<double>(longest.count()));
    const double jittered = capped * (1.0 + backoff.jitter * unit);
    const double wait = std::clamp(jittered, 0.0, static_cast<double>(longest.count()));
    return Duration(static_cast<Duration::rep>(wait));
}

}  // namespace topsman::core
