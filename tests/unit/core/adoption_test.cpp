// Going on with what a dead master left.

#include "tests/unit/core/adoption_stage.hpp"

namespace topsman::core {
namespace {

using namespace test;

TEST_F(AdoptionTest, WorkersKeepTheirSeatsIdsAndGenerationAndNobodyIsStarted) {
    leave(7, 0);
    leave(9, 1);
    left.slots = {{"web", 0, SlotPhase::Occupied, 4, 0, {}}};
    adopt();
    EXPECT_TRUE(stage.all<Spawn>().empty());
    EXPECT_TRUE(stage.all<Signal>().empty());
    const Snapshot snapshot = stage.core.snapshot();
    EXPECT_EQ(snapshot.generation, Generation{3});
    EXPECT_EQ(snapshot.pools[0].ready, 2U);
    EXPECT_EQ(snapshot.pools[0].slots[0].restarts, 4U);
    EXPECT_EQ(view(7).role, Role::Current);
    EXPECT_EQ(view(9).slot.index, 1U);
    EXPECT_EQ(view(7).generation, Generation{3});
}

TEST_F(AdoptionTest, NoIdIsUsedAgain) {
    leave(7, 0);
    adopt();
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].worker, WorkerId{21});
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].generation, Generation{3});
}

TEST_F(AdoptionTest, WhoHasWorkersOfHisOwnAdoptsNobody) {
    stage.start();
    leave(7, 0);
    const auto before = stage.core.ignored_events();
    adopt();
    EXPECT_EQ(stage.core.ignored_events(), before + 1);
    EXPECT_EQ(stage.core.snapshot().workers.size(), 2U);
    EXPECT_EQ(view(1).role, Role::Current);
}

TEST_F(AdoptionTest, OneWhoWasBeingStartedBesideAnotherIsItsSuccessor) {
    leave(7, 0);
    leave(8, 1);
    leave(9, 0, std::nullopt, WorkerState::Starting);
    adopt();
    EXPECT_EQ(view(9).role, Role::Successor);
    stage.step(BecameReady{WorkerId{9}});
    EXPECT_EQ(view(9).role, Role::Current);
    ASSERT_EQ(stage.all<Signal>().size(), 1U);
    EXPECT_EQ(stage.all<Signal>()[0].worker, WorkerId{7});
}

TEST_F(AdoptionTest, WhoWasLeavingLeavesAndItsEndIsNoFailure) {
    leave(7, 0);
    leave(8, 1);
    leave(5, 0, Role::Leaving, WorkerState::Draining);
    adopt();
    EXPECT_TRUE(stage.all<Signal>().empty()) << "it was told already";
    stage.step(Exited{WorkerId{5}, {}});
    EXPECT_FALSE(stage.all<Obituary>().at(0).failure);
}

TEST_F(AdoptionTest, OneTooManyIsSentAway) {
    leave(7, 4);
    adopt();
    ASSERT_EQ(stage.all<Signal>().size(), 1U);
    EXPECT_EQ(stage.all<Signal>()[0].worker, WorkerId{7});
    EXPECT_EQ(view(7).role, Role::Leaving);
}

TEST_F(AdoptionTest, WorkersOfAPoolThatIsNoMoreLeave) {
    leave(7, 0).pool = "gone";
    adopt();
    EXPECT_EQ(stage.all<Signal>().at(0).worker, WorkerId{7});
    stage.step(Exited{WorkerId{7}, {}});
    EXPECT_EQ(stage.core.snapshot().pools.size(), 1U);
}

TEST_F(AdoptionTest, ItsDeathIsUnknownAndAFailureAndRepairedAtOnce) {
    leave(7, 0);
    leave(8, 1);
    adopt();
    stage.step(Exited{WorkerId{7}, {}});
    EXPECT_TRUE(stage.all<Obituary>().at(0).failure);
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 0U);
}

TEST_F(AdoptionTest, ReadyInItsLaneCounts) {
    leave(7, 0, Role::Current, WorkerState::Starting).said_ready = true;
    leave(8, 1);
    adopt();
    EXPECT_EQ(view(7).state, WorkerState::Serving);
}

TEST_F(AdoptionTest, SilenceIsAnsweredByAReplacementFirst) {
    leave(7, 0, Role::Current, WorkerState::Starting);
    leave(8, 1);
    adopt();
    stage.pass(29s);
    EXPECT_TRUE(stage.all<Spawn>().empty()) << "it has a start deadline of its own";
    stage.pass(2s);
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_TRUE(stage.all<Signal>().empty());
    const WorkerId heir = stage.all<Spawn>()[0].worker;
    stage.step(Spawned{heir});
    stage.step(BecameReady{heir});
    ASSERT_EQ(stage.all<Signal>().size(), 1U);
    EXPECT_EQ(stage.all<Signal>()[0].worker, WorkerId{7});
    EXPECT_EQ(stage.all<Signal>()[0].kind, SignalKind::Terminate);
}

TEST_F(AdoptionTest, NobodyIsLateBecauseThereWasNoMaster) {
    config::Pool pool = pool_of("web", 1);
    pool.watchdog.timeout = 5s;
    Stage other(cluster_of({pool}));
    other.now = stage.now;
    leave(7, 0).last_beat = stage.now - 5min;
    other.step(Adopt{left});
    EXPECT_TRUE(other.all<Signal>().empty());
    other.pass(6s);
    EXPECT_EQ(other.all<Signal>().at(0).kind, SignalKind::Abort);
}

