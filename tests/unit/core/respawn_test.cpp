// What follows a death: at once, later, never.

#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace topsman::core::test {
namespace {

std::string next_after(Stage& stage, const ExitReport& report) {
    stage.exit(stage.holder(0), report);
    return stage.all<Obituary>().at(0).next;
}

TEST(Respawn, ACrashLoopIsTriedAtOnceAndThenFartherAndFartherApart) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.start();
    EXPECT_EQ(next_after(stage, exited(1)), "restarted at once");
    EXPECT_EQ(next_after(stage, exited(1)), "next try in 100ms");
    EXPECT_TRUE(stage.announced(Notice::SlotWaiting));
    EXPECT_EQ(stage.core.next_deadline(), stage.now + 100ms);
    stage.pass(99ms);
    EXPECT_EQ(stage.living(), 0U);
    stage.pass(1ms);
    EXPECT_EQ(stage.living(), 1U);
    EXPECT_EQ(next_after(stage, exited(1)), "next try in 200ms");
    stage.pass(200ms);
    EXPECT_EQ(next_after(stage, exited(1)), "next try in 400ms");
    EXPECT_EQ(stage.slot(0).failures, 4U);
}

TEST(Respawn, AWorkerThatServedASecondIsReplacedAtOnceHoweverOftenItsSlotFailed) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.start();
    next_after(stage, exited(1));
    next_after(stage, exited(1));
    stage.pass(100ms);
    stage.make_ready();
    stage.pass(1s);
    EXPECT_EQ(next_after(stage, signaled(SIGSEGV)), "restarted at once");
    EXPECT_EQ(stage.slot(0).failures, 2U);
    EXPECT_EQ(next_after(stage, exited(1)), "next try in 200ms");
}

TEST(Respawn, HealthForResetAfterForgetsTheFailures) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.start();
    next_after(stage, exited(1));
    next_after(stage, exited(1));
    stage.pass(100ms);
    stage.make_ready();
    EXPECT_EQ(stage.core.next_deadline(), stage.now + 60s);
    stage.pass(60s);
    EXPECT_EQ(stage.slot(0).failures, 0U);
    EXPECT_EQ(stage.core.next_deadline(), std::nullopt);
}

TEST(Respawn, ThePoolPacesItsSlotsWhileNobodyIsReady) {
    config::Pool pool = pool_of("web", 4);
    pool.backoff.initial = 800ms;
    Stage stage(cluster_of({pool}));
    stage.start();
    // The first death of each slot is free for the slot; the pool shares its delay among four.
    const std::vector<Duration> expected{0ms, 200ms, 400ms, 800ms};
    for (std::uint32_t index = 0; index < 4; ++index) {
        stage.exit(stage.holder(index), exited(1));
        if (index == 0) {
            EXPECT_EQ(stage.slot(0).phase, SlotPhase::Occupied);
        } else {
            EXPECT_EQ(stage.slot(index).not_before, stage.now + expected[index]);
        }
    }
    stage.pass(799ms);
    EXPECT_EQ(stage.living(), 1U);
    stage.pass(1ms);
    EXPECT_EQ(stage.living(), 2U) << "one at a time";
    stage.pass(800ms);
    EXPECT_EQ(stage.living(), 3U);
    stage.make_ready();
    EXPECT_EQ(stage.living(), 4U) << "with a ready worker the pool's delay does not count";
}

TEST(Respawn, Code78TripsTheSlotAndNothingElse) {
    Stage stage(cluster_of({pool_of("web", 2)}));
    stage.serve();
    EXPECT_EQ(next_after(stage, exited(78)),
              "given up: code 78 says that its configuration is wrong");
    EXPECT_TRUE(stage.announced(Notice::SlotTripped));
    EXPECT_EQ(stage.slot(0).phase, SlotPhase::Tripped);
    EXPECT_EQ(stage.slot(1).phase, SlotPhase::Occupied);
    EXPECT_TRUE(stage.pool().breaker_open) << "the operator is to see it";
    stage.pass(1h);
    EXPECT_EQ(stage.slot(0).phase, SlotPhase::Tripped);
}

TEST(Respawn, WhatThePolicyDoesNotWantAgainIsFinished) {
    config::Pool pool = pool_of("job", 1);
    pool.restart = config::RestartPolicy::OnFailure;
    Stage stage(cluster_of({pool}));
    stage.serve();
    stage.pass(5s);
    EXPECT_EQ(next_after(stage, exited(0)), "none: restart is on-failure");
    EXPECT_FALSE(stage.all<Obituary>()[0].failure);
    EXPECT_EQ(stage.slot(0).phase, SlotPhase::Finished);
    stage.step(ResetFailed{Ticket{1}, std::nullopt});
    EXPECT_EQ(stage.slot(0).phase, SlotPhase::Occupied);
    stage.pass(5s);
    EXPECT_EQ(next_after(stage, exited(1)), "restarted at once");
}

