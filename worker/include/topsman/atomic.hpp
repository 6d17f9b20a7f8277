#pragma once

#include "shm/base/result.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <type_traits>

namespace topsman {

namespace shm {
class Parking;
}

namespace detail {

/// Waits while `still(context)` is true; see Atomic::wait for the errors.
[[nodiscard]] Result<void> wait_while(shm::Parking* parking, bool (*still)(void*), void* context,
                                      std::chrono::steady_clock::time_point deadline);
std::uint32_t notify(shm::Parking* parking, std::uint32_t count) noexcept;

/// Where a number lies that can be waited for.
struct WordPlace {
    void* word = nullptr;
    shm::Parking* parking = nullptr;
    bool is_shared_parking = false;  ///< others wait there for other numbers
};

}  // namespace detail

/// A number of 4 or 8 bytes that all workers of the cluster read, change and wait for.
///
/// What: std::atomic<T> with sequential consistency, across processes; wait() and notify() too,
/// which std::atomic's are not. For numbers that only grow a Counter is cheaper: its writers do not
/// share a cache line.
/// Returns: as std::atomic's; wait() the value that ended it.
/// Errors: only wait() has any:
///   - `std::errc::timed_out`: `deadline` has passed and the value was still `expected`;
///   - `std::errc::not_connected`: detached, this is a forked child of the worker (where all else
///     works on a number of the child's own).
/// Cost: an uncontended change about 5 ns; notify() 10 ns and no system call when nobody waits;
/// wait() spins for some microseconds before it sleeps.
/// Threads: any.
/// Kill safety: each change is one instruction of the processor. Nobody who lives sleeps through a
/// change because of a death: when a worker dies between its change and its notify(), or takes a
/// wake-up along, all who wait are woken to look again as soon as it is reaped.
/// Source: wait and notify are those of ECMAScript's Atomics and of futex(2), with a set of lanes
/// in place of the kernel's queue. The handle is trivially copyable and valid for the process's
/// life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::Atomic<int> phase = worker.atomic<int>("phase", 0).value();
///     if (phase.fetch_add(1) == 0) {
///         phase.notify();  // one of those who wait for it to be other than 0
///     }
///     int now = phase.wait(0).value();  // at once: it is not 0
///     return now >= 1 ? 0 : 1;
/// }
/// @endcode
template <class T>
class Atomic {
    static_assert(std::is_integral_v<T> && !std::is_same_v<std::remove_cv_t<T>, bool> &&
                      (sizeof(T) == 4 || sizeof(T) == 8),
                  "an Atomic is a whole number of 4 or 8 bytes");
    static_assert(std::atomic_ref<T>::is_always_lock_free);

  public:
    using TimePoint = std::chrono::steady_clock::time_point;

    [[nodiscard]] T load() const noexcept { return ref().load(); }

    void store(T value) noexcept { ref().store(value); }

    T exchange(T value) noexcept { return ref().exchange(value); }

    /// Makes it `desired` if it is `expected`, else says in `expected` what it is.
    bool compare_exchange(T& expected, T desired) noexcept {
        return ref().compare_exchange_strong(expected, desired);
    }

    T fetch_add(T n) noexcept { return ref().fetch_add(n); }

    T fetch_sub(T n) noexcept { return ref().fetch_sub(n); }

    T fetch_and(T bits) noexcept { return ref().fetch_and(bits); }

    T fetch_or(T bits) noexcept { return ref().fetch_or(bits); }

    T fetch_xor(T bits) noexcept { return ref().fetch_xor(bits); }

    /// Waits until it is other than `expected`; the value that it then has. Who changes it says so
    /// with notify().
    [[nodiscard]] Result<T> wait(T expected, TimePoint deadline = TimePoint::max()) const {
        Wait wait{this, expected, expected};
        if (!Wait::is_same(&wait)) {
            return wait.seen;
        }
        const auto done = detail::wait_while(place_.parking, &Wait::is_same, &wait, deadline);
        if (!done) {
            return done.error();
        }
        return wait.seen;
    }

    /// Wakes `count` workers that wait for it, or more; each looks whether the value has changed.
    /// Returns how many; a worker whose threads wait counts once.
    std::uint32_t notify(std::uint32_t count = 1) noexcept {
        return detail::notify(place_.parking, place_.is_shared_parking ? UINT32_MAX : count);
    }

    std::uint32_t notify_all() noexcept { return notify(UINT32_MAX); }

  private:
    friend class Worker;
    template <class>
    friend class SharedArray;

    struct Wait {
        const Atomic* number;
        T expected;
        T seen;

        static bool is_same(void* context) {
            auto& wait = *static_cast<Wait*>(context);
            wait.seen = wait.number->load();
            return wait.seen == wait.expected;
        }
    };

    explicit Atomic(const detail::WordPlace& place) noexcept : place_(place) {}

    [[nodiscard]] std::atomic_ref<T> ref() const noexcept {
        return std::atomic_ref<T>(*static_cast<T*>(place_.word));
    }

    detail::WordPlace place_;
};

}  // namespace topsman