TEST_F(AdoptionTest, WhatTheFileDoesNotSayAnyMoreIsReplacedSuccessorFirst) {
    leave(7, 0).outdated = true;
    leave(8, 1).outdated = true;
    adopt();
    EXPECT_EQ(stage.core.snapshot().generation, Generation{4});
    EXPECT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_TRUE(stage.all<Signal>().empty());
    const WorkerId heir = stage.all<Spawn>()[0].worker;
    EXPECT_EQ(stage.all<Spawn>()[0].generation, Generation{4});
    stage.step(Exited{heir, exited(1)});
    EXPECT_EQ(stage.core.snapshot().pools[0].ready, 2U) << "those that serve stay";
    EXPECT_TRUE(stage.all<Signal>().empty());
}

TEST_F(AdoptionTest, AnOutdatedWorkersSeatIsRefilledWithWhatIsKnown) {
    leave(7, 0).outdated = true;
    leave(8, 1).outdated = true;
    adopt();
    stage.step(Exited{stage.all<Spawn>().at(0).worker, exited(1)});
    stage.step(Exited{WorkerId{7}, {}});
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].generation, Generation{4});
}

TEST_F(AdoptionTest, OnlyThoseARolloutHadNotReachedAreReplaced) {
    leave(7, 0);
    leave(8, 1).outdated = true;
    left.workers[0].generation = Generation{4};
    left.generation = Generation{4};
    adopt();
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 1U);
}

TEST_F(AdoptionTest, ASeatIsNeverRefilledWithWhatOnlyADeadMasterKnew) {
    leave(7, 0);
    leave(8, 1).outdated = true;
    leave(9, 0, Role::Successor, WorkerState::Starting);
    adopt();
    stage.step(BecameReady{WorkerId{9}});
    stage.step(Exited{WorkerId{9}, {}});
    for (const Spawn& spawn : stage.all<Spawn>()) {
        EXPECT_EQ(spawn.generation, Generation{4});
    }
}

TEST_F(AdoptionTest, BackoffsAndBreakersStayAsTheyWere) {
    left.slots = {{"web", 0, SlotPhase::Waiting, 3, 4, stage.now + 8s},
                  {"web", 1, SlotPhase::Tripped, 9, 0, {}}};
    adopt();
    EXPECT_TRUE(stage.all<Spawn>().empty());
    const Snapshot snapshot = stage.core.snapshot();
    EXPECT_EQ(snapshot.pools[0].slots[0].failures, 4U);
    EXPECT_TRUE(snapshot.pools[0].breaker_open);
    stage.pass(9s);
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 0U);
}

TEST_F(AdoptionTest, ASlotThatWasGivenUpDoesNotTakeItsPoolAlong) {
    Stage before(cluster_of({pool_of("web", 2)}));
    before.serve();
    before.exit(before.holder(0), exited(kExitConfiguration));
    ASSERT_TRUE(before.pool().breaker_open);
    left.pools[0].breaker_open = before.pool().pool_given_up;
    left.slots = {{"web", 0, SlotPhase::Tripped, 0, 0, {}}};
    leave(9, 1);
    adopt();
    EXPECT_TRUE(stage.pool().breaker_open) << "to the operator";
    EXPECT_FALSE(stage.pool().pool_given_up);
    stage.exit(WorkerId{9}, signaled(9));
    stage.exit(stage.holder(1), exited(1));  // a moment after its start
    EXPECT_NE(stage.slot(1).phase, SlotPhase::Tripped);
    EXPECT_EQ(stage.slot(0).phase, SlotPhase::Tripped);
}

TEST_F(AdoptionTest, APoolThatIsDownIsStartedOneByOneAsBefore) {
    left.pools[0].failures = 6;
    left.pools[0].not_before = stage.now + 1s;
    left.slots = {{"web", 0, SlotPhase::Waiting, 0, 3, stage.now + 1s},
                  {"web", 1, SlotPhase::Waiting, 0, 3, stage.now + 1s}};
    adopt();
    stage.pass(1s);
    EXPECT_EQ(stage.all<Spawn>().size(), 1U);
    stage.pass(799ms);  // 100ms * 2^4 / 2
    EXPECT_TRUE(stage.all<Spawn>().empty());
    stage.pass(1ms);
    EXPECT_EQ(stage.all<Spawn>().size(), 1U);
}

TEST_F(AdoptionTest, ARecordThatMakesNoSenseIsNotBelieved) {
    left.slots = {{"web", 0, SlotPhase::Waiting, 0, 4'000'000'000, TimePoint::max()},
                  {"web", 77, SlotPhase::Tripped, 0, 0, {}}};
    left.pools[0].wanted = 4'000'000'000;
    left.pools[0].generation = Generation{9};
    adopt();
    EXPECT_EQ(stage.core.snapshot().pools[0].wanted, 2U);
    EXPECT_EQ(stage.core.snapshot().pools[0].generation, Generation{3});
    stage.pass(2min);
    EXPECT_FALSE(stage.all<Spawn>().empty()) << "no wait is longer than the longest of ours";
}

TEST_F(AdoptionTest, WhatWasScaledStaysSoAsLongAsTheFileDoes) {
    left.pools[0].wanted = 5;
    adopt();
    EXPECT_EQ(stage.core.snapshot().pools[0].wanted, 5U);
    Stage other(cluster_of({pool_of("web", 3)}));
    other.now = stage.now;
    other.step(Adopt{left});
    EXPECT_EQ(other.core.snapshot().pools[0].wanted, 3U) << "the file says something else now";
}

}  // namespace
}  // namespace topsman::core
