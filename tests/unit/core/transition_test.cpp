#include "supervisor/core/transition.hpp"

#include <gtest/gtest.h>

#include <array>
#include <ostream>

namespace topsman::core {
namespace {

using enum WorkerState;

struct StateChange {
    WorkerState state;
    Trigger trigger;
    WorkerState next;
    Step step;
};

// The table once more, in the order in which an operator would ask. A cell that changes has to be
// changed twice, on purpose.
constexpr std::array kExpected{
    StateChange{Starting, Trigger::Ready, Serving, Step::Seat},
    StateChange{Starting, Trigger::Beat, Starting, Step::None},
    StateChange{Starting, Trigger::Leave, Draining, Step::Terminate},
    StateChange{Starting, Trigger::Stopping, Draining, Step::Await},
    StateChange{Starting, Trigger::Abort, Aborting, Step::Abort},
    StateChange{Starting, Trigger::Deadline, Aborting, Step::Abort},
    StateChange{Starting, Trigger::KillNow, Killing, Step::Kill},
    StateChange{Serving, Trigger::Ready, Serving, Step::None},
    StateChange{Serving, Trigger::Beat, Serving, Step::Renew},
    StateChange{Serving, Trigger::Leave, Draining, Step::Terminate},
    StateChange{Serving, Trigger::Stopping, Draining, Step::Await},
    StateChange{Serving, Trigger::Abort, Aborting, Step::Abort},
    StateChange{Serving, Trigger::Deadline, Aborting, Step::Abort},
    StateChange{Serving, Trigger::KillNow, Killing, Step::Kill},
    StateChange{Draining, Trigger::Ready, Draining, Step::None},
    StateChange{Draining, Trigger::Beat, Draining, Step::None},
    StateChange{Draining, Trigger::Leave, Draining, Step::None},
    StateChange{Draining, Trigger::Stopping, Draining, Step::None},
    StateChange{Draining, Trigger::Abort, Aborting, Step::Abort},
    StateChange{Draining, Trigger::Deadline, Killing, Step::Kill},
    StateChange{Draining, Trigger::KillNow, Killing, Step::Kill},
    StateChange{Aborting, Trigger::Ready, Aborting, Step::None},
    StateChange{Aborting, Trigger::Beat, Aborting, Step::None},
    StateChange{Aborting, Trigger::Leave, Aborting, Step::None},
    StateChange{Aborting, Trigger::Stopping, Aborting, Step::None},
    StateChange{Aborting, Trigger::Abort, Aborting, Step::None},
    StateChange{Aborting, Trigger::Deadline, Killing, Step::Kill},
    StateChange{Aborting, Trigger::KillNow, Killing, Step::Kill},
    StateChange{Killing, Trigger::Ready, Killing, Step::None},
    StateChange{Killing, Trigger::Beat, Killing, Step::None},
    StateChange{Killing, Trigger::Leave, Killing, Step::None},
    StateChange{Killing, Trigger::Stopping, Killing, Step::None},
    StateChange{Killing, Trigger::Abort, Killing, Step::None},
    StateChange{Killing, Trigger::Deadline, Killing, Step::Alarm},
    StateChange{Killing, Trigger::KillNow, Killing, Step::None},
};
static_assert(kExpected.size() == kStates * kTriggers, "every cell is expected to be something");

TEST(Transition, EveryCellIsAsDocumented) {
    for (const StateChange& row : kExpected) {
        const Cell& cell = transition(row.state, row.trigger);
        SCOPED_TRACE("state " + std::to_string(static_cast<int>(row.state)) + ", trigger " +
                     std::to_string(static_cast<int>(row.trigger)));
        EXPECT_EQ(cell.next, row.next);
        EXPECT_EQ(cell.step, row.step);
    }
}

TEST(Transition, TheCheckedPropertiesCanFail) {
    TransitionTable back = kTransitions;
    back[2][0].next = Serving;
    EXPECT_FALSE(never_goes_back(back));
    EXPECT_FALSE(late_life_saves_nobody(back));
    TransitionTable stuck = kTransitions;
    stuck[3][static_cast<std::size_t>(Trigger::Deadline)] = {Aborting, Step::None};
    EXPECT_FALSE(every_deadline_acts(stuck));
    TransitionTable twice = kTransitions;
    twice[2][static_cast<std::size_t>(Trigger::Leave)].step = Step::Terminate;
    EXPECT_FALSE(signals_once(twice));
}

}  // namespace
}  // namespace topsman::core
