#pragma once

#include "shm/base/result.hpp"

#include <chrono>
#include <cstdint>

namespace topsman {

namespace shm {
struct SharedArrayStorage;
}

/// A place where as many workers wait as there are parties, and then all go on.
///
/// What: arrive() waits until `parties` have arrived; then it is empty again, for the next round.
/// Several threads of a worker are several parties. An arrival says whose it is: those of a worker
/// that dies while it waits do not count any more as soon as it is reaped, and its replacement may
/// arrive in its place.
/// Returns: arrive() and arrive_until() whether this was the last one of the round (exactly one of
/// them is told so), or an Error:
///   - `std::errc::timed_out`: too few until `deadline`; this arrival does not count any more;
///   - `std::errc::not_connected`: detached, this is a forked child of the worker.
/// Units: 1 to 64 parties.
/// Cost: about 50 ns for who need not wait; else it spins for some microseconds before it sleeps.
/// Threads: any.
/// Kill safety: arriving, letting all go and taking an arrival back are one exchange each, of the
/// one mask of arrivals: nobody goes on with too few, nobody who was counted stays behind.
/// Source: a central barrier (Mellor-Crummey and Scott), with a set of seats in place of its count,
/// which the dead could not be taken out of. The handle is trivially copyable and valid for the
/// process's life.
///
/// @code
/// #include <topsman/worker.hpp>
/// #include <thread>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::Barrier start = worker.barrier("start", 2).value();
///     std::thread other([start]() mutable { (void)start.arrive(); });  // another worker, usually
///     const auto is_last = start.arrive();                             // both are here
///     other.join();
///     return is_last && start.arrived() == 0 ? 0 : 1;
/// }
/// @endcode
class Barrier {
  public:
    [[nodiscard]] Result<bool> arrive();
    /// Waits at most until `deadline`.
    [[nodiscard]] Result<bool> arrive_until(std::chrono::steady_clock::time_point deadline);

    [[nodiscard]] std::uint32_t parties() const noexcept;
    /// How many wait for the others.
    [[nodiscard]] std::uint32_t arrived() const noexcept;

  private:
    friend class Worker;

    explicit Barrier(shm::SharedArrayStorage* storage) noexcept : storage_(storage) {}

    shm::SharedArrayStorage* storage_;
};

}  // namespace topsman
