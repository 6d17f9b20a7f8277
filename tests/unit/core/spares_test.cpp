// Workers that wait for somebody to die: when they are started, parked, used, renewed and ended.

#include "tests/unit/core/spares_stage.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace topsman::core::test {
namespace {

TEST(Spares, AreStartedWhenAllServeAndCountAsNobody) {
    config::Pool pool = pool_with_spares(2, 2);
    pool.watchdog.timeout = 5s;
    Stage stage(cluster_of({pool}));
    stage.start();
    stage.make_ready();
    ASSERT_EQ(spares_in(stage).size(), 2U);
    EXPECT_EQ(stage.pool().ready, 2U);
    const WorkerId spare = spares_in(stage)[0];
    stage.step(Spawned{spare});
    stage.ready(spare);
    ASSERT_EQ(stage.all<Park>().size(), 1U);
    EXPECT_TRUE(stage.worker(spare).deadline) << "it may hang while it is being parked";
    stage.step(Parked{spare});
    EXPECT_TRUE(stage.announced(Notice::SpareParked));
    EXPECT_EQ(stage.worker(spare).spare, SpareStage::Parked);
    EXPECT_EQ(stage.worker(spare).slot.index, kNoSlot);
    EXPECT_EQ(stage.worker(spare).deadline, std::nullopt) << "nobody waits for its sign of life";
    EXPECT_EQ(stage.pool().ready, 2U);
    EXPECT_EQ(stage.pool().wanted, 2U);
    EXPECT_EQ(stage.pool().spares, 2U);
}

TEST(Spares, OneTakesTheSeatInTheStepThatLearnsOfTheDeath) {
    config::Pool pool = pool_with_spares(2, 1);
    pool.watchdog.timeout = 5s;
    Warmed stage(pool);
    const WorkerId spare = spares_in(stage).at(0);
    stage.now += 4s;
    stage.step(Beat{stage.holder(0), stage.now});
    stage.step(Beat{stage.holder(1), stage.now});
    stage.exit(stage.holder(0), signaled(SIGKILL));
    ASSERT_EQ(stage.all<Release>().size(), 1U);
    EXPECT_EQ(stage.all<Release>()[0].worker, spare);
    EXPECT_EQ(stage.all<Release>()[0].slot.index, 0U);
    EXPECT_TRUE(workers_started(stage).empty());
    EXPECT_EQ(spares_started(stage).size(), 1U) << "the next one";
    EXPECT_TRUE(stage.announced(Notice::SpareSeated));
    EXPECT_EQ(stage.holder(0), spare);
    EXPECT_EQ(stage.pool().ready, 2U);
    EXPECT_EQ(stage.slot(0).restarts, 1U);
    EXPECT_EQ(stage.worker(spare).deadline, stage.now + 5s) << "its watchdog begins anew";
}

TEST(Spares, WithoutAReadyOneAWorkerIsStarted) {
    Stage stage(cluster_of({pool_with_spares(2, 1)}));
    stage.serve();
    ASSERT_EQ(spares_in(stage).size(), 1U) << "and it starts";
    stage.exit(stage.holder(0), signaled(SIGKILL));
    EXPECT_TRUE(stage.all<Release>().empty());
    ASSERT_EQ(workers_started(stage).size(), 1U);
}

TEST(Spares, OfAProgramThatCrashesAreHeldBackAsItsStartsAre) {
    Warmed stage(pool_with_spares(1, 3));
    stage.now += 2s;
    stage.exit(stage.holder(0), signaled(SIGSEGV));
    EXPECT_EQ(stage.all<Release>().size(), 1U) << "it had served: at once";
    stage.exit(stage.holder(0), signaled(SIGSEGV));
    EXPECT_EQ(stage.all<Release>().size(), 1U) << "the first early death";
    stage.exit(stage.holder(0), signaled(SIGSEGV));
    EXPECT_TRUE(stage.all<Release>().empty());
    EXPECT_EQ(stage.all<Obituary>().at(0).next, "next try in 100ms");
    EXPECT_TRUE(stage.all<Spawn>().empty()) << "nobody serves: no more spares are started";
    stage.pass(99ms);
    EXPECT_TRUE(stage.all<Release>().empty());
    stage.pass(1ms);
    EXPECT_EQ(stage.all<Release>().size(), 1U);
    EXPECT_EQ(stage.slot(0).failures, 2U);
}

TEST(Spares, AnHourOfWaitingProvesNothing) {
    config::Pool pool = pool_with_spares(1, 1);
    pool.spare_lifetime = 0s;
    Warmed stage(pool);
    stage.pass(1h);
    stage.exit(stage.holder(0), signaled(SIGSEGV));
    ASSERT_EQ(stage.all<Release>().size(), 1U);
    stage.exit(stage.holder(0), signaled(SIGSEGV));
    EXPECT_EQ(stage.slot(0).failures, 1U) << "it has served for no time at all";
}

TEST(Spares, TheBreakerEndsThem) {
    config::Pool pool = pool_with_spares(1, 1);
    pool.start_limit = {2, 10s, config::BreakerAction::Degrade};
    Warmed stage(pool);
    stage.exit(stage.holder(0), signaled(SIGSEGV));
    ASSERT_EQ(stage.all<Release>().size(), 1U);
    stage.exit(stage.holder(0), signaled(SIGSEGV));
    EXPECT_TRUE(stage.pool().breaker_open);
    EXPECT_TRUE(spares_in(stage).empty());
    EXPECT_TRUE(stage.all<Spawn>().empty());
}

TEST(Spares, ADrainedSlotIsNotForThem) {
    Warmed stage(pool_with_spares(2, 1));
    const WorkerId drained = stage.holder(1);
    stage.step(Drain{Ticket{1}, "web", 1});
    stage.exit(drained, exited(0));
    EXPECT_TRUE(stage.all<Release>().empty());
    EXPECT_EQ(spares_in(stage).size(), 1U);
}

TEST(Spares, TheLastWorkerThatServesIsNotDrainedForTheSakeOfASpare) {
    config::Pool pool = pool_with_spares(1, 1);
    pool.exec.listeners = {"http"};
    Warmed stage(pool);
    stage.step(Drain{Ticket{1}, "web", 0});
    EXPECT_EQ(stage.all<Reply>().at(0).result, Reply::Result::Failed);
}

TEST(Spares, AScalingUpUsesThem) {
    Warmed stage(pool_with_spares(1, 1));
    stage.step(Scale{Ticket{1}, "web", 2});
    ASSERT_EQ(stage.all<Release>().size(), 1U);
    EXPECT_EQ(stage.all<Release>()[0].slot.index, 1U);
    EXPECT_EQ(stage.pool().ready, 2U);
}

TEST(Spares, AnotherGenerationHasOthers) {
    config::Pool pool = pool_with_spares(1, 1);
    Warmed stage(pool);
    const WorkerId old = spares_in(stage).at(0);
    pool.exec.command = {"serve", "better"};
    stage.step(Reload{Ticket{1}, cluster_of({pool})});
    EXPECT_EQ(spares_in(stage), std::vector{old}) << "for whoever dies of those that there are";
    stage.make_ready();
    EXPECT_EQ(stage.pool().stage, RolloutStage::Idle);
    ASSERT_EQ(spares_in(stage).size(), 1U);
    EXPECT_NE(spares_in(stage)[0], old);
    EXPECT_EQ(stage.worker(spares_in(stage)[0]).generation, stage.pool().generation);
    EXPECT_EQ(stage.worker(old).state, WorkerState::Draining);
}

TEST(Spares, ANewGenerationsSeatIsNotForAnOldSpare) {
    config::Pool pool = pool_with_spares(3, 1);
    Warmed stage(pool);
    const WorkerId old = spares_in(stage).at(0);
    pool.exec.command = {"serve", "better"};
    stage.step(Reload{Ticket{1}, cluster_of({pool})});
    const WorkerId canary = stage.holder(0, Role::Successor);
    stage.ready(canary);
    stage.now += 2s;
    ASSERT_EQ(stage.holder(0), canary);
    stage.exit(canary, signaled(SIGSEGV));
    EXPECT_TRUE(stage.all<Release>().empty());
    EXPECT_EQ(spares_in(stage), std::vector{old});
    stage.exit(stage.holder(2), signaled(SIGSEGV));
    ASSERT_EQ(stage.all<Release>().size(), 1U) << "but that of one of its own generation is";
    EXPECT_EQ(stage.all<Release>()[0].worker, old);
}

TEST(Spares, OneOfARolledBackGenerationGetsNoSeat) {
    config::Pool pool = pool_with_spares(2, 1);
    pool.rollout.on_failure = config::OnFailure::Rollback;
    config::Pool other = pool_of("other", 1);
    other.rollout.on_failure = config::OnFailure::Rollback;
    Stage stage(cluster_of({pool, other}));
    stage.start();
    warm(stage);
    pool.exec.command = {"serve", "better"};
    other.exec.command = {"serve", "worse"};
    stage.step(Reload{Ticket{1}, cluster_of({pool, other})});
    // One pool is there already, with a spare of its own, when the other one fails.
    for (int turn = 0; turn < 4; ++turn) {
        for (const WorkerView& worker : stage.core.snapshot().workers) {
            if (worker.state == WorkerState::Starting && worker.slot.pool == PoolId{0}) {
                stage.step(Spawned{worker.worker});
                stage.ready(worker.worker);
                stage.step(Parked{worker.worker});
            } else if (worker.state == WorkerState::Draining) {
                stage.exit(worker.worker, exited(0));
            }
        }
    }
    ASSERT_EQ(spares_in(stage).size(), 1U);
    const WorkerId spare = spares_in(stage)[0];
    ASSERT_EQ(stage.worker(spare).generation, Generation{2});
    stage.exit(stage.holder(0, Role::Successor, 1), exited(3));
    ASSERT_EQ(stage.pool().stage, RolloutStage::RollingBack);
    const WorkerId first = stage.holder(0, Role::Successor);
    stage.ready(first);
    ASSERT_EQ(stage.holder(0), first);
    stage.exit(first, signaled(SIGSEGV));
    EXPECT_TRUE(stage.all<Release>().empty()) << "that seat is for the generation of before";
}

TEST(Spares, ARestartAndResetFailedRenewThem) {
    Warmed stage(pool_with_spares(1, 1));
    const WorkerId first = spares_in(stage).at(0);
    stage.step(Restart{Ticket{1}, "web", std::nullopt});
    EXPECT_EQ(stage.signals(first), std::vector{SignalKind::Terminate});
    warm(stage);
    ASSERT_EQ(spares_in(stage).size(), 1U);
    const WorkerId second = spares_in(stage)[0];
    for (const WorkerView& worker : stage.core.snapshot().workers) {
        if (worker.state == WorkerState::Draining) {
            stage.exit(worker.worker, exited(0));
        }
    }
    stage.step(ResetFailed{Ticket{2}, "web"});
    EXPECT_EQ(stage.signals(second), std::vector{SignalKind::Terminate});
    EXPECT_EQ(spares_started(stage).size(), 1U);
}

TEST(Spares, AnOldOneGoesWhenAnotherIsThereForIt) {
    Warmed stage(pool_with_spares(1, 2));
    const std::vector<WorkerId> old = spares_in(stage);
    ASSERT_EQ(old.size(), 2U);
    stage.pass(5min - 1ms);
    EXPECT_TRUE(stage.all<Spawn>().empty());
    stage.pass(1ms);
    ASSERT_EQ(spares_started(stage).size(), 1U) << "one at a time";
    const WorkerId next = spares_started(stage)[0].worker;
    EXPECT_TRUE(stage.signals(old[0]).empty());
    stage.step(Spawned{next});
    stage.ready(next);
    stage.step(Parked{next});
    EXPECT_EQ(stage.signals(old[0]), std::vector{SignalKind::Terminate});
    ASSERT_EQ(spares_started(stage).size(), 1U) << "and then the other one";
}

TEST(Spares, ThoseThatAreTooManyLeave) {
    config::Pool pool = pool_with_spares(1, 3);
    Warmed stage(pool);
    const std::vector<WorkerId> three = spares_in(stage);
    ASSERT_EQ(three.size(), 3U);
    pool.spares = 1;
    stage.step(Reload{Ticket{1}, cluster_of({pool})});
    EXPECT_EQ(stage.signals(three[0]), std::vector{SignalKind::Terminate});
    EXPECT_EQ(stage.signals(three[1]), std::vector{SignalKind::Terminate});
    EXPECT_TRUE(stage.signals(three[2]).empty());
    pool.name = "other";
    stage.step(Reload{Ticket{2}, cluster_of({pool})});
    EXPECT_EQ(stage.signals(three[2]), std::vector{SignalKind::Terminate});
}

TEST(Spares, AStopEndsThem) {
    Warmed stage(pool_with_spares(1, 1));
    const WorkerId spare = spares_in(stage).at(0);
    stage.step(Stop{Ticket{1}, StopMode::Graceful});
    EXPECT_EQ(stage.signals(spare), std::vector{SignalKind::Terminate});
    stage.exit(spare, exited(0));
    EXPECT_TRUE(stage.all<Exit>().empty());
    stage.exit(stage.core.snapshot().workers.at(0).worker, exited(0));
    EXPECT_EQ(stage.all<Exit>().size(), 1U);
}

TEST(Spares, OneThatCannotBeParkedServesAndIsUsedLast) {
    Stage stage(cluster_of({pool_with_spares(1, 2)}));
    stage.serve();
    const std::vector<WorkerId> two = spares_in(stage);
    ASSERT_EQ(two.size(), 2U);
    for (const WorkerId spare : two) {
        stage.step(Spawned{spare});
        stage.ready(spare);
    }
    stage.step(NotParked{two[0], "spares: cannot freeze under this load"});
    EXPECT_TRUE(stage.announced(Notice::SpareKept));
    EXPECT_EQ(stage.all<Announce>().at(0).reason, "spares: cannot freeze under this load");
    EXPECT_EQ(stage.pool().ready, 1U);
    stage.step(Parked{two[1]});
    stage.exit(stage.holder(0), signaled(SIGKILL));
    EXPECT_EQ(stage.holder(0), two[1]);
    stage.now += 2s;
    stage.exit(stage.holder(0), signaled(SIGKILL));
    EXPECT_EQ(stage.holder(0), two[0]);
}

TEST(Spares, ADeadOneIsNoFailureOfAnyWorkerAndIsReplacedLater) {
    Warmed stage(pool_with_spares(1, 1));
    stage.exit(spares_in(stage).at(0), signaled(SIGKILL));
    EXPECT_EQ(stage.all<Obituary>().at(0).next, "another spare in 1s");
    EXPECT_TRUE(stage.all<Spawn>().empty());
    EXPECT_EQ(stage.core.next_deadline(), stage.now + 1s);
    EXPECT_EQ(stage.pool().failures, 0U);
    stage.pass(1s);
    EXPECT_EQ(spares_started(stage).size(), 1U);
    for (int i = 0; i < 5; ++i) {
        stage.exit(spares_in(stage).at(0), exited(1));
        stage.pass(30s);
    }
    stage.exit(spares_in(stage).at(0), exited(1));
    EXPECT_EQ(stage.all<Obituary>().at(0).next, "another spare in 6.4s") << "it is paced";
}

TEST(Spares, AnswersThatComeTooLateChangeNothing) {
    Stage stage(cluster_of({pool_with_spares(1, 1)}));
    stage.serve();
    const WorkerId spare = spares_in(stage).at(0);
    stage.step(Parked{spare});
    EXPECT_EQ(stage.worker(spare).spare, SpareStage::Warming) << "it is not even ready";
    stage.step(Spawned{spare});
    stage.ready(spare);
    stage.exit(stage.holder(0), signaled(SIGKILL));
    ASSERT_EQ(stage.holder(0), spare) << "it serves, parked or not";
    stage.step(Parked{spare});
    EXPECT_EQ(stage.worker(spare).role, Role::Current);
    EXPECT_EQ(stage.worker(spare).spare, SpareStage::None);
}

TEST(Spares, OneThatIsReadyWhenASeatIsDueIsNotParkedInIt) {
    config::Pool pool = pool_with_spares(2, 1);
    Stage stage(cluster_of({pool}));
    stage.serve();
    const WorkerId spare = spares_in(stage).at(0);
    stage.step(Spawned{spare});
    for (int deaths = 0; deaths < 2; ++deaths) {
        stage.exit(stage.holder(0), signaled(SIGSEGV));
    }
    ASSERT_EQ(stage.slot(0).phase, SlotPhase::Waiting);
    stage.now += 100ms;  // signs of life come before the tick
    stage.ready(spare);
    ASSERT_EQ(stage.all<Release>().size(), 1U);
    EXPECT_EQ(stage.holder(0), spare);
    EXPECT_TRUE(stage.all<Park>().empty());
}

TEST(Spares, ARecyclingWarmsUpItsOwnSuccessor) {
    config::Pool pool = pool_with_spares(2, 1);
    pool.recycle = {.lifetime = 1min, .jitter = 0};
    Warmed stage(pool);
    const WorkerId spare = spares_in(stage).at(0);
    stage.pass(1min);
    EXPECT_TRUE(stage.all<Release>().empty()) << "whoever dies meanwhile has it";
    EXPECT_EQ(workers_started(stage).size(), 1U);
    EXPECT_EQ(spares_in(stage), std::vector{spare});
}

TEST(Spares, ARecyclingWithoutSurplusLeavesASeatForOne) {
    config::Pool pool = pool_with_spares(2, 1);
    pool.recycle = {.lifetime = 1min, .jitter = 0};
    pool.rollout.max_surge = 0;
    pool.rollout.max_unavailable = 1;
    Warmed stage(pool);
    const WorkerId spare = spares_in(stage).at(0);
    const WorkerId old = stage.holder(0);
    stage.pass(1min);
    EXPECT_EQ(stage.signals(old), std::vector{SignalKind::Terminate});
    EXPECT_TRUE(stage.all<Release>().empty()) << "it serves still";
    stage.exit(old, exited(0));
    EXPECT_EQ(stage.all<Release>().size(), 1U);
    EXPECT_EQ(stage.holder(0), spare);
}

}  // namespace
}  // namespace topsman::core::test
