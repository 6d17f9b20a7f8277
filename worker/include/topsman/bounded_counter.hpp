#pragma once

#include "shm/base/result.hpp"

#include <chrono>
#include <cstdint>

namespace topsman {

namespace shm {
struct SharedObject;
}

/// A number between 0 and a limit that all workers of the cluster change: tickets sold, bytes
/// cached.
///
/// What: an addition that would go beyond the limit does not happen, whatever others do at the same
/// time. What is added stays until somebody subtracts it, also when the one who added it is dead:
/// for what must come back on death use a Semaphore.
/// Returns: add_until() an Error when it has not added:
///   - `std::errc::timed_out`: there was no room until `deadline`;
///   - `std::errc::not_connected`: detached, this is a forked child of the worker.
/// Cost: about 5 ns when others do not change it; no system call unless somebody waits.
/// Threads: any.
/// Kill safety: each change is one exchange: it has happened or it has not.
/// Source: ECMAScript's "increment unless at the limit" by Atomics.compareExchange.
/// The handle is trivially copyable and valid for the process's life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::BoundedCounter sold = worker.bounded_counter("sold", 100).value();
///     bool is_mine = sold.try_add();
///     bool is_too_much = sold.try_add(100);
///     return is_mine && !is_too_much && sold.value() <= sold.limit() ? 0 : 1;
/// }
/// @endcode
class BoundedCounter {
  public:
    /// False, and nothing has changed: it would be more than the limit.
    [[nodiscard]] bool try_add(std::uint64_t n = 1) noexcept;

    /// Waits for room, at most until `deadline`.
    [[nodiscard]] Result<void> add_until(std::chrono::steady_clock::time_point deadline,
                                         std::uint64_t n = 1);

    /// Makes room and wakes who waits for it. False, and nothing has changed: there is less than
    /// `n`.
    bool subtract(std::uint64_t n = 1) noexcept;

    [[nodiscard]] std::uint64_t value() const noexcept;
    [[nodiscard]] std::uint64_t limit() const noexcept;

  private:
    friend class Worker;

    explicit BoundedCounter(shm::SharedObject* object) noexcept : object_(object) {}

    shm::SharedObject* object_;
};

}  // namespace topsman
