#include "topsman/mutex.hpp"

#include "worker/mutex_state.hpp"
#include "worker/process.hpp"

namespace topsman {

namespace {

using shm::LockResult;

Error refusal(const detail::MutexState& state, LockResult why, std::errc busy) {
    const std::string mutex = "mutex " + state.name + ": ";
    switch (why) {
        case LockResult::Busy:
            return plain_error(mutex + "held by another", busy);
        case LockResult::Detached:
            return plain_error(mutex + detail::detached_error().message, std::errc::not_connected);
        case LockResult::Poisoned:
        case LockResult::Locked:
        case LockResult::OwnerDied:
            break;
    }
    if (state.mutex->is_overwritten()) {
        return plain_error(mutex + "overwritten: what lies in the segment is not the lock that " +
                               "topsman has put there, and only a new segment has it again",
                           std::errc::state_not_recoverable);
    }
    return plain_error(mutex + "poisoned: a holder died and what it guards could not be repaired",
                       std::errc::state_not_recoverable);
}

/// Turns "held, but the owner died" into "held" or "poisoned".
LockResult repair_if_needed(detail::MutexState& state, LockResult result) {
    if (result != LockResult::OwnerDied) {
        return result;
    }
    bool whole = false;
    try {
        whole = state.repair();
    } catch (...) {
        state.mutex->poison();
        throw;
    }
    if (!whole) {
        state.mutex->poison();
        return LockResult::Poisoned;
    }
    state.mutex->repaired();
    return LockResult::Locked;
}

template <class Lock>
LockResult enter(detail::MutexState& state, Lock&& lock) {
    if (detail::is_detached()) {
        return LockResult::Detached;
    }
    return repair_if_needed(state, lock(*state.mutex));
}

auto waiting(const detail::MutexState& state) {
    return [&](shm::RobustMutex& mutex) { return mutex.lock(state.owner); };
}

auto at_once(const detail::MutexState& state) {
    return [&](shm::RobustMutex& mutex) { return mutex.try_lock(state.owner); };
}

auto until(const detail::MutexState& state, std::chrono::steady_clock::time_point deadline) {
    return [&state, deadline](shm::RobustMutex& mutex) {
        return mutex.lock_until(state.owner, deadline);
    };
}

bool held_or_throw(const detail::MutexState& state, LockResult result) {
    if (result == LockResult::Locked) {
        return true;
    }
    if (result == LockResult::Busy) {
        return false;
    }
    throw MutexError(refusal(state, result, std::errc::timed_out));
}

// A lock that was held over a fork is the parent's: the child's copy of it is not in any list of
// the kernel, and the pages under it are the child's own zeroes.
void release(shm::RobustMutex& mutex) noexcept {
    if (!detail::is_detached()) {
        mutex.unlock();
    }
}

}  // namespace

Mutex::Mutex(std::shared_ptr<detail::MutexState> state) noexcept : state_(std::move(state)) {}

Mutex::Guard::~Guard() {
    if (mutex_ != nullptr) {
        release(*mutex_);
    }
}

Result<Mutex::Guard> Mutex::acquire() {
    const LockResult result = enter(*state_, waiting(*state_));
    if (result != LockResult::Locked) {
        return refusal(*state_, result, std::errc::resource_deadlock_would_occur);
    }
    return Guard(state_->mutex);
}

Result<Mutex::Guard> Mutex::try_acquire() {
    const LockResult result = enter(*state_, at_once(*state_));
    if (result != LockResult::Locked) {
        return refusal(*state_, result, std::errc::device_or_resource_busy);
    }
    return Guard(state_->mutex);
}

Result<Mutex::Guard> Mutex::acquire_until(std::chrono::steady_clock::time_point deadline) {
    const LockResult result = enter(*state_, until(*state_, deadline));
    if (result != LockResult::Locked) {
        return refusal(*state_, result, std::errc::timed_out);
    }
    return Guard(state_->mutex);
}

void Mutex::lock() {
    const LockResult result = enter(*state_, waiting(*state_));
    if (!held_or_throw(*state_, result)) {
        throw MutexError(refusal(*state_, result, std::errc::resource_deadlock_would_occur));
    }
}

bool Mutex::try_lock() {
    return held_or_throw(*state_, enter(*state_, at_once(*state_)));
}

bool Mutex::try_lock_until(std::chrono::steady_clock::time_point deadline) {
    return held_or_throw(*state_, enter(*state_, until(*state_, deadline)));
}

void Mutex::unlock() noexcept {
    release(*state_->mutex);
}

}  // namespace topsman
