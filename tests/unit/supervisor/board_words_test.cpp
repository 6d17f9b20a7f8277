#include "supervisor/board_words.hpp"

#include <gtest/gtest.h>

namespace topsman::supervisor {
namespace {

TEST(BoardWordsTest, EachWordComesBackAsItself) {
    using core::Role;
    using core::SlotPhase;
    using core::WorkerState;
    for (const SlotPhase phase : {SlotPhase::Vacant, SlotPhase::Waiting, SlotPhase::Occupied,
                                  SlotPhase::Tripped, SlotPhase::Finished, SlotPhase::Drained}) {
        EXPECT_EQ(from_board(to_board(phase)), phase);
    }
    for (const Role role : {Role::Current, Role::Successor, Role::Leaving, Role::Spare}) {
        EXPECT_EQ(from_board(to_board(role)), role);
    }
    for (const WorkerState state :
         {WorkerState::Starting, WorkerState::Serving, WorkerState::Draining, WorkerState::Aborting,
          WorkerState::Killing}) {
        EXPECT_EQ(from_board(to_board(state)), state);
    }
}

TEST(BoardWordsTest, AParkedSpareIsAServingOneToTheCore) {
    EXPECT_EQ(from_board(shm::WorkerState::Parked), core::WorkerState::Serving);
    EXPECT_EQ(to_board(core::WorkerState::Serving), shm::WorkerState::Serving);
}

TEST(BoardWordsTest, ASlotsBreakerIsNotItsPools) {
    core::PoolView pool;
    EXPECT_EQ(breaker_to_board(pool), shm::BreakerState::Closed);
    pool.breaker_open = true;
    EXPECT_EQ(breaker_to_board(pool), shm::BreakerState::Slot);
    pool.pool_given_up = true;
    EXPECT_EQ(breaker_to_board(pool), shm::BreakerState::Open);
}

TEST(BoardWordsTest, WhatNoMasterWritesIsNoWord) {
    EXPECT_EQ(from_board(shm::SlotPhase::Unused), std::nullopt);
    EXPECT_EQ(from_board(shm::WorkerRole::None), std::nullopt);
    EXPECT_EQ(from_board(shm::WorkerState::None), std::nullopt);
    EXPECT_EQ(from_board(static_cast<shm::SlotPhase>(77)), std::nullopt);
    EXPECT_EQ(from_board(static_cast<shm::WorkerRole>(~0U)), std::nullopt);
    EXPECT_EQ(from_board(static_cast<shm::WorkerState>(7)), std::nullopt);
}

}  // namespace
}  // namespace topsman::supervisor
