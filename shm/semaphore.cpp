#include "shm/semaphore.hpp"

namespace topsman::shm {

std::optional<std::uint32_t> Semaphore::try_acquire(Owner owner) noexcept {
    const std::uint32_t all = permits();
    // Each lane begins elsewhere: so they seldom want the same word.
    const std::uint32_t first = all == 0 ? 0 : owner.lane * 7 % all;
    for (std::uint32_t i = 0; i < all; ++i) {
        const std::uint32_t permit = (first + i) % all;
        std::atomic<std::uint64_t>& word = storage_.word[permit];
        std::uint64_t nobody = 0;
        if (word.load(std::memory_order_relaxed) == 0 &&
            word.compare_exchange_strong(nobody, owner.pack())) {
            return permit;
        }
    }
    return std::nullopt;
}

std::optional<std::uint32_t> Semaphore::acquire(std::span<Lane> lanes, Owner owner,
                                                Deadline deadline) noexcept {
    std::optional<std::uint32_t> permit = try_acquire(owner);
    if (!permit) {
        (void)storage_.parking[0].park(lanes, owner.lane, deadline, [&] {
            permit = try_acquire(owner);
            return !permit.has_value();
        });
    }
    return permit;
}

bool Semaphore::release(std::span<Lane> lanes, Owner owner, std::uint32_t permit) noexcept {
    std::uint64_t mine = owner.pack();
    if (permit >= kMostPermits || !storage_.word[permit].compare_exchange_strong(mine, 0)) {
        return false;
    }
    (void)storage_.parking[0].wake_one(lanes);
    return true;
}

std::uint32_t Semaphore::taken() const noexcept {
    std::uint32_t taken = 0;
    visit_owners([&taken](Owner /*owner*/) { ++taken; });
    return taken;
}

void Semaphore::sweep(Owner dead) noexcept {
    for (std::uint32_t i = 0; i < kMostPermits; ++i) {
        std::uint64_t word = dead.pack();
        if (storage_.word[i].load(std::memory_order_relaxed) == word) {
            (void)storage_.word[i].compare_exchange_strong(word, 0);
        }
    }
}

}  // namespace topsman::shm
