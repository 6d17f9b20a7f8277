#pragma once

#include "shm/base/result.hpp"

#include <chrono>
#include <cstdint>

namespace topsman {

namespace shm {
struct SharedObject;
}

/// At most so many a second, over all workers of the cluster.
///
/// What: declared in the file (`shared: { rate_limits: { api: { rate: 1000/s, burst: 200 } } }`) or
/// by whoever names it first. `burst` may come at once, then one every interval; what was not used
/// is saved up to `burst`. Refusing takes nothing.
/// Units: an interval of 1 us to an hour between two; a burst of 1 to 1,000,000.
/// Returns: allow() whether all `n` are let in.
/// Errors: none; in a forked child of the worker everything is let in.
/// Cost: one reading of the clock and about 5 ns; no system call, it never waits.
/// Threads: any.
/// Kill safety: its state is one word: there is nothing to repair.
/// Source: the generic cell rate algorithm, ITU-T I.371.
/// The handle is trivially copyable and valid for the process's life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::RateLimiter api =
///         worker.rate_limiter("api", std::chrono::seconds(1), 2).value();  // one a second
///     bool both = api.allow() && api.allow();                             // the burst
///     bool third = api.allow();  // not before api.delay_until()
///     return both && !third ? 0 : 1;
/// }
/// @endcode
class RateLimiter {
  public:
    /// Lets `n` in, or none of them. More than burst() are never let in.
    [[nodiscard]] bool allow(std::uint32_t n = 1) noexcept;

    /// When `n` would be let in if nobody else came: not later than now, if they would be at once;
    /// time_point::max() if never. Takes nothing.
    [[nodiscard]] std::chrono::steady_clock::time_point delay_until(
        std::uint32_t n = 1) const noexcept;

    [[nodiscard]] std::chrono::nanoseconds interval() const noexcept;
    [[nodiscard]] std::uint32_t burst() const noexcept;

  private:
    friend class Worker;

    explicit RateLimiter(shm::SharedObject* object) noexcept : object_(object) {}

    shm::SharedObject* object_;
};

}  // namespace topsman
