#pragma once

// A place where as many wait as there are parties, and then all go on.
//
// Whoever arrives takes a seat, a word that says who has it, and then sets the seat's bit in one
// mask: the arrivals. The last one finds all others there and clears the mask, which lets them go:
// both are one exchange, the commit point. A waiter whose bit is gone goes on; one whose time is up
// takes its bit away itself, unless it is gone by then. So nobody goes on with too few, and nobody
// who was counted is left behind, whatever happens in between.
//
// The dead do not count: the sweep finds their seats, clears their bits and then the seats. Bits
// only belong to seats that are taken, and a seat is only given back when its bit is gone.
//
// It lies in a row of words (SharedArrayStorage).

#include "shm/parking.hpp"
#include "shm/shared_object.hpp"

#include <bit>
#include <optional>

namespace topsman::shm {

class Barrier {
  public:
    static constexpr std::uint32_t kSeats = 64;

    enum class Passed : std::uint8_t { No, Yes, AsTheLast };

    /// A view; what it shows stays where it is.
    explicit Barrier(SharedArrayStorage& storage) noexcept : storage_(storage) {}

    /// By whoever registers the name, before others can find it.
    void init(std::uint32_t parties) noexcept {
        storage_.init(sizeof(std::uint64_t));
        storage_.word[kParties].store(parties);
    }

    [[nodiscard]] std::uint32_t parties() const noexcept {
        return static_cast<std::uint32_t>(
            std::clamp<std::uint64_t>(storage_.word[kParties].load(), 1, kSeats));
    }

    /// How many wait for the others.
    [[nodiscard]] std::uint32_t arrived() const noexcept {
        return static_cast<std::uint32_t>(std::popcount(arrivals().load()));
    }

    /// Waits at most until `deadline` for the others. No: it was too early, and this arrival does
    /// not count any more.
    [[nodiscard]] Passed arrive(std::span<Lane> lanes, Owner owner, Deadline deadline) noexcept;

    /// Takes the dead's arrivals back. Idempotent. Whoever waits for a seat is woken by the end of
    /// the sweep.
    void sweep(Owner dead) noexcept;

  private:
    static constexpr std::size_t kArrivals = 0;
    static constexpr std::size_t kParties = 1;
    static constexpr std::size_t kFirstSeat = 64;

    [[nodiscard]] std::optional<std::uint32_t> take_seat(Owner owner) noexcept;
    void leave_seat(std::span<Lane> lanes, std::uint32_t seat) noexcept;
    /// True: this was the last one, and the others may go.
    [[nodiscard]] bool count_in(std::uint32_t seat) noexcept;
    /// False: it was gone already.
    bool take_back(std::uint32_t seat) noexcept;

    static constexpr std::uint64_t bit(std::uint32_t seat) noexcept {
        return std::uint64_t{1} << seat;
    }

    [[nodiscard]] std::atomic<std::uint64_t>& arrivals() const noexcept {
        return storage_.word[kArrivals];
    }

    [[nodiscard]] Parking& others() const noexcept { return storage_.parking[0]; }

    [[nodiscard]] Parking& seats() const noexcept { return storage_.parking[1]; }

    SharedArrayStorage& storage_;
};

}  // namespace topsman::shm
