#include "supervisor/core/slot.hpp"

#include "shm/base/check.hpp"

namespace topsman::core {

namespace {

// phase() reads the variant's index as the public word.
template <class Kind>
constexpr bool is_named(SlotPhase phase, Kind kind) {
    return SeatState(kind).index() == static_cast<std::size_t>(phase);
}

static_assert(is_named(SlotPhase::Vacant, Vacant{}));
static_assert(is_named(SlotPhase::Waiting, Waiting{}));
static_assert(is_named(SlotPhase::Occupied, Occupied{}));
static_assert(is_named(SlotPhase::Tripped, Tripped{}));
static_assert(is_named(SlotPhase::Finished, Finished{}));
static_assert(is_named(SlotPhase::Drained, Drained{}));

}  // namespace

std::optional<WorkerId> Slot::current() const {
    const auto* occupied = std::get_if<Occupied>(&seat_);
    return occupied == nullptr ? std::nullopt : std::optional(occupied->current);
}

std::optional<WorkerId> Slot::successor() const {
    const auto* occupied = std::get_if<Occupied>(&seat_);
    return occupied == nullptr ? std::nullopt : occupied->successor;
}

Role Slot::role_of(WorkerId worker) const {
    if (current() == worker) {
        return Role::Current;
    }
    return successor() == worker ? Role::Successor : Role::Leaving;
}

void Slot::occupy(WorkerId worker) {
    CHECK(phase() != SlotPhase::Occupied);
    seat_ = Occupied{worker, std::nullopt};
    ++starts_;
}

void Slot::add_successor(WorkerId worker) {
    CHECK(current() && !successor());
    std::get<Occupied>(seat_).successor = worker;
    ++starts_;
}

void Slot::drop_successor() {
    CHECK(successor().has_value());
    std::get<Occupied>(seat_).successor.reset();
}

WorkerId Slot::promote() {
    CHECK(successor().has_value());
    auto& occupied = std::get<Occupied>(seat_);
    const WorkerId before = occupied.current;
    occupied = Occupied{*occupied.successor, std::nullopt};
    return before;
}

}  // namespace topsman::core
