#include "topsman/rate_limiter.hpp"

#include "shm/rate_limit.hpp"
#include "worker/process.hpp"

namespace topsman {

bool RateLimiter::allow(std::uint32_t n) noexcept {
    return detail::is_detached() || shm::RateLimit(*object_).allow(n, shm::monotonic_ns());
}

std::chrono::steady_clock::time_point RateLimiter::delay_until(std::uint32_t n) const noexcept {
    using TimePoint = std::chrono::steady_clock::time_point;
    const std::uint64_t at = shm::RateLimit(*object_).allowed_at(n, shm::monotonic_ns());
    return at == UINT64_MAX ? TimePoint::max()
                            : TimePoint(std::chrono::nanoseconds(static_cast<std::int64_t>(at)));
}

std::chrono::nanoseconds RateLimiter::interval() const noexcept {
    return std::chrono::nanoseconds(shm::RateLimit(*object_).rule().interval_ns);
}

std::uint32_t RateLimiter::burst() const noexcept {
    return shm::RateLimit(*object_).rule().burst;
}

}  // namespace topsman
