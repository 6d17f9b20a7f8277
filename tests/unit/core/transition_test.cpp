#include "supervisor/core/transition.hpp"

#include <gtest/gtest.h>

#include <array>
#include <ostream>

namespace topsman::core {
namespace {

using enum WorkerState;

struct Row {
    WorkerState state;
    Trigger trigger;
    WorkerState next;
    Step step;
};

// The table once more, in the order in which an operator would ask. A cell that changes has to be
// changed twice, on purpose.
constexpr std::array kExpected{
    Row{Starting, Trigger::Ready, Serving, Step::Seat},
    Row{Starting, Trigger::Beat, Starting, Step::None},
    Row{Starting, Trigger::Leave, Draining, Step::Terminate},
    Row{Starting, Trigger::Stopping, Draining, Step::Await},
    Row{Starting, Trigger::Abort, Aborting, Step::Abort},
    Row{Starting, Trigger::Deadline, Aborting, Step::Abort},
    Row{Starting, Trigger::KillNow, Killing, Step::Kill},
    Row{Serving, Trigger::Ready, Serving, Step::None},
    Row{Serving, Trigger::Beat, Serving, Step::Renew},
    Row{Serving, Trigger::Leave, Draining, Step::Terminate},
    Row{Serving, Trigger::Stopping, Draining, Step::Await},
    Row{Serving, Trigger::Abort, Aborting, Step::Abort},
    Row{Serving, Trigger::Deadline, Aborting, Step::Abort},
    Row{Serving, Trigger::KillNow, Killing, Step::Kill},
    Row{Draining, Trigger::Ready, Draining, Step::None},
    Row{Draining, Trigger::Beat, Draining, Step::None},
    Row{Draining, Trigger::Leave, Draining, Step::None},
    Row{Draining, Trigger::Stopping, Draining, Step::None},
    Row{Draining, Trigger::Abort, Aborting, Step::Abort},
    Row{Draining, Trigger::Deadline, Killing, Step::Kill},
    Row{Draining, Trigger::KillNow, Killing, Step::Kill},
    Row{Aborting, Trigger::Ready, Aborting, Step::None},
    Row{Aborting, Trigger::Beat, Aborting, Step::None},
    Row{Aborting, Trigger::Leave, Aborting, Step::None},
    Row{Aborting, Trigger::Stopping, Aborting, Step::None},
    Row{Aborting, Trigger::Abort, Aborting, Step::None},
    Row{Aborting, Trigger::Deadline, Killing, Step::Kill},
    Row{Aborting, Trigger::KillNow, Killing, Step::Kill},
    Row{Killing, Trigger::Ready, Killing, Step::None},
    Row{Killing, Trigger::Beat, Killing, Step::None},
    Row{Killing, Trigger::Leave, Killing, Step::None},
    Row{Killing, Trigger::Stopping, Killing, Step::None},
    Row{Killing, Trigger::Abort, Killing, Step::None},
    Row{Killing, Trigger::Deadline, Killing, Step::Alarm},
    Row{Killing, Trigger::KillNow, Killing, Step::None},
};
static_assert(kExpected.size() == kStates * kTriggers, "every cell is expected to be something");

TEST(Transition, EveryCellIsAsDocumented) {
    for (const Row& row : kExpected) {
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
