#pragma once

// A flag that processes wait for.
//
// A manual one stays set until somebody resets it, and all who wait go on. An automatic one lets
// one of them go on for each time it was set, and is not set any more then.
//
// One word holds how often it has been set, and whether it is: {sets:62 | automatic:1 | set:1}.
// Each change is one exchange of it. Who waits for a manual one remembers how often it had been
// set: so it goes on even if the event is reset before it has looked. The dead hold nothing of it;
// who took an automatic one and died has taken it.

#include "shm/parking.hpp"
#include "shm/shared_object.hpp"

namespace topsman::shm {

enum class Reset : std::uint8_t { Manual, Auto };

class Event {
  public:
    /// A view; what it shows stays where it is.
    explicit Event(SharedObject& object) noexcept : object_(object) {}

    /// By whoever registers the name, before others can find it.
    void init(Reset reset) noexcept {
        object_.clear();
        word().store(reset == Reset::Auto ? kAuto : 0);
    }

    [[nodiscard]] Reset kind() const noexcept {
        return (word().load() & kAuto) != 0 ? Reset::Auto : Reset::Manual;
    }

    [[nodiscard]] bool is_set() const noexcept { return (word().load() & kSet) != 0; }

    /// Setting one that is set changes nothing.
    void set(std::span<Lane> lanes) noexcept {
        std::uint64_t seen = word().load();
        while ((seen & kSet) == 0) {
            if (word().compare_exchange_weak(seen, (seen | kSet) + kOnce)) {
                (void)object_.parking.wake(lanes, (seen & kAuto) != 0 ? 1 : UINT32_MAX);
                return;
            }
        }
    }

    void reset() noexcept { word().fetch_and(~kSet); }

    /// Is it set? An automatic one is not, afterwards.
    [[nodiscard]] bool try_wait() noexcept {
        std::uint64_t seen = word().load();
        while ((seen & kSet) != 0) {
            if ((seen & kAuto) == 0 || word().compare_exchange_weak(seen, seen & ~kSet)) {
                return true;
            }
        }
        return false;
    }

    /// Waits at most until `deadline`. False: it was not set for this one until then.
    [[nodiscard]] bool wait(std::span<Lane> lanes, std::uint32_t lane, Deadline deadline) noexcept {
        const std::uint64_t before = word().load();
        const auto still_needed = [&] {
            const bool was_set = (before & kAuto) == 0 && sets(word().load()) != sets(before);
            return !was_set && !try_wait();
        };
        return object_.parking.park(lanes, lane, deadline, still_needed) == Parked::Ready;
    }

  private:
    static constexpr std::uint64_t kSet = 1;
    static constexpr std::uint64_t kAuto = 2;
    static constexpr std::uint64_t kOnce = 4;

    static constexpr std::uint64_t sets(std::uint64_t word) noexcept { return word / kOnce; }

    [[nodiscard]] std::atomic<std::uint64_t>& word() const noexcept { return object_.word[0]; }

    SharedObject& object_;
};

}  // namespace topsman::shm
