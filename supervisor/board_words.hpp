#pragma once

// The core's words and the scoreboard's for the same things, both ways. What is read back may be
// any bytes: a word that no master writes is none.

#include "shm/scoreboard.hpp"
#include "supervisor/core/supervisor_core.hpp"
#include "supervisor/core/types.hpp"

#include <optional>

namespace topsman::supervisor {

[[nodiscard]] shm::SlotPhase to_board(core::SlotPhase phase);
[[nodiscard]] shm::WorkerRole to_board(core::Role role);
[[nodiscard]] shm::WorkerState to_board(core::WorkerState state);

/// The next master has to know whose it is: a pool that was given up is so again by one failure.
[[nodiscard]] shm::BreakerState breaker_to_board(const core::PoolView& pool);

[[nodiscard]] std::optional<core::SlotPhase> from_board(shm::SlotPhase phase);
[[nodiscard]] std::optional<core::Role> from_board(shm::WorkerRole role);
[[nodiscard]] std::optional<core::WorkerState> from_board(shm::WorkerState state);

}  // namespace topsman::supervisor
