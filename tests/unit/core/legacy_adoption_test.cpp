// Going on with what a dead master left and had kept: each generation is what it was.

#include "tests/unit/core/adoption_stage.hpp"

namespace topsman::core {
namespace {

using namespace test;

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
