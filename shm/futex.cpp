#include "shm/futex.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::shm {
namespace {

long futex(const std::atomic<std::uint32_t>& word, int operation, std::uint32_t value,
           const timespec* deadline) noexcept {
    return ::syscall(SYS_futex, &word, operation, value, deadline, nullptr, FUTEX_BITSET_MATCH_ANY);
}

timespec to_timespec(Deadline time) noexcept {
    const auto since_boot = std::max(time.time_since_epoch(), Deadline::duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
    return timespec{seconds.count(), std::chrono::nanoseconds(since_boot - seconds).count()};
}

}  // namespace

bool futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t seen,
                Deadline deadline) noexcept {
    // FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time. For a shared mapping the key is the
    // page of the file, so PROT_READ is enough.
    const timespec until = to_timespec(deadline);
    const int before = errno;
    const bool is_late =
        futex(word, FUTEX_WAIT_BITSET, seen, deadline == kNoDeadline ? nullptr : &until) != 0 &&
        errno == ETIMEDOUT;
    errno = before;
    return !is_late;
}

void futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept {
    const int before = errno;
    (void)futex(word, FUTEX_WAKE, INT_MAX, nullptr);
    errno = before;
}

}  // namespace topsman::shm
