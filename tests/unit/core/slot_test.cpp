#include "supervisor/core/slot.hpp"

#include <gtest/gtest.h>

namespace topsman::core {
namespace {

using namespace std::chrono_literals;

Slot a_slot() {
    return Slot(SlotId{PoolId{0}, 3}, Generation{1});
}

TEST(Slot, IsVacantAtFirst) {
    const Slot slot = a_slot();
    EXPECT_EQ(slot.phase(), SlotPhase::Vacant);
    EXPECT_FALSE(slot.current());
    EXPECT_FALSE(slot.successor());
    EXPECT_EQ(slot.restarts(), 0U);
}

TEST(Slot, TheSuccessorTakesTheSeat) {
    Slot slot = a_slot();
    slot.occupy(WorkerId{1});
    slot.add_successor(WorkerId{2});
    EXPECT_EQ(slot.role_of(WorkerId{1}), Role::Current);
    EXPECT_EQ(slot.role_of(WorkerId{2}), Role::Successor);
    EXPECT_EQ(slot.promote(), WorkerId{1});
    EXPECT_EQ(slot.role_of(WorkerId{1}), Role::Leaving);
    EXPECT_EQ(slot.role_of(WorkerId{2}), Role::Current);
    EXPECT_FALSE(slot.successor());
    EXPECT_EQ(slot.restarts(), 1U);
}

TEST(Slot, ASuccessorThatGoesLeavesTheCurrentUntouched) {
    Slot slot = a_slot();
    slot.occupy(WorkerId{1});
    slot.add_successor(WorkerId{2});
    slot.drop_successor();
    EXPECT_EQ(slot.current(), WorkerId{1});
    EXPECT_EQ(slot.phase(), SlotPhase::Occupied);
}

TEST(Slot, NamesWhatItIs) {
    Slot slot = a_slot();
    slot.wait(TimePoint{1h}, true);
    EXPECT_EQ(slot.phase(), SlotPhase::Waiting);
    slot.trip();
    EXPECT_EQ(slot.phase(), SlotPhase::Tripped);
    slot.finish();
    EXPECT_EQ(slot.phase(), SlotPhase::Finished);
    slot.vacate();
    EXPECT_EQ(slot.phase(), SlotPhase::Vacant);
}

TEST(SlotDeathTest, TwoWorkersCannotSitDown) {
    Slot slot = a_slot();
    slot.occupy(WorkerId{1});
    EXPECT_DEATH(slot.occupy(WorkerId{2}), "CHECK failed");
}

}  // namespace
}  // namespace topsman::core
