// Who may go on: mutexes and rate limits.

#include "worker/c/handles.hpp"
#include "worker/c/last_error.hpp"

#include <tuple>

using topsman::c::deadline_of;
using topsman::c::guarded;
using topsman::c::null_argument;

namespace {

/// The same mutex with another repair is another handle.
using MutexKey = std::tuple<std::string, topsman_repair, void*>;

int refused(std::errc code, const char* sentence) {
    return topsman::c::failed(std::make_error_code(code), sentence);
}

}  // namespace

extern "C" {

int topsman_mutex_open(topsman_worker* worker, const char* name, topsman_repair repair,
                       void* context, topsman_mutex** mutex) {
    if (worker == nullptr || name == nullptr || repair == nullptr || mutex == nullptr) {
        return null_argument(__func__);
    }
    const auto find = [&] {
        return worker->worker.mutex(name, [repair, context] { return repair(context) != 0; });
    };
    return topsman::c::open<MutexKey>(find, mutex, name, repair, context);
}

int topsman_mutex_lock(topsman_mutex* mutex, int64_t timeout_ns) {
    if (mutex == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] {
        if (timeout_ns < 0) {
            mutex->mutex.lock();
            return 0;
        }
        if (timeout_ns == 0) {
            return mutex->mutex.try_lock() ? 0
                                           : refused(std::errc::device_or_resource_busy,
                                                     "the mutex is held by another");
        }
        return mutex->mutex.try_lock_until(deadline_of(timeout_ns))
                   ? 0
                   : refused(std::errc::timed_out, "the mutex was held by another");
    });
}

void topsman_mutex_unlock(topsman_mutex* mutex) {
    if (mutex != nullptr) {
        mutex->mutex.unlock();
    }
}

int topsman_rate_limiter_open(topsman_worker* worker, const char* name, int64_t interval_ns,
                              uint32_t burst, topsman_rate_limiter** limiter) {
    if (worker == nullptr || name == nullptr || limiter == nullptr) {
        return null_argument(__func__);
    }
    const auto find = [&] {
        const bool is_declared = interval_ns == 0 && burst == 0;
        return is_declared ? worker->worker.rate_limiter(name)
                           : worker->worker.rate_limiter(
                                 name, std::chrono::nanoseconds(interval_ns), burst);
    };
    return topsman::c::open(find, limiter, name);
}

int topsman_rate_allow(topsman_rate_limiter* limiter, uint32_t n) {
    return limiter != nullptr && limiter->limiter.allow(n) ? 1 : 0;
}

int64_t topsman_rate_delay_ns(const topsman_rate_limiter* limiter, uint32_t n) {
    using TimePoint = std::chrono::steady_clock::time_point;
    const TimePoint at = limiter == nullptr ? TimePoint::max() : limiter->limiter.delay_until(n);
    const TimePoint now = std::chrono::steady_clock::now();
    if (at == TimePoint::max()) {
        return INT64_MAX;
    }
    return at <= now ? 0 : std::chrono::nanoseconds(at - now).count();
}

}  // extern "C"
