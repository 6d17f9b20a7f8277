#include "shm/barrier.hpp"

namespace topsman::shm {

std::optional<std::uint32_t> Barrier::take_seat(Owner owner) noexcept {
    for (std::uint32_t seat = 0; seat < kSeats; ++seat) {
        std::atomic<std::uint64_t>& word = storage_.word[kFirstSeat + seat];
        std::uint64_t nobody = 0;
        if (word.load(std::memory_order_relaxed) == 0 &&
            word.compare_exchange_strong(nobody, owner.pack())) {
            return seat;
        }
    }
    return std::nullopt;
}

void Barrier::leave_seat(std::span<Lane> lanes, std::uint32_t seat) noexcept {
    storage_.word[kFirstSeat + seat].store(0);
    (void)seats().wake_one(lanes);
}

bool Barrier::count_in(std::uint32_t seat) noexcept {
    std::uint64_t there = arrivals().load();
    for (;;) {
        const bool is_last = static_cast<std::uint32_t>(std::popcount(there)) + 1 >= parties();
        if (arrivals().compare_exchange_weak(there, is_last ? 0 : there | bit(seat))) {
            return is_last;
        }
    }
}

bool Barrier::take_back(std::uint32_t seat) noexcept {
    return (arrivals().fetch_and(~bit(seat)) & bit(seat)) != 0;
}

Barrier::Passed Barrier::arrive(std::span<Lane> lanes, Owner owner, Deadline deadline) noexcept {
    std::optional<std::uint32_t> seat = take_seat(owner);
    if (!seat) {
        // Others have gone on and are just leaving theirs, or far more come than are parties.
        (void)seats().park(lanes, owner.lane, deadline, [&] {
            seat = take_seat(owner);
            return !seat.has_value();
        });
    }
    if (!seat) {
        return Passed::No;
    }
    Passed passed = Passed::Yes;
    if (count_in(*seat)) {
        (void)others().wake_all(lanes);
        passed = Passed::AsTheLast;
    } else if (others().park(lanes, owner.lane, deadline, [&] {
                   return (arrivals().load() & bit(*seat)) != 0;
               }) == Parked::TimedOut) {
        passed = take_back(*seat) ? Passed::No : Passed::Yes;
    }
    leave_seat(lanes, *seat);
    return passed;
}

void Barrier::sweep(Owner dead) noexcept {
    for (std::uint32_t seat = 0; seat < kSeats; ++seat) {
        std::atomic<std::uint64_t>& word = storage_.word[kFirstSeat + seat];
        if (word.load() == dead.pack()) {
            (void)take_back(seat);  // first: nobody else gets the seat while its bit is there
            std::uint64_t theirs = dead.pack();
            (void)word.compare_exchange_strong(theirs, 0);
        }
    }
}

}  // namespace topsman::shm
