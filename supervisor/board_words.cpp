#include "supervisor/board_words.hpp"

#include <array>
#include <utility>

namespace topsman::supervisor {

namespace {

template <class Core, class Board, std::size_t N>
using Words = std::array<std::pair<Core, Board>, N>;

constexpr Words<core::SlotPhase, shm::SlotPhase, 6> kPhases{{
    {core::SlotPhase::Vacant, shm::SlotPhase::Vacant},
    {core::SlotPhase::Waiting, shm::SlotPhase::Waiting},
    {core::SlotPhase::Occupied, shm::SlotPhase::Occupied},
    {core::SlotPhase::Tripped, shm::SlotPhase::Tripped},
    {core::SlotPhase::Finished, shm::SlotPhase::Finished},
    {core::SlotPhase::Drained, shm::SlotPhase::Drained},
}};

constexpr Words<core::Role, shm::WorkerRole, 4> kRoles{{
    {core::Role::Current, shm::WorkerRole::Current},
    {core::Role::Successor, shm::WorkerRole::Successor},
    {core::Role::Leaving, shm::WorkerRole::Leaving},
    {core::Role::Spare, shm::WorkerRole::Spare},
}};

// The first of two is what is written; a parked spare is a serving one that does not.
constexpr Words<core::WorkerState, shm::WorkerState, 6> kStates{{
    {core::WorkerState::Starting, shm::WorkerState::Starting},
    {core::WorkerState::Serving, shm::WorkerState::Serving},
    {core::WorkerState::Draining, shm::WorkerState::Draining},
    {core::WorkerState::Aborting, shm::WorkerState::Aborting},
    {core::WorkerState::Killing, shm::WorkerState::Killing},
    {core::WorkerState::Serving, shm::WorkerState::Parked},
}};

template <class Core, class Board, std::size_t N>
Board there(const Words<Core, Board, N>& words, Core word) {
    for (const auto& [core, board] : words) {
        if (core == word) {
            return board;
        }
    }
    return Board{};
}

template <class Core, class Board, std::size_t N>
std::optional<Core> back(const Words<Core, Board, N>& words, Board word) {
    for (const auto& [core, board] : words) {
        if (board == word) {
            return core;
        }
    }
    return std::nullopt;
}

}  // namespace

shm::SlotPhase to_board(core::SlotPhase phase) {
    return there(kPhases, phase);
}

shm::WorkerRole to_board(core::Role role) {
    return there(kRoles, role);
}

shm::WorkerState to_board(core::WorkerState state) {
    return there(kStates, state);
}

shm::BreakerState breaker_to_board(const core::PoolView& pool) {
    if (pool.pool_given_up) {
        return shm::BreakerState::Open;
    }
    return pool.breaker_open ? shm::BreakerState::Slot : shm::BreakerState::Closed;
}

std::optional<core::SlotPhase> from_board(shm::SlotPhase phase) {
    return back(kPhases, phase);
}

std::optional<core::Role> from_board(shm::WorkerRole role) {
    return back(kRoles, role);
}

std::optional<core::WorkerState> from_board(shm::WorkerState state) {
    return back(kStates, state);
}

}  // namespace topsman::supervisor