config::Pool limited(config::BreakerAction action, std::uint32_t workers) {
    config::Pool pool = pool_of("web", workers);
    pool.start_limit = {3, 10s, action};
    return pool;
}

TEST(Breaker, OpensAtTheStartLimitAndResetFailedStartsAnew) {
    Stage stage(cluster_of({limited(config::BreakerAction::Degrade, 1)}));
    stage.start();
    next_after(stage, exited(1));
    next_after(stage, exited(1));
    stage.pass(100ms);
    EXPECT_EQ(next_after(stage, exited(1)), "given up: 3 failures within 10s");
    EXPECT_TRUE(stage.pool().breaker_open);
    EXPECT_EQ(stage.slot(0).phase, SlotPhase::Tripped);
    EXPECT_EQ(stage.core.next_deadline(), std::nullopt);
    stage.step(ResetFailed{Ticket{5}, "web"});
    EXPECT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_FALSE(stage.pool().breaker_open);
    EXPECT_EQ(stage.slot(0).failures, 0U);
    EXPECT_EQ(stage.all<Reply>()[0].lines, std::vector<std::string>{"web: 1 slot started again"});
}

TEST(Breaker, StaysClosedWhileOneWorkerOfThePoolIsReady) {
    Stage stage(cluster_of({limited(config::BreakerAction::Degrade, 2)}));
    stage.start();
    stage.ready(stage.holder(1));
    for (int i = 0; i < 20; ++i) {
        stage.exit(stage.holder(0), exited(1));
        stage.pass(31s);
        ASSERT_EQ(stage.slot(0).phase, SlotPhase::Occupied) << i;
    }
    EXPECT_FALSE(stage.pool().breaker_open);
}

TEST(Breaker, StopAsksTheOthersOfThePoolToLeave) {
    Stage stage(cluster_of({limited(config::BreakerAction::Stop, 2)}));
    stage.start();
    const WorkerId other = stage.holder(1);
    next_after(stage, exited(1));
    next_after(stage, exited(1));
    stage.pass(1s);
    next_after(stage, exited(1));
    EXPECT_EQ(stage.signals(other), std::vector{SignalKind::Terminate});
    EXPECT_EQ(stage.slot(1).phase, SlotPhase::Tripped);
    stage.exit(other, exited(0));
    EXPECT_TRUE(stage.all<Spawn>().empty());
    EXPECT_TRUE(stage.all<Exit>().empty()) << "the master goes on and can be seen";
}

TEST(Breaker, ExitStopsTheClusterWithCodeOne) {
    Stage stage(cluster_of({limited(config::BreakerAction::Exit, 1), pool_of("api", 1)}));
    stage.serve();
    const WorkerId api = stage.holder(0, Role::Current, 1);
    for (int i = 0; i < 3; ++i) {
        stage.pass(200ms);
        stage.exit(stage.holder(0), exited(1));
    }
    EXPECT_TRUE(stage.announced(Notice::MasterStopping));
    EXPECT_EQ(stage.signals(api), std::vector{SignalKind::Terminate});
    stage.exit(api, exited(0));
    ASSERT_EQ(stage.all<Exit>().size(), 1U);
    EXPECT_EQ(stage.all<Exit>()[0].code, 1);
}

TEST(Breaker, AReloadThatChangesThePoolClosesIt) {
    config::Pool pool = limited(config::BreakerAction::Degrade, 1);
    Stage stage(cluster_of({pool}));
    stage.start();
    for (int i = 0; i < 3; ++i) {
        stage.exit(stage.holder(0), exited(1));
        stage.pass(100ms);
    }
    ASSERT_TRUE(stage.pool().breaker_open);
    stage.step(Reload{Ticket{1}, cluster_of({pool})});
    EXPECT_TRUE(stage.pool().breaker_open) << "nothing changed";
    pool.start_limit.burst = 5;
    stage.step(Reload{Ticket{2}, cluster_of({pool})});
    EXPECT_FALSE(stage.pool().breaker_open);
    EXPECT_EQ(stage.all<Spawn>().size(), 1U);
}

}  // namespace
}  // namespace topsman::core::test
