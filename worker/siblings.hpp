#pragma once

#include "shm/lane.hpp"
#include "shm/lane_set.hpp"
#include "worker/process.hpp"

#include <cstdint>
#include <span>

namespace topsman::detail {

/// The other workers that wait at the same listener. A lane's bit in the set says that its worker
/// waits there; whether it is idle is in its lane, so that a request costs the workers no line that
/// they share. Bits of the dead are cleared by the sweep.
class Siblings {
  public:
    /// Knows of nobody.
    Siblings() noexcept = default;

    /// At this listening socket. A process without a segment, or a socket that the scoreboard does
    /// not know or that is not shared, has no siblings.
    [[nodiscard]] static Siblings of(const Process& process, int listener);

    [[nodiscard]] bool are_known() const noexcept { return waiting_ != nullptr; }

    void enter() noexcept;
    void leave() noexcept;

    /// Does another one wait that has nothing to do?
    [[nodiscard]] bool any_idle() const noexcept;

  private:
    Siblings(shm::LaneSet* waiting, std::span<const shm::Lane> lanes, std::uint32_t self) noexcept
        : waiting_(waiting), lanes_(lanes), self_(self) {}

    shm::LaneSet* waiting_ = nullptr;
    std::span<const shm::Lane> lanes_;
    std::uint32_t self_ = 0;
};

}  // namespace topsman::detail
