#pragma once

// A numbered seat of a pool that should be filled. What it is right now is one of six things, so
// that a waiting slot cannot have a worker, and a successor not be without a current.

#include "supervisor/core/types.hpp"

#include <cstdint>
#include <optional>
#include <variant>

namespace topsman::core {

/// To be filled now; `after`: once that worker is gone (replacing without surplus).
struct Vacant {
    std::optional<WorkerId> after;
};

/// Its worker failed. `paced`: the pool's own delay counts too.
struct Waiting {
    TimePoint not_before;
    bool paced = true;
};

struct Occupied {
    WorkerId current;
    std::optional<WorkerId> successor;
};

struct Tripped {};  ///< given up until somebody resets it

struct Finished {};  ///< its worker ended and the policy does not want another

struct Drained {};  ///< taken out of use by the operator, until it is restarted

using SeatState = std::variant<Vacant, Waiting, Occupied, Tripped, Finished, Drained>;

/// Where a slot is in its pool's rollout.
enum class Renewal : std::uint8_t {
    None,     ///< nothing to do, or done
    Wanted,   ///< its worker is an old one
    Started,  ///< the new worker is there, not yet ready
};

class Slot {
  public:
    Slot(SlotId id, Generation generation) : id_(id), generation_(generation) {}

    [[nodiscard]] SlotId id() const { return id_; }

    [[nodiscard]] const SeatState& seat() const { return seat_; }

    [[nodiscard]] SlotPhase phase() const { return static_cast<SlotPhase>(seat_.index()); }

    /// What it is refilled with: the last generation that became ready in it.
    [[nodiscard]] Generation generation() const { return generation_; }

    void proven(Generation generation) { generation_ = generation; }

    [[nodiscard]] std::optional<WorkerId> current() const;
    [[nodiscard]] std::optional<WorkerId> successor() const;

    /// Leaving: it has no seat here, or not any more.
    [[nodiscard]] Role role_of(WorkerId worker) const;

    /// A new worker sits down; counts as a restart unless it is the first.
    void occupy(WorkerId worker);
    void add_successor(WorkerId worker);
    void drop_successor();
    /// The successor takes the seat. Returns who had it.
    WorkerId promote();

    void vacate(std::optional<WorkerId> after = std::nullopt) { seat_ = Vacant{after}; }

    void wait(TimePoint not_before, bool paced) { seat_ = Waiting{not_before, paced}; }

    void trip() { seat_ = Tripped{}; }

    void finish() { seat_ = Finished{}; }

    void drain() { seat_ = Drained{}; }

    Renewal renewal = Renewal::None;
    std::uint32_t failures = 0;  ///< early deaths in a row

    /// It has had a worker.
    [[nodiscard]] bool has_started() const { return starts_ > 0; }

    /// Of a dead master's slot: how often it had been started before.
    void resume(std::uint64_t restarts) { starts_ = restarts + 1; }

    [[nodiscard]] std::uint64_t restarts() const { return starts_ == 0 ? 0 : starts_ - 1; }

  private:
    SlotId id_;
    Generation generation_;
    SeatState seat_ = Vacant{};
    std::uint64_t starts_ = 0;
};

}  // namespace topsman::core
