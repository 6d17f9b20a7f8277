// Going on with what a dead master left.

#include "tests/unit/core/scenario.hpp"

namespace topsman::core {
namespace {

using namespace test;

class AdoptionTest : public testing::Test {
  protected:
    explicit AdoptionTest(std::uint32_t workers = 2)
        : stage(cluster_of({pool_of("web", workers)})) {
        stage.now += 1h;
        left.generation = Generation{3};
        left.last_worker = WorkerId{20};
        LeftPool pool;
        pool.name = "web";
        pool.wanted = pool.configured = workers;
        pool.generation = Generation{3};
        left.pools = {pool};
    }

    LeftWorker& leave(std::uint64_t id, std::uint32_t slot,
                      std::optional<Role> role = Role::Current,
                      WorkerState state = WorkerState::Serving) {
        LeftWorker worker;
        worker.worker = WorkerId{id};
        worker.pool = "web";
        worker.slot = slot;
        worker.generation = Generation{3};
        worker.role = role;
        worker.state = state;
        worker.spawned_at = stage.now - 10min;
        if (state == WorkerState::Serving) {
            worker.ready_at = worker.spawned_at;
        }
        return left.workers.emplace_back(worker);
    }

    void adopt() { stage.step(Adopt{left}); }

    WorkerView view(std::uint64_t id) const {
        for (const WorkerView& worker : stage.core.snapshot().workers) {
            if (worker.worker == WorkerId{id}) {
                return worker;
            }
        }
        ADD_FAILURE() << "no worker " << id;
        return {};
    }

    Stage stage;
    Inheritance left;
};

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

// What the dead master had kept is known: generation 3, and 4, which a reload had brought.
class LegacyTest : public AdoptionTest {
  protected:
    LegacyTest() {
        old.config = cluster_of({pool_of("web", 2)});
        old.generation = Generation{3};
        old.pools = {{"web", Generation{3}}};
        fresh = old;
        fresh.config.pools[0].exec.command = {"serve", "--new"};
        fresh.config.pools[0].rollout.on_failure = config::OnFailure::Rollback;
        fresh.generation = Generation{4};
        fresh.pools = {{"web", Generation{4}}};
        legacy.current = fresh;
        legacy.base = old;
    }

    void leave_both(std::uint32_t first, std::uint32_t second) {
        leave(7, 0).generation = Generation{first};
        leave(8, 1).generation = Generation{second};
    }

    void go_on() {
        left.legacy = legacy;
        adopt();
    }

    std::vector<Generation> spawned() const {
        std::vector<Generation> generations;
        for (const Spawn& spawn : stage.all<Spawn>()) {
            generations.push_back(spawn.generation);
        }
        return generations;
    }

