#include "shm/robust_mutex.hpp"

#include "shm/base/check.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <linux/futex.h>
#include <time.h>

namespace topsman::shm {
namespace {

constexpr std::uint32_t kNotRepaired = 1;  // values of poisoned_
constexpr std::uint32_t kOverwritten = 2;

/// glibc's PTHREAD_MUTEX_NOTRECOVERABLE. None of ours is ever left so, see release().
constexpr int kNotRecoverable = INT_MAX - 1;

/// Words of glibc's, which others may write meanwhile.
int look_at(int& word) noexcept {
    return std::atomic_ref(word).load(std::memory_order_relaxed);
}

void init_pthread(pthread_mutex_t& mutex) noexcept {
    pthread_mutexattr_t attributes;
    CHECK(::pthread_mutexattr_init(&attributes) == 0);
    CHECK(::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    // Error-checking: a second lock by the same thread is refused instead of hanging for ever, and
    // unlocking what the thread does not hold does nothing. No priority inheritance: it makes a
    // contended lock twenty times slower.
    CHECK(::pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK) == 0);
    CHECK(::pthread_mutex_init(&mutex, &attributes) == 0);
    (void)::pthread_mutexattr_destroy(&attributes);
}

/// What kind of mutex ours are, as this process's glibc writes it down.
int our_kind() noexcept {
    static const int kind = [] {
        pthread_mutex_t made;
        init_pthread(made);
        return made.__data.__kind;
    }();
    return kind;
}

bool is_thread(pid_t id) noexcept {
    return ::kill(id, 0) == 0 || errno != ESRCH;
}

/// A few nanoseconds, where the exact time would double the price of a lock.
std::int64_t coarse_now_ns() noexcept {
    timespec now{};
    (void)::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

void RobustMutex::init() noexcept {
    init_pthread(mutex_);
    owner_.store(0, std::memory_order_relaxed);
    owner_deaths_.store(0, std::memory_order_relaxed);
    poisoned_.store(0, std::memory_order_relaxed);
    held_since_ns_.store(0, std::memory_order_relaxed);
    unrepaired_.store(0, std::memory_order_release);
}

bool RobustMutex::has_our_words() noexcept {
    return look_at(mutex_.__data.__kind) == our_kind() &&
           look_at(mutex_.__data.__owner) != kNotRecoverable;
}

/// Before each lock: nobody waits for what is poisoned, and glibc is shown nothing but its own.
bool RobustMutex::is_refused() noexcept {
    if (is_poisoned()) [[unlikely]] {
        return true;
    }
    if (!has_our_words()) [[unlikely]] {
        (void)refuse_as_overwritten();
        return true;
    }
    return false;
}

/// Locked, and no thread has it. The kernel marks the locks of a thread before its id is free: so
/// when there is no such thread, and the word is still the same, none of ours has written it.
/// Looked at twice, as the id may be another thread's by now, which has locked it.
bool RobustMutex::is_held_by_nobody() noexcept {
    const int seen = look_at(mutex_.__data.__lock);
    const auto word = static_cast<std::uint32_t>(seen);
    if (word == 0 || (word & FUTEX_OWNER_DIED) != 0) {
        return false;
    }
    const auto holder = static_cast<pid_t>(word & FUTEX_TID_MASK);
    return holder == 0 ||
           (!is_thread(holder) && look_at(mutex_.__data.__lock) == seen && !is_thread(holder));
}

LockResult RobustMutex::refuse_as_overwritten() noexcept {
    poisoned_.store(kOverwritten, std::memory_order_release);
    return LockResult::Poisoned;
}

template <class Wait>
LockResult RobustMutex::enter(Owner owner, Wait&& wait) noexcept {
    if (is_refused()) {
        return LockResult::Poisoned;
    }
    int rc = ::pthread_mutex_trylock(&mutex_);
    if (rc == EBUSY) {
        if (is_held_by_nobody()) {
            return refuse_as_overwritten();
        }
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
    return is_refused() ? LockResult::Poisoned : entered(::pthread_mutex_trylock(&mutex_), owner);
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
            // EINVAL and the like: it was overwritten since the look at it.
            return refuse_as_overwritten();
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
        poisoned_.store(kNotRepaired, std::memory_order_release);
    }
    release();
}

/// Poisoned or not, pthread's own mutex is always left consistent: once ENOTRECOVERABLE, a trylock
/// of it would refuse and yet leave it locked (glibc 2.36), and everybody after that would hang.
void RobustMutex::release() noexcept {
    if (look_at(mutex_.__data.__kind) != our_kind()) [[unlikely]] {
        // Overwritten while it was held: glibc would not release it as what it is now.
        (void)refuse_as_overwritten();
        std::atomic_ref(mutex_.__data.__kind).store(our_kind(), std::memory_order_relaxed);
    }
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
    poisoned_.store(kNotRepaired, std::memory_order_release);
    release();
}

bool RobustMutex::is_poisoned() const noexcept {
    return poisoned_.load(std::memory_order_acquire) != 0;
}

bool RobustMutex::is_overwritten() const noexcept {
    return poisoned_.load(std::memory_order_acquire) > kNotRepaired;
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
