#include "shm/robust_mutex.hpp"

#include "shm/base/check.hpp"

#include <cerrno>
#include <time.h>

namespace topsman::shm {
namespace {

/// A few nanoseconds, where the exact time would double the price of a lock.
std::int64_t coarse_now_ns() noexcept {
    timespec now{};
    (void)::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

void RobustMutex::init() noexcept {
    pthread_mutexattr_t attributes;
    CHECK(::pthread_mutexattr_init(&attributes) == 0);
    CHECK(::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    // Error-checking: a second lock by the same thread is refused instead of hanging for ever, and
    // unlocking what the thread does not hold does nothing. No priority inheritance: it makes a
    // contended lock twenty times slower.
    CHECK(::pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK) == 0);
    CHECK(::pthread_mutex_init(&mutex_, &attributes) == 0);
    (void)::pthread_mutexattr_destroy(&attributes);
    owner_.store(0, std::memory_order_relaxed);
    owner_deaths_.store(0, std::memory_order_relaxed);
    poisoned_.store(0, std::memory_order_relaxed);
    held_since_ns_.store(0, std::memory_order_relaxed);
    unrepaired_.store(0, std::memory_order_release);
}

template <class Wait>
LockResult RobustMutex::enter(Owner owner, Wait&& wait) noexcept {
    int rc = ::pthread_mutex_trylock(&mutex_);
    if (rc == EBUSY) {
        waiting_.insert(owner.lane);
        rc = wait();
        waiting_.erase(owner.lane);
    }
    return entered(rc, owner);
}

LockResult RobustMutex::lock(Owner owner) noexcept {
    return enter(owner, [this] { return ::pthread_mutex_lock(&mutex_); });
}

LockResult RobustMutex::try_lock(Owner owner) noexcept {
    return entered(::pthread_mutex_trylock(&mutex_), owner);
}

LockResult RobustMutex::lock_until(Owner owner,
                                   std::chrono::steady_clock::time_point deadline) noexcept {
    const auto since_epoch = deadline.time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
    const timespec until{seconds.count(), std::chrono::nanoseconds(since_epoch - seconds).count()};
    return enter(owner,
                 [&] { return ::pthread_mutex_clocklock(&mutex_, CLOCK_MONOTONIC, &until); });
}

/// What pthread said at any of the entries, in our words. Each of them may be the one that learns
/// of the owner's death.
LockResult RobustMutex::entered(int rc, Owner owner) noexcept {
    switch (rc) {
        case 0:
        case EOWNERDEAD:
            break;
        case EBUSY:
        case ETIMEDOUT:
        case EDEADLK:
            return LockResult::Busy;
        default:
            // EINVAL and the like: hostile bytes lie here.
            poisoned_.store(1, std::memory_order_release);
            return LockResult::Poisoned;
    }
    if (rc == EOWNERDEAD) {
        // pthread_mutex_consistent(3) comes with the answer: who dies before that leaves the
        // question to the next one.
        unrepaired_.store(1, std::memory_order_relaxed);
        owner_deaths_.store(owner_deaths_.load(std::memory_order_relaxed) + 1,
                            std::memory_order_relaxed);
    }
    if (is_poisoned()) {
        release();
        return LockResult::Poisoned;
    }
    held_since_ns_.store(coarse_now_ns(), std::memory_order_relaxed);
    owner_.store(owner.pack(), std::memory_order_relaxed);
    return rc == EOWNERDEAD ? LockResult::OwnerDied : LockResult::Locked;
}

void RobustMutex::unlock() noexcept {
    if (unrepaired_.load(std::memory_order_relaxed) != 0) {
        poisoned_.store(1, std::memory_order_release);
    }
    release();
}

/// Poisoned or not, pthread's own mutex is always left consistent: once ENOTRECOVERABLE, a trylock
/// of it would refuse and yet leave it locked (glibc 2.36), and everybody after that would hang.
void RobustMutex::release() noexcept {
    if (unrepaired_.load(std::memory_order_relaxed) != 0) {
        repaired();
    }
    owner_.store(0, std::memory_order_relaxed);
    (void)::pthread_mutex_unlock(&mutex_);
}

void RobustMutex::repaired() noexcept {
    (void)::pthread_mutex_consistent(&mutex_);
    unrepaired_.store(0, std::memory_order_relaxed);
}

void RobustMutex::poison() noexcept {
    poisoned_.store(1, std::memory_order_release);
    release();
}

bool RobustMutex::is_poisoned() const noexcept {
    return poisoned_.load(std::memory_order_acquire) != 0;
}

Owner RobustMutex::owner() const noexcept {
    return Owner::unpack(owner_.load(std::memory_order_relaxed));
}

std::uint64_t RobustMutex::owner_deaths() const noexcept {
    return owner_deaths_.load(std::memory_order_relaxed);
}

std::int64_t RobustMutex::held_since_ns() const noexcept {
    return held_since_ns_.load(std::memory_order_relaxed);
}

bool RobustMutex::is_waited_for_by(std::uint32_t lane) const noexcept {
    return waiting_.contains(lane);
}

void RobustMutex::forget(Owner dead) noexcept {
    if (waiting_.contains(dead.lane)) {
        waiting_.erase(dead.lane);
    }
    std::uint64_t shown = dead.pack();
    (void)owner_.compare_exchange_strong(shown, 0, std::memory_order_relaxed);
}

}  // namespace topsman::shm
