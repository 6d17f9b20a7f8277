#pragma once

// Permits that come back: a number of workers, or of things they do, at a time.
//
// Each permit is a word that says who has it. Taking one is one exchange from nobody to
// {lane, generation}, giving it back one to nobody; so a death leaves nothing to guess, and the
// sweep gives back what names the dead. A mere number of free permits could not be repaired.
//
// It lies in a row of words (SharedArrayStorage): the permits' owners, and in the last word how
// many permits there are.

#include "shm/parking.hpp"
#include "shm/shared_object.hpp"

#include <algorithm>
#include <optional>

namespace topsman::shm {

class Semaphore {
  public:
    static constexpr std::uint32_t kMostPermits = kMaxArrayBytes / 8 - 1;

    /// A view; what it shows stays where it is.
    explicit Semaphore(SharedArrayStorage& storage) noexcept : storage_(storage) {}

    /// By whoever registers the name, before others can find it.
    void init(std::uint32_t permits) noexcept {
        storage_.init(sizeof(std::uint64_t));
        set_permits(permits);
    }

    /// Fewer than before: those that are taken come back and are then not given again.
    void set_permits(std::uint32_t permits) noexcept { storage_.word[kMostPermits].store(permits); }

    [[nodiscard]] std::uint32_t permits() const noexcept {
        return static_cast<std::uint32_t>(
            std::min<std::uint64_t>(storage_.word[kMostPermits].load(), kMostPermits));
    }

    /// The number of the permit that was taken; none: all are. Never waits.
    [[nodiscard]] std::optional<std::uint32_t> try_acquire(Owner owner) noexcept;

    /// As try_acquire(), but waits at most until `deadline`.
    [[nodiscard]] std::optional<std::uint32_t> acquire(std::span<Lane> lanes, Owner owner,
                                                       Deadline deadline) noexcept;

    /// False: the permit is not the owner's.
    bool release(std::span<Lane> lanes, Owner owner, std::uint32_t permit) noexcept;

    [[nodiscard]] std::uint32_t taken() const noexcept;

    /// Calls visitor(owner) for each permit that is taken.
    template <class Visitor>
    void visit_owners(Visitor&& visitor) const {
        for (std::uint32_t i = 0; i < kMostPermits; ++i) {
            if (const std::uint64_t word = storage_.word[i].load(); word != 0) {
                visitor(Owner::unpack(word));
            }
        }
    }

    /// Gives back what the dead held. Idempotent. Whoever waits is woken by the end of the sweep.
    void sweep(Owner dead) noexcept;

  private:
    SharedArrayStorage& storage_;
};

}  // namespace topsman::shm
