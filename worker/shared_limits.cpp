// The limits that workers share, by name: semaphores, bounded counters, rate limits. What the file
// declares has its row before any worker asks; else the first one to ask makes it.

#include "shm/bounded_counter.hpp"
#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"
#include "topsman/worker.hpp"
#include "worker/process.hpp"

namespace topsman {

namespace {

using detail::Process;
using shm::NameKind;

Error invalid(const char* kind, std::string_view name, const std::string& what) {
    return plain_error(std::string(kind) + " " + std::string(name) + ": " + what,
                       std::errc::invalid_argument);
}

Result<std::uint32_t> declared_row(const shm::NameTable& names, std::string_view name,
                                   NameKind kind, const char* word, const char* key) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const auto entry = names.find(name, kind);
    if (!entry) {
        return plain_error(std::string(word) + " " + std::string(name) + ": declare it under " +
                               key + ", or give its numbers here",
                           std::errc::invalid_argument);
    }
    return entry->row;
}

Result<std::uint32_t> added_row(Process& process, shm::NameTable& names, std::string_view name,
                                NameKind kind, const std::function<void(std::uint32_t)>& prepare) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    return names.find_or_add(name, kind, 0, process.owner, prepare);
}

}  // namespace

Result<Semaphore> Worker::semaphore(std::string_view name, std::uint32_t permits) {
    if (permits == 0 || permits > shm::Semaphore::kMostPermits) {
        return invalid("semaphore", name,
                       "it can have 1 to " + std::to_string(shm::Semaphore::kMostPermits) +
                           " permits, not " + std::to_string(permits));
    }
    const auto row =
        added_row(*process_, *process_->array_names, name, NameKind::Semaphore,
                  [&](std::uint32_t i) { shm::Semaphore(process_->arrays[i]).init(permits); });
    if (!row) {
        return row.error();
    }
    const Semaphore semaphore(&process_->arrays[*row]);
    if (semaphore.permits() != permits) {
        return invalid("semaphore", name,
                       "it has " + std::to_string(semaphore.permits()) + " permits, not " +
                           std::to_string(permits));
    }
    return semaphore;
}

Result<Semaphore> Worker::semaphore(std::string_view name) {
    const auto row = declared_row(*process_->array_names, name, NameKind::Semaphore, "semaphore",
                                  "shared.semaphores");
    if (!row) {
        return row.error();
    }
    return Semaphore(&process_->arrays[*row]);
}

Result<BoundedCounter> Worker::bounded_counter(std::string_view name, std::uint64_t limit) {
    const auto row =
        added_row(*process_, *process_->object_names, name, NameKind::BoundedCounter,
                  [&](std::uint32_t i) { shm::BoundedCounter(process_->objects[i]).init(limit); });
    if (!row) {
        return row.error();
    }
    const BoundedCounter counter(&process_->objects[*row]);
    if (counter.limit() != limit) {
        return invalid(
            "bounded counter", name,
            "its limit is " + std::to_string(counter.limit()) + ", not " + std::to_string(limit));
    }
    return counter;
}

Result<RateLimiter> Worker::rate_limiter(std::string_view name, std::chrono::nanoseconds interval,
                                         std::uint32_t burst) {
    if (interval < std::chrono::microseconds(1) || interval > std::chrono::hours(1) || burst == 0 ||
        burst > shm::RateLimit::kMostBurst) {
        return invalid("rate limit", name,
                       "an interval is 1 us to an hour, a burst 1 to " +
                           std::to_string(shm::RateLimit::kMostBurst));
    }
    const shm::RateLimit::Rule rule{static_cast<std::uint64_t>(interval.count()), burst};
    const auto row =
        added_row(*process_, *process_->object_names, name, NameKind::RateLimit,
                  [&](std::uint32_t i) { shm::RateLimit(process_->objects[i]).init(rule); });
    if (!row) {
        return row.error();
    }
    const RateLimiter limiter(&process_->objects[*row]);
    if (limiter.interval() != interval || limiter.burst() != burst) {
        return invalid("rate limit", name,
                       "it lets in one every " + std::to_string(limiter.interval().count()) +
                           " ns and " + std::to_string(limiter.burst()) + " at once, not " +
                           std::to_string(interval.count()) + " ns and " + std::to_string(burst));
    }
    return limiter;
}

Result<RateLimiter> Worker::rate_limiter(std::string_view name) {
    const auto row = declared_row(*process_->object_names, name, NameKind::RateLimit, "rate limit",
                                  "shared.rate_limits");
    if (!row) {
        return row.error();
    }
    return RateLimiter(&process_->objects[*row]);
}

}  // namespace topsman
