#pragma once

#include "shm/base/result.hpp"

#include <chrono>
#include <cstdint>

namespace topsman {

namespace shm {
struct SharedObject;
}

/// What becomes of an event when somebody has waited for it.
enum class EventReset : std::uint8_t {
    Manual,  ///< it stays set, for all, until reset()
    Auto,    ///< it lets one go on each time it was set
};

/// A flag that workers of the cluster wait for: "the cache is warm", "there is something to do".
///
/// What: set() lets those go on who wait; whether all or one of them, and whether it stays set, was
/// said when it was made. Who waits for a manual event goes on when it is set, also if it is reset
/// right after.
/// Returns: wait() and its like nothing, or an Error:
///   - `std::errc::timed_out`: it was not set for this one until `deadline`;
///   - `std::errc::device_or_resource_busy`: it is not set, for try_wait();
///   - `std::errc::not_connected`: detached, this is a forked child of the worker.
/// Cost: set() and try_wait() about 10 ns; no system call unless somebody waits; wait() spins for
/// some microseconds before it sleeps.
/// Threads: any.
/// Kill safety: setting, resetting and taking are one exchange each. Nobody sleeps through a set()
/// because of a death: when a worker dies in the middle of it, all who wait are woken to look again
/// as soon as it is reaped. Who was let go by an automatic event and died has used it up: what must
/// not be lost belongs into a JobQueue.
/// Source: the events of Win32, with a count of sets in place of PulseEvent.
/// The handle is trivially copyable and valid for the process's life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::Event warm = worker.event("warm", topsman::EventReset::Manual).value();
///     warm.set();                           // one worker, when it is so
///     return warm.wait() && warm.is_set() ? 0 : 1;  // all others
/// }
/// @endcode
class Event {
  public:
    void set() noexcept;
    void reset() noexcept;
    [[nodiscard]] bool is_set() const noexcept;
    [[nodiscard]] EventReset kind() const noexcept;

    [[nodiscard]] Result<void> wait();
    /// Waits at most until `deadline`.
    [[nodiscard]] Result<void> wait_until(std::chrono::steady_clock::time_point deadline);
    /// Does not wait.
    [[nodiscard]] Result<void> try_wait();

  private:
    friend class Worker;

    explicit Event(shm::SharedObject* object) noexcept : object_(object) {}

    shm::SharedObject* object_;
};

}  // namespace topsman
