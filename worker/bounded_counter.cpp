#include "shm/bounded_counter.hpp"

#include "topsman/bounded_counter.hpp"
#include "worker/process.hpp"

namespace topsman {

bool BoundedCounter::try_add(std::uint64_t n) noexcept {
    return shm::BoundedCounter(*object_).try_add(n);
}

Result<void> BoundedCounter::add_until(std::chrono::steady_clock::time_point deadline,
                                       std::uint64_t n) {
    const detail::Process* process = detail::attached();
    if (process == nullptr) {
        return detail::detached_error();
    }
    if (!shm::BoundedCounter(*object_).add(process->lanes, process->owner.lane, n, deadline)) {
        return plain_error("there was no room until the deadline", std::errc::timed_out);
    }
    return {};
}

bool BoundedCounter::subtract(std::uint64_t n) noexcept {
    // The lanes of a forked child are its own zeroes: nobody waits there.
    const detail::Process* process = detail::the_process.load(std::memory_order_acquire);
    return process != nullptr && shm::BoundedCounter(*object_).subtract(process->lanes, n);
}

std::uint64_t BoundedCounter::value() const noexcept {
    return shm::BoundedCounter(*object_).value();
}

std::uint64_t BoundedCounter::limit() const noexcept {
    return shm::BoundedCounter(*object_).limit();
}

}  // namespace topsman
