#include "shm/robust_mutex.hpp"

#include "shm/base/check.hpp"

#include <cerrno>
#include <time.h>

namespace topsman::shm {

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
    unrepaired_.store(0, std::memory_order_release);
}

LockResult RobustMutex::lock(Owner owner) noexcept {
    return entered(::pthread_mutex_lock(&mutex_), owner);
}

LockResult RobustMutex::try_lock(Owner owner) noexcept {
    return entered(::pthread_mutex_trylock(&mutex_), owner);
}

LockResult RobustMutex::lock_until(Owner owner,
                                   std::chrono::steady_clock::time_point deadline) noexcept {
    const auto since_epoch = deadline.time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
    const timespec until{seconds.count(), std::chrono::nanoseconds(since_epoch - seconds).count()};
    return entered(::pthread_mutex_clocklock(&mutex_, CLOCK_MONOTONIC, &until), owner);
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

void RobustMutex::forget(Owner dead) noexcept {
    std::uint64_t shown = dead.pack();
    (void)owner_.compare_exchange_strong(shown, 0, std::memory_order_relaxed);
}

}  // namespace topsman::shm
