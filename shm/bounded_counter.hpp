#pragma once

// A number between 0 and a limit, changed by all workers. One word, one exchange: an addition that
// would go beyond the limit does not happen, whatever others do at the same time. The dead's
// additions stay, as nobody knows whose they are; what must come back is a Semaphore's permit.

#include "shm/parking.hpp"
#include "shm/shared_object.hpp"

namespace topsman::shm {

class BoundedCounter {
  public:
    /// A view; what it shows stays where it is.
    explicit BoundedCounter(SharedObject& object) noexcept : object_(object) {}

    /// By whoever registers the name, before others can find it.
    void init(std::uint64_t limit) noexcept {
        object_.clear();
        object_.word[1].store(limit);
    }

    [[nodiscard]] std::uint64_t value() const noexcept { return object_.word[0].load(); }

    [[nodiscard]] std::uint64_t limit() const noexcept { return object_.word[1].load(); }

    /// False, and nothing has changed: it would be more than the limit.
    [[nodiscard]] bool try_add(std::uint64_t n) noexcept {
        std::uint64_t value = object_.word[0].load();
        const std::uint64_t most = limit();
        do {
            if (value > most || n > most - value) {
                return false;
            }
        } while (!object_.word[0].compare_exchange_weak(value, value + n));
        return true;
    }

    /// As try_add(), but waits at most until `deadline` for others to subtract.
    [[nodiscard]] bool add(std::span<Lane> lanes, std::uint32_t lane, std::uint64_t n,
                           Deadline deadline) noexcept {
        return object_.parking.park(lanes, lane, deadline, [&] { return !try_add(n); }) ==
               Parked::Ready;
    }

    /// False, and nothing has changed: it would be less than 0.
    bool subtract(std::span<Lane> lanes, std::uint64_t n) noexcept {
        std::uint64_t value = object_.word[0].load();
        do {
            if (n > value) {
                return false;
            }
        } while (!object_.word[0].compare_exchange_weak(value, value - n));
        // All: one may wait for more than has become free, and another for just that.
        (void)object_.parking.wake_all(lanes);
        return true;
    }

  private:
    SharedObject& object_;
};

}  // namespace topsman::shm
