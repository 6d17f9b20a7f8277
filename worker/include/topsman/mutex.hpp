#pragma once

#include "shm/base/result.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

namespace topsman {

namespace shm {
class RobustMutex;
}

namespace detail {
struct MutexState;
}

/// What Mutex's lock() throws, because std::scoped_lock and its like have no other way to learn
/// that there is no lock. `code()` is one of those listed at Mutex.
class MutexError : public std::system_error {
  public:
    explicit MutexError(const Error& error) : std::system_error(error.code, error.message) {}
};

/// A mutex between all workers of the cluster, safe against their death.
///
/// What: a holder that is killed releases it; the next locker runs the repair function, which makes
/// what the mutex guards whole again. If the repair function returns false or throws, the mutex is
/// poisoned: every later lock is refused, visibly (`topsman locks`), instead of guessing. For data
/// that needs no repair use TxCell.
/// Returns: acquire() gives a Guard or an Error; its codes are
///   - `std::errc::state_not_recoverable`: poisoned, or overwritten by a worker gone wild;
///   - `std::errc::not_connected`: detached: this is a forked child of the worker;
///   - `std::errc::timed_out`, `std::errc::device_or_resource_busy`: held by another, for the
///     variants that do not wait for ever;
///   - `std::errc::resource_deadlock_would_occur`: this thread holds it already.
/// lock() and its like throw MutexError with the same codes, but for "busy", which is their false.
/// Works with std::scoped_lock, std::unique_lock and boost::interprocess::scoped_lock.
/// Cost: 20 to 30 ns for lock and unlock when nobody else wants it.
/// Threads: any; not recursive; unlocked by the thread that locked it.
/// Kill safety: see above. Without a supervisor it is a mutex of this process.
///
/// @code
/// #include <topsman/worker.hpp>
/// #include <mutex>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::Mutex files = worker.mutex("files", [] { return true; }).value();
///     {
///         std::scoped_lock hold(files);  // throws topsman::MutexError when poisoned
///     }
///     if (auto hold = files.acquire()) {  // for code without exceptions
///         return 0;                       // released at the end of the block
///     }
///     return 1;
/// }
/// @endcode
class Mutex {
  public:
    /// Makes what the mutex guards whole again after a holder died; called with the lock held.
    /// False: it cannot be done.
    using Repair = std::function<bool()>;

    /// Holds the lock for the life of a block. Move-only.
    class Guard {
      public:
        Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}

        Guard& operator=(Guard&& other) noexcept {
            std::swap(mutex_, other.mutex_);
            return *this;
        }

        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;
        ~Guard();

      private:
        friend class Mutex;

        explicit Guard(shm::RobustMutex* mutex) noexcept : mutex_(mutex) {}

        shm::RobustMutex* mutex_;
    };

    /// Waits until it is held by the caller.
    [[nodiscard]] Result<Guard> acquire();
    /// Does not wait.
    [[nodiscard]] Result<Guard> try_acquire();
    /// Waits at most until `deadline`.
    [[nodiscard]] Result<Guard> acquire_until(std::chrono::steady_clock::time_point deadline);

    // The names that the guards of the standard library and of Boost.Interprocess look for.
    void lock();
    [[nodiscard]] bool try_lock();
    [[nodiscard]] bool try_lock_until(std::chrono::steady_clock::time_point deadline);
    void unlock() noexcept;

    [[nodiscard]] bool try_lock_for(std::chrono::nanoseconds duration) {
        return try_lock_until(
            std::chrono::steady_clock::now() +
            std::chrono::duration_cast<std::chrono::steady_clock::duration>(duration));
    }

    /// `deadline` of any chrono clock; the time left is taken once, at the call.
    template <class Clock, class Duration>
    [[nodiscard]] bool timed_lock(const std::chrono::time_point<Clock, Duration>& deadline) {
        return try_lock_for(
            std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - Clock::now()));
    }

  private:
    friend class Worker;
    explicit Mutex(std::shared_ptr<detail::MutexState> state) noexcept;

    std::shared_ptr<detail::MutexState> state_;
};

}  // namespace topsman