    Version old;
    Version fresh;
    Legacy legacy;
};

TEST_F(LegacyTest, AReloadUnderWayGoesOnForThoseWhomItHadNotReached) {
    leave_both(4, 3);
    go_on();
    EXPECT_EQ(stage.core.config(), fresh.config);
    EXPECT_EQ(view(7).generation, Generation{4});
    ASSERT_EQ(spawned(), std::vector{Generation{4}});
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 1U);
    EXPECT_EQ(stage.pool().stage, RolloutStage::Canary) << "it has to prove itself again";
    stage.make_ready();
    EXPECT_EQ(view(8).state, WorkerState::Draining);
    EXPECT_EQ(stage.pool().stage, RolloutStage::Idle);
    EXPECT_EQ(stage.core.legacy().base, std::nullopt);
    EXPECT_EQ(stage.core.legacy().previous->generation, Generation{3});
}

TEST_F(LegacyTest, AReloadUnderWayIsUndoneWhenItFails) {
    leave_both(4, 3);
    go_on();
    stage.exit(stage.all<Spawn>().at(0).worker, exited(1));
    EXPECT_EQ(stage.core.config(), old.config);
    EXPECT_EQ(spawned(), std::vector{Generation{3}}) << "for the one that was new already";
    EXPECT_TRUE(stage.core.legacy().goes_back);
    stage.make_ready();
    EXPECT_EQ(view(7).state, WorkerState::Draining);
    EXPECT_EQ(view(8).state, WorkerState::Serving);
    EXPECT_EQ(stage.core.legacy().ends.at("web").substr(0, 11), "rolled back");
}

TEST_F(LegacyTest, EachDiesIntoItsOwnGeneration) {
    leave_both(4, 3);
    legacy.paused = {"web"};
    legacy.ends = {{"web", "paused: web/1: new worker exited with code 1"}};
    go_on();
    EXPECT_TRUE(spawned().empty());
    EXPECT_EQ(stage.pool().stage, RolloutStage::Paused);
    EXPECT_EQ(stage.pool().rollout, legacy.ends.at("web"));
    stage.exit(WorkerId{7}, {});
    EXPECT_EQ(spawned(), std::vector{Generation{4}});
    stage.exit(WorkerId{8}, {});
    EXPECT_EQ(spawned(), std::vector{Generation{3}});
}

TEST_F(LegacyTest, WhoIsNotReadyYetIsStillOnTrial) {
    leave(17, 0, Role::Current, WorkerState::Starting).generation = fresh.generation;
    leave(18, 1, Role::Current, WorkerState::Starting).generation = fresh.generation;
    go_on();
    EXPECT_EQ(stage.pool().stage, RolloutStage::Rolling);
    stage.exit(WorkerId{17}, exited(3));
    EXPECT_TRUE(stage.announced(Notice::RolloutFailed));
}

TEST_F(LegacyTest, WhatWasBeingUndoneIsUndone) {
    leave_both(4, 3);
    legacy.current = old;
    legacy.goes_back = true;
    legacy.failure = "web/0: new worker exited with code 3";
    go_on();
    EXPECT_EQ(stage.pool().stage, RolloutStage::RollingBack);
    EXPECT_EQ(spawned(), std::vector{Generation{3}});
    stage.make_ready();
    EXPECT_EQ(view(7).state, WorkerState::Draining);
    EXPECT_EQ(stage.pool().rollout, "rolled back: " + legacy.failure);
    EXPECT_EQ(stage.core.legacy().base, std::nullopt);
}

TEST_F(LegacyTest, WhoWasSentAheadIsSentAwayAndAnotherOneGoes) {
    leave_both(3, 3);
    leave(9, 0, Role::Successor).generation = Generation{4};
    go_on();
    EXPECT_EQ(stage.signals(WorkerId{9}), std::vector{SignalKind::Terminate});
    EXPECT_EQ(spawned(), std::vector{Generation{4}});
    EXPECT_EQ(view(7).state, WorkerState::Serving);
}

TEST_F(LegacyTest, ASeatWhoseWorkerDoesNotServeKeepsWhoWasSentAhead) {
    leave(7, 0, Role::Current, WorkerState::Draining).generation = Generation{3};
    leave(8, 1).generation = Generation{3};
    leave(9, 0, Role::Successor).generation = Generation{4};
    go_on();
    EXPECT_TRUE(stage.signals(WorkerId{9}).empty());
    EXPECT_EQ(view(9).role, Role::Current);
}

TEST_F(LegacyTest, WhatAReloadHadAddedStaysAndWhatItTakesAwayIsTakenAwayAtItsEnd) {
    leave_both(4, 3);
    fresh.config.pools.push_back(pool_of("added", 1));
    fresh.pools["added"] = Generation{4};
    old.config.pools.push_back(pool_of("gone", 1));
    old.pools["gone"] = Generation{3};
    legacy.current = fresh;
    legacy.base = old;
    left.legacy = legacy;
    leave(10, 0).pool = "added";
    left.workers.back().generation = Generation{4};
    leave(11, 0).pool = "gone";
    Stage other(old.config);
    other.now = stage.now;
    other.step(Adopt{left});
    EXPECT_EQ(other.worker(WorkerId{10}).role, Role::Current);
    EXPECT_EQ(other.worker(WorkerId{11}).state, WorkerState::Serving);
    other.make_ready();
    EXPECT_EQ(other.worker(WorkerId{11}).state, WorkerState::Draining);
    EXPECT_EQ(other.worker(WorkerId{10}).state, WorkerState::Serving);
}

TEST_F(LegacyTest, NothingIsDoneTwiceWhenTheBoardIsOlderThanWhatWasKept) {
    legacy.base.reset();
    legacy.previous = old;
    leave_both(4, 3);
    leave(9, 1, Role::Successor).generation = Generation{4};
    left.legacy = legacy;
    Stage other(fresh.config);
    other.now = stage.now;
    other.step(Adopt{left});
    EXPECT_TRUE(other.all<Spawn>().empty());
    EXPECT_EQ(other.worker(WorkerId{9}).role, Role::Current);
    EXPECT_EQ(other.worker(WorkerId{8}).role, Role::Leaving);
    other.exit(WorkerId{9}, {});
    EXPECT_EQ(other.all<Spawn>().at(0).generation, Generation{4});
}

TEST_F(LegacyTest, NoGenerationIsUsedAgain) {
    legacy.base.reset();
    legacy.current = old;
    legacy.previous = fresh;
    leave_both(3, 3);
    go_on();
    config::Config third = old.config;
    third.pools[0].exec.command = {"serve", "--third"};
    stage.step(Reload{{}, third});
    EXPECT_EQ(spawned(), std::vector{Generation{5}});
}

TEST_F(LegacyTest, WhatIsNotKnownIsRenewedAndDiesIntoWhatIs) {
    legacy.base.reset();
    legacy.current = old;
    leave_both(3, 9);
    left.workers[1].outdated = true;
    go_on();
    ASSERT_EQ(spawned(), std::vector{Generation{3}});
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 1U);
    stage.exit(stage.all<Spawn>()[0].worker, exited(1));
    stage.exit(WorkerId{8}, {});
    EXPECT_EQ(spawned(), std::vector{Generation{3}});
}

TEST_F(LegacyTest, WorkersThatAReloadTakesAwayServeUntilItsEnd) {
    leave_both(3, 4);
    leave(9, 2).generation = Generation{4};
    left.pools[0].wanted = 3;
    left.pools[0].configured = 2;
    legacy.base->config.pools[0].workers = 3;
    legacy.current.config.pools[0].workers = 1;
    go_on();
    EXPECT_EQ(stage.pool().wanted, 3U);
    EXPECT_EQ(view(9).role, Role::Current);
    stage.make_ready();
    EXPECT_EQ(stage.pool().wanted, 1U);
    EXPECT_EQ(view(9).state, WorkerState::Draining);
}

TEST_F(LegacyTest, AScalingDuringAReloadOutlivesTheMaster) {
    Stage dead(old.config);
    dead.serve();
    config::Config next = fresh.config;
    next.pools[0].workers = 1;
    next.pools[0].rollout.observe = 1h;
    dead.step(Reload{{}, next});
    EXPECT_EQ(dead.core.legacy().current.config.pools[0].workers, 1U);
    EXPECT_EQ(dead.core.legacy().base->config.pools[0].workers, 2U);
    dead.step(Scale{{}, "web", 3});
    EXPECT_EQ(dead.core.legacy().current.config.pools[0].workers, 3U);
    EXPECT_EQ(dead.core.legacy().base->config.pools[0].workers, 3U);
}

}  // namespace
}  // namespace topsman::core
