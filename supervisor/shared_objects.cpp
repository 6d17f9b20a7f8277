#include "supervisor/shared_objects.hpp"

#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"

namespace topsman::supervisor {

namespace {

/// Why there is no row; or it is one that there cannot be, as an adopted segment may hold anything.
Error declaration_error(const std::string& key, const Result<std::uint32_t>& row) {
    return row ? plain_error(key + ": the names in the segment are corrupt")
               : Error{row.error().code, key + ": " + row.error().message};
}

Result<void> declare_limits(shm::Segment& segment, const config::Shared& shared) {
    const auto arrays = segment.arrays();
    for (const config::Semaphore& semaphore : shared.semaphores) {
        const auto row = segment.array_names().find_or_add(
            semaphore.name, shm::NameKind::Semaphore, 0, {}, [&](std::uint32_t i) {
                if (i < arrays.size()) {
                    shm::Semaphore(arrays[i]).init(semaphore.permits);
                }
            });
        if (!row || *row >= arrays.size()) {
            return declaration_error("shared.semaphores", row);
        }
        shm::Semaphore(arrays[*row]).set_permits(semaphore.permits);
    }
    const auto objects = segment.objects();
    for (const config::RateLimit& limit : shared.rate_limits) {
        const shm::RateLimit::Rule rule{limit.interval_ns, limit.burst};
        const auto row = segment.object_names().find_or_add(
            limit.name, shm::NameKind::RateLimit, 0, {}, [&](std::uint32_t i) {
                if (i < objects.size()) {
                    shm::RateLimit(objects[i]).init(rule);
                }
            });
        if (!row || *row >= objects.size()) {
            return declaration_error("shared.rate_limits", row);
        }
        shm::RateLimit(objects[*row]).set_rule(rule);
    }
    return {};
}

}  // namespace

Result<void> declare_shared(shm::Segment& segment, const config::Shared& shared) {
    const auto nothing = [](std::uint32_t) {};
    for (const std::string& name : shared.counters) {
        const auto row =
            segment.metric_names().find_or_add(name, shm::NameKind::Counter, 0, {}, nothing);
        if (!row) {
            return Error{row.error().code, "shared.counters: " + row.error().message};
        }
    }
    for (const std::string& name : shared.mutexes) {
        const auto row =
            segment.mutex_names().find_or_add(name, shm::NameKind::Mutex, 0, {}, nothing);
        if (!row) {
            return Error{row.error().code, "shared.mutexes: " + row.error().message};
        }
    }
    return declare_limits(segment, shared);
}

}  // namespace topsman::supervisor
