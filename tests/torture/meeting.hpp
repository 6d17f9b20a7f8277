#pragma once

// Places where workers wait for each other: a sleeper that was put there, an event, a barrier.

#include "operation.hpp"
#include "shm/barrier.hpp"
#include "shm/event.hpp"

#include <cstdint>
#include <string>

namespace topsman::torture {

/// As a thread of that lane leaves it on its way to sleep.
inline void let_sleep(const Arena& arena, Owner sleeper, shm::Parking& parking) {
    reinterpret_cast<shm::LaneSet&>(parking).insert(sleeper.lane);
    arena.segment.lanes()[sleeper.lane].parked.store(1);
}

inline bool is_woken(const Arena& arena, Owner sleeper) {
    return arena.segment.lanes()[sleeper.lane].wake.load() != 0;
}

/// An event that has a name.
class EventPlace {
  public:
    void set_up(const Arena& arena, shm::Reset kind) {
        row_ = add(arena.segment.object_names(), "go", shm::NameKind::Event);
        event(arena).init(kind);
    }

    [[nodiscard]] shm::Event event(const Arena& arena) const {
        return shm::Event(arena.segment.objects()[row_]);
    }

    [[nodiscard]] shm::Parking& parking(const Arena& arena) const {
        return arena.segment.objects()[row_].parking;
    }

    /// Empty: whoever sets it lets one that looks go on.
    [[nodiscard]] std::string is_usable(const Arena& arena) const {
        const bool is_manual = event(arena).kind() == shm::Reset::Manual;
        event(arena).reset();
        event(arena).set(arena.segment.lanes());
        return event(arena).try_wait() && event(arena).is_set() == is_manual
                   ? ""
                   : "it cannot be used any more";
    }

  private:
    std::uint32_t row_ = 0;
};

/// A barrier that has a name.
class BarrierPlace {
  public:
    void set_up(const Arena& arena, std::uint32_t parties) {
        row_ = add(arena.segment.array_names(), "start", shm::NameKind::Barrier);
        barrier(arena).init(parties);
    }

    [[nodiscard]] shm::Barrier barrier(const Arena& arena) const {
        return shm::Barrier(row(arena));
    }

    [[nodiscard]] shm::SharedArrayStorage& row(const Arena& arena) const {
        return arena.segment.arrays()[row_];
    }

    /// Who comes, and leaves at once if it is too early.
    [[nodiscard]] shm::Barrier::Passed visit(const Arena& arena, Owner owner) const {
        return barrier(arena).arrive(arena.segment.lanes(), owner, shm::Deadline{});
    }

    /// Somebody sits there without having been seen to come.
    void seat(const Arena& arena, Owner owner, std::uint32_t seat) const {
        row(arena).word[kFirstSeat + seat].store(owner.pack());
        row(arena).word[kMask].fetch_or(bit(seat));
    }

    /// The same, and sleeps.
    void let_wait(const Arena& arena, Owner owner, std::uint32_t at) const {
        seat(arena, owner, at);
        let_sleep(arena, owner, row(arena).parking[0]);
    }

    [[nodiscard]] bool does_wait(const Arena& arena, std::uint32_t seat) const {
        return (row(arena).word[kMask].load() & bit(seat)) != 0;
    }

    /// False: it had been let go before.
    [[nodiscard]] bool leave(const Arena& arena, std::uint32_t seat) const {
        return (row(arena).word[kMask].fetch_and(~bit(seat)) & bit(seat)) != 0;
    }

    void stand_up(const Arena& arena, std::uint32_t seat) const {
        row(arena).word[kFirstSeat + seat].store(0);
    }

    /// Empty: nobody is there any more, and the next round works.
    [[nodiscard]] std::string check_next_round(const Arena& arena, Owner living) const {
        if (barrier(arena).arrived() != 0) {
            return "one who does not wait is counted";
        }
        for (std::uint32_t seat = 0; seat < shm::Barrier::kSeats; ++seat) {
            if (row(arena).word[kFirstSeat + seat].load() != 0) {
                return "seat " + std::to_string(seat) + " is still taken";
            }
        }
        for (std::uint32_t other = 0; other + 1 < barrier(arena).parties(); ++other) {
            let_wait(arena, living, kOthers + other);
        }
        const auto passed = visit(arena, living);
        return passed == shm::Barrier::Passed::AsTheLast && barrier(arena).arrived() == 0
                   ? ""
                   : "all have arrived, and wait";
    }

  private:
    static constexpr std::size_t kMask = 0;  // the words of a barrier's row
    static constexpr std::size_t kFirstSeat = 64;
    static constexpr std::uint32_t kOthers = 5;

    static constexpr std::uint64_t bit(std::uint32_t seat) { return std::uint64_t{1} << seat; }

    std::uint32_t row_ = 0;
};

}  // namespace topsman::torture
