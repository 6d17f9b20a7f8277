// A master that is executed anew leaves everything to itself: nothing has happened to anybody.

#include "supervisor/core/inheritance.hpp"

#include "tests/snapshot_text.hpp"
#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

namespace topsman::core::test {
namespace {

void expect_unchanged(const Stage& before) {
    const Anew anew(before);
    EXPECT_EQ(in_words(anew.core.snapshot()), in_words(before.core.snapshot()));
    EXPECT_TRUE(anew.all<Spawn>().empty());
    EXPECT_TRUE(anew.all<Signal>().empty());
    EXPECT_TRUE(anew.all<Announce>().empty()) << "it was told already";
    EXPECT_TRUE(!before.core.inheritance().is_up || anew.all<ServiceUp>().empty());
    EXPECT_EQ(anew.core.next_deadline(), before.core.next_deadline());
}

TEST(InheritanceTest, WhoServesServesOn) {
    Stage stage(cluster_of({pool_of("web", 3), pool_of("jobs", 1)}));
    stage.serve();
    stage.pass(10min);
    expect_unchanged(stage);
}

TEST(InheritanceTest, WhoStartsHasNoMoreTimeThanBefore) {
    Stage stage(cluster_of({pool_of("web", 2)}));
    stage.start();
    stage.step(Spawned{stage.holder(0)});
    stage.step(Spawned{stage.holder(1)});
    stage.pass(7s);
    expect_unchanged(stage);
    Anew anew(stage);
    anew.pass(24s);  // 30s in all
    EXPECT_EQ(anew.worker(stage.holder(0)).state, WorkerState::Aborting);
}

TEST(InheritanceTest, WhoLeavesHasNoMoreTimeThanBefore) {
    Stage stage(cluster_of({pool_of("web", 3)}));
    stage.serve();
    stage.pass(2s);
    stage.step(Scale{{}, "web", 1});
    stage.pass(29s);
    expect_unchanged(stage);
    Anew anew(stage);
    anew.pass(2s);
    EXPECT_EQ(anew.all<Signal>().size(), 2U);
    EXPECT_EQ(anew.all<Signal>().at(0).kind, SignalKind::Kill);
}

TEST(InheritanceTest, FailuresAndDelaysStay) {
    config::Pool pool = pool_of("web", 2);
    Stage stage(cluster_of({pool}));
    stage.serve();
    stage.pass(2s);
    for (int i = 0; i < 4; ++i) {  // one slot fails again and again
        stage.exit(stage.holder(1), exited(1));
        stage.pass(i < 3 ? 2s : 0s);
    }
    ASSERT_EQ(stage.slot(1).phase, SlotPhase::Waiting);
    ASSERT_GT(stage.slot(1).failures, 1U);
    expect_unchanged(stage);
}

TEST(InheritanceTest, WhatWasGivenUpAndWhatWasDrainedStaysSo) {
    config::Pool pool = pool_of("web", 3);
    pool.exec.listeners = {"http"};
    Stage stage(cluster_of({pool}));
    stage.serve();
    stage.pass(2s);
    stage.exit(stage.holder(0), exited(kExitConfiguration));
    const WorkerId drained = stage.holder(1);
    stage.step(Drain{{}, "web", 1});
    expect_unchanged(stage);
    stage.exit(drained, exited(0));
    ASSERT_EQ(stage.slot(1).phase, SlotPhase::Drained);
    expect_unchanged(stage);
}

TEST(InheritanceTest, NoIdIsUsedAgainAndWhatWasBeforeCanBeGoneBackTo) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    config::Config next = stage.core.config();
    next.pools[0].exec.command = {"serve", "better"};
    stage.step(Reload{{}, next});
    stage.make_ready();
    stage.exit(WorkerId{1}, exited(0));
    stage.pass(5s);
    ASSERT_FALSE(stage.core.legacy().base);
    expect_unchanged(stage);
    Anew anew(stage);
    anew.step(Rollback{Ticket{7}});
    ASSERT_EQ(anew.all<Spawn>().size(), 1U);
    EXPECT_EQ(anew.all<Spawn>()[0].worker, WorkerId{3});
    EXPECT_EQ(anew.all<Spawn>()[0].generation, Generation{1});
}

TEST(InheritanceTest, TheStartLimitRemembers) {
    config::Pool pool = pool_of("web", 1);
    pool.start_limit = {.burst = 3, .interval = 1min};
    pool.backoff.initial = 0s;
    Stage stage(cluster_of({pool}));
    stage.start();
    stage.exit(stage.holder(0), exited(1));
    stage.exit(stage.holder(0), exited(1));
    ASSERT_EQ(stage.slot(0).phase, SlotPhase::Occupied);
    Anew anew(stage);
    anew.exit(anew.holder(0), exited(1));
    EXPECT_EQ(anew.slot(0).phase, SlotPhase::Tripped);
}

TEST(InheritanceTest, RecyclingIsNotDrawnAnew) {
    config::Pool pool = pool_of("web", 3);
    pool.recycle = {.lifetime = 1h, .jitter = 1.0};
    Stage stage(cluster_of({pool}));
    stage.serve();
    stage.pass(1s);
    expect_unchanged(stage);
}

TEST(InheritanceTest, WhoLeavesWithItsPoolHasAsLongAsBefore) {
    config::Pool slow = pool_of("jobs", 1);
    slow.stop_timeout = 5min;
    Stage stage(cluster_of({pool_of("web", 1), slow}));
    stage.serve();
    stage.pass(2s);
    const WorkerId leaver = stage.holder(0, Role::Current, 1);
    stage.step(Reload{{}, cluster_of({pool_of("web", 1)})});
    ASSERT_EQ(stage.worker(leaver).state, WorkerState::Draining);
    stage.pass(1min);
    Anew anew(stage);
    anew.pass(3min);
    EXPECT_EQ(anew.worker(leaver).state, WorkerState::Draining);
    anew.pass(2min);
    EXPECT_EQ(anew.worker(leaver).state, WorkerState::Killing);
    // The next master, after a death, does not know since when.
    Inheritance left = stage.core.inheritance();
    left.same_master = false;
    for (LeftWorker& worker : left.workers) {
        worker.course.reset();
    }
    Stage next(left.legacy->footing().config);
    next.now = stage.now;
    next.step(Adopt{left});
    next.pass(4min);
    EXPECT_EQ(next.worker(leaver).state, WorkerState::Draining);
}

TEST(InheritanceTest, AnExitIsDealtWithAsEver) {
    Stage stage(cluster_of({pool_of("web", 2)}));
    stage.serve();
    stage.pass(2s);
    Anew anew(stage);
    anew.exit(stage.holder(1), signaled(9));
    ASSERT_EQ(anew.all<Spawn>().size(), 1U);
    EXPECT_EQ(anew.slot(1).restarts, 1U);
}

}  // namespace
}  // namespace topsman::core::test
