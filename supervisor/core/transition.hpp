#pragma once

// What a worker does next. Rows are states, columns are triggers. An exit has no column: a Worker
// object exists only while its process does, and its slot deals with the death. Every cell is
// written out, because silence is a decision too.

#include "supervisor/core/types.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace topsman::core {

enum class Trigger : std::uint8_t {
    Ready,     ///< it can serve
    Beat,      ///< a sign of life
    Leave,     ///< we want it to go
    Stopping,  ///< it says that it goes by itself
    Abort,     ///< it asks to be aborted
    Deadline,  ///< its state has lasted too long
    KillNow,   ///< nothing is waited for any more
};
inline constexpr std::size_t kStates = 5;
inline constexpr std::size_t kTriggers = 7;

/// What is done on the way.
enum class Step : std::uint8_t {
    None,
    Seat,       ///< it takes the seat it was started for
    Renew,      ///< its deadline counts from now
    Await,      ///< wait for its exit, without a signal
    Terminate,  ///< send the stop signal
    Abort,      ///< send the watchdog signal
    Kill,       ///< send SIGKILL
    Alarm,      ///< send SIGKILL again: it should have been gone
};

struct Cell {
    WorkerState next;
    Step step;
};

using TransitionTable = std::array<std::array<Cell, kTriggers>, kStates>;

// clang-format off
namespace table {
using enum WorkerState;
using enum Step;
inline constexpr TransitionTable kTransitions{{
    //               Ready             Beat              Leave                  Stopping
    //               Abort             Deadline          KillNow
    /* Starting */ {{{Serving, Seat},  {Starting, None}, {Draining, Terminate}, {Draining, Await},
                     {Aborting, Abort}, {Aborting, Abort}, {Killing, Kill}}},
    /* Serving  */ {{{Serving, None},  {Serving, Renew}, {Draining, Terminate}, {Draining, Await},
                     {Aborting, Abort}, {Aborting, Abort}, {Killing, Kill}}},
    /* Draining */ {{{Draining, None}, {Draining, None}, {Draining, None},      {Draining, None},
                     {Aborting, Abort}, {Killing, Kill},  {Killing, Kill}}},
    /* Aborting */ {{{Aborting, None}, {Aborting, None}, {Aborting, None},      {Aborting, None},
                     {Aborting, None}, {Killing, Kill},  {Killing, Kill}}},
    /* Killing  */ {{{Killing, None},  {Killing, None},  {Killing, None},       {Killing, None},
                     {Killing, None},  {Killing, Alarm}, {Killing, None}}},
}};
}  // namespace table

// clang-format on
using table::kTransitions;

[[nodiscard]] constexpr const Cell& transition(WorkerState state, Trigger trigger) {
    return kTransitions[static_cast<std::size_t>(state)][static_cast<std::size_t>(trigger)];
}

[[nodiscard]] constexpr bool never_goes_back(const TransitionTable& table) {
    for (std::size_t state = 0; state < kStates; ++state) {
        for (const Cell& cell : table[state]) {
            if (static_cast<std::size_t>(cell.next) < state) {
                return false;
            }
        }
    }
    return true;
}

/// A deadline moves every worker on, or in the last state raises the alarm: nobody is forgotten.
[[nodiscard]] constexpr bool every_deadline_acts(const TransitionTable& table) {
    for (std::size_t state = 0; state < kStates; ++state) {
        const Cell& cell = table[state][static_cast<std::size_t>(Trigger::Deadline)];
        const bool moves = static_cast<std::size_t>(cell.next) > state;
        if (cell.step == Step::None || (!moves && cell.step != Step::Alarm)) {
            return false;
        }
    }
    return true;
}

/// A signal is sent on the way into its state and never twice, but for the alarm's.
[[nodiscard]] constexpr bool signals_once(const TransitionTable& table) {
    for (std::size_t state = 0; state < kStates; ++state) {
        for (const Cell& cell : table[state]) {
            const bool stays = static_cast<std::size_t>(cell.next) == state;
            const bool sends =
                cell.step == Step::Terminate || cell.step == Step::Abort || cell.step == Step::Kill;
            const bool fits =
                (cell.step != Step::Terminate || cell.next == WorkerState::Draining) &&
                (cell.step != Step::Abort || cell.next == WorkerState::Aborting) &&
                (cell.step != Step::Kill || cell.next == WorkerState::Killing);
            if ((stays && sends) || !fits) {
                return false;
            }
        }
    }
    return true;
}

/// A late sign of life changes nothing for a worker that is on its way out.
[[nodiscard]] constexpr bool late_life_saves_nobody(const TransitionTable& table) {
    for (std::size_t state = static_cast<std::size_t>(WorkerState::Draining); state < kStates;
         ++state) {
        for (const Trigger trigger : {Trigger::Ready, Trigger::Beat}) {
            const Cell& cell = table[state][static_cast<std::size_t>(trigger)];
            if (static_cast<std::size_t>(cell.next) != state || cell.step != Step::None) {
                return false;
            }
        }
    }
    return true;
}

static_assert(never_goes_back(kTransitions), "a worker only moves towards its end");
static_assert(every_deadline_acts(kTransitions), "no state can be stayed in for ever");
static_assert(signals_once(kTransitions), "a signal belongs to the entry of one state");
static_assert(late_life_saves_nobody(kTransitions), "who is being ended is not spared");

}  // namespace topsman::core
