// A single worker against its deadlines.

#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace topsman::core::test {
namespace {

using Kinds = std::vector<SignalKind>;

config::Config watched() {
    config::Pool pool = pool_of("web", 1);
    pool.watchdog.timeout = 5s;
    pool.watchdog.kill_after = 3s;
    return cluster_of({pool});
}

TEST(WorkerLife, ALateStarterIsAbortedThenKilledThenKilledAgain) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.start();
    const WorkerId worker = stage.holder(0);
    stage.pass(29s);
    EXPECT_TRUE(stage.all<Signal>().empty());
    stage.pass(1s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Abort});
    stage.pass(5s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Kill});
    stage.pass(10s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Kill});
    stage.exit(worker, signaled(SIGKILL));
    EXPECT_EQ(stage.all<Obituary>()[0].cause,
              "not ready within 30s, did not end within 5s of SIGABRT, still there after SIGKILL");
    EXPECT_EQ(stage.all<Obituary>()[0].state, WorkerState::Killing);
}

TEST(WorkerLife, ReadyByAgeIsReadyAfterMinUptimeCountedFromTheExec) {
    config::Pool pool = pool_of("web", 1);
    pool.ready.by = config::ReadyBy::None;
    Stage stage(cluster_of({pool}));
    stage.start();
    const WorkerId worker = stage.holder(0);
    stage.pass(2s);
    stage.step(Spawned{worker});
    stage.step(BecameReady{worker});
    EXPECT_EQ(stage.pool().ready, 0U);
    stage.pass(999ms);
    EXPECT_EQ(stage.pool().ready, 0U);
    stage.pass(1ms);
    EXPECT_EQ(stage.pool().ready, 1U);
    EXPECT_TRUE(stage.announced(Notice::WorkerReady));
}

TEST(WorkerLife, ASilentWorkerIsAbortedAndABeatRenewsItsTime) {
    Stage stage(watched());
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.pass(4s);
    stage.step(Beat{worker, stage.now});
    stage.pass(4s);
    EXPECT_TRUE(stage.all<Signal>().empty());
    stage.pass(1s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Abort});
    stage.step(Beat{worker, stage.now});
    stage.pass(3s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Kill}) << "late life saves nobody";
    stage.exit(worker, signaled(SIGKILL));
    EXPECT_THAT(stage.all<Obituary>()[0].cause,
                testing::StartsWith("watchdog: no sign of life for 5s"));
}

TEST(WorkerLife, ABeatFromTheFutureCountsFromNow) {
    Stage stage(watched());
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(Beat{worker, stage.now + 1h});
    stage.pass(5s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Abort});
}

TEST(WorkerLife, BeatsThatArriveTogetherSaveEachOfTheirWorkers) {
    config::Config config = watched();
    config.pools.front().workers = 3;
    Stage stage(config);
    stage.serve();
    stage.now += 5s;  // all three are due
    std::size_t aborts = 0;
    for (std::uint32_t slot = 0; slot < 3; ++slot) {
        stage.step(Beat{stage.holder(slot), stage.now - 1s});
        aborts += stage.all<Signal>().size();
    }
    stage.step(Tick{});
    EXPECT_EQ(aborts + stage.all<Signal>().size(), 0U);
}

TEST(WorkerLife, AnExtensionMovesTheDeadlineAndNeverNearer) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.start();
    const WorkerId worker = stage.holder(0);
    stage.step(AskedExtension{worker, 1s});
    EXPECT_EQ(stage.worker(worker).deadline, stage.now + 30s);
    stage.step(AskedExtension{worker, 60s});
    EXPECT_EQ(stage.worker(worker).deadline, stage.now + 60s);
    stage.step(AskedExtension{worker, 24h * 365});
    EXPECT_EQ(stage.worker(worker).deadline, stage.now + 24h);
    stage.ready(worker);
    EXPECT_EQ(stage.worker(worker).deadline, std::nullopt) << "it belonged to the start";
}

TEST(WorkerLife, AnExtensionHoldsOffTheWatchdogAndTheStopTimeOut) {
    Stage stage(watched());
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(AskedExtension{worker, 20s});
    stage.step(Beat{worker, stage.now});
    stage.pass(19s);
    EXPECT_EQ(stage.worker(worker).state, WorkerState::Serving);
    stage.step(Stop{Ticket{1}, StopMode::Graceful});
    stage.step(AskedExtension{worker, 40s});
    stage.pass(39s);
    EXPECT_EQ(stage.worker(worker).state, WorkerState::Draining);
    stage.pass(1s);
    EXPECT_EQ(stage.worker(worker).state, WorkerState::Killing);
}

TEST(WorkerLife, ACoreBeingWrittenDelaysTheKillToAMinuteAtMost) {
    Stage stage(watched());
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(AskedAbort{worker});
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Abort});
    const TimePoint aborted = stage.now;
    while (stage.worker(worker).state == WorkerState::Aborting) {
        ASSERT_LT(stage.now - aborted, 2min);
        stage.now = *stage.core.next_deadline();
        EXPECT_EQ(stage.core.due_for_judgement(stage.now), std::vector{worker});
        stage.step(DumpsCore{worker});
        stage.step(Tick{});
    }
    EXPECT_EQ(stage.now - aborted, 60s);
}

TEST(WorkerLife, AStallOfTheMasterRenewsEveryDeadlineBeforeAnythingIsJudged) {
    Stage stage(watched());
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.pass(4s);
    stage.now += 60s;
    stage.step(Stalled{60s});
    EXPECT_TRUE(stage.actions.empty());
    EXPECT_EQ(stage.worker(worker).deadline, stage.now + 1s);
    stage.pass(1s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Abort});
}

TEST(WorkerLife, AStallNeverGivesMoreThanAWholeTimeOut) {
    Stage stage(watched());
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(Stalled{60s});
    EXPECT_EQ(stage.worker(worker).deadline, stage.now + 5s);
}

TEST(WorkerLife, StoppingByItselfIsNotSignalledAndIsNoFailureWhenItEndsCleanly) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    stage.pass(2s);
    const WorkerId worker = stage.holder(0);
    stage.step(SaidStopping{worker});
    EXPECT_TRUE(stage.all<Signal>().empty());
    EXPECT_TRUE(stage.announced(Notice::WorkerDraining));
    EXPECT_EQ(stage.worker(worker).role, Role::Current);
    stage.exit(worker, exited(0));
    EXPECT_FALSE(stage.all<Obituary>()[0].failure);
    EXPECT_EQ(stage.all<Spawn>().size(), 1U);
}

TEST(WorkerLife, StoppingByItselfForTooLongIsKilledAndIsAFailure) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(SaidStopping{worker});
    stage.pass(30s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Kill});
    stage.exit(worker, signaled(SIGKILL));
    EXPECT_TRUE(stage.all<Obituary>()[0].failure);
    EXPECT_EQ(stage.all<Obituary>()[0].cause, "did not stop within 30s");
}

TEST(WorkerLife, ALoopOfWorkersThatSayStoppingAtOnceIsPacedAllTheSame) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.start();
    for (int i = 0; i < 4; ++i) {
        const WorkerId worker = stage.holder(0);
        if (worker == WorkerId{}) {
            break;
        }
        stage.step(SaidStopping{worker});
        stage.exit(worker, exited(0));
    }
    EXPECT_EQ(stage.slot(0).phase, SlotPhase::Waiting);
}

/// Ready when it is seen listening, because the file says so, or `assumed` for want of a word.
config::Config listening(std::uint32_t workers, bool assumed) {
    config::Pool pool = pool_of("web", workers);
    pool.ready.by = config::ReadyBy::Listening;
    pool.ready.assumed = assumed;
    return cluster_of({pool});
}

/// One that has just been executed.
struct JustExecuted : Stage {
    explicit JustExecuted(bool assumed) : Stage(listening(1, assumed)) {
        start();
        worker_id = holder(0);
        step(Spawned{worker_id});
    }

    WorkerId worker_id;
};

TEST(WorkerLife, OnlyWhatThePoolAsksForMakesReady) {
    JustExecuted stage(false);
    const WorkerId worker = stage.worker_id;
    stage.step(BecameReady{worker});
    EXPECT_EQ(stage.worker(worker).state, WorkerState::Starting) << "READY=1 was not asked for";
    EXPECT_EQ(stage.core.next_deadline(), stage.now + 30s) << "and it has a start deadline";
    stage.step(BecameReady{worker, config::ReadyBy::Listening});
    EXPECT_EQ(stage.worker(worker).state, WorkerState::Serving);
}

TEST(WorkerLife, WhereNobodySaidByWhatWhoIsSeenListeningOrSaysSoIsReady) {
    for (const config::ReadyBy by : {config::ReadyBy::Listening, config::ReadyBy::Notify}) {
        Stage stage(listening(1, true));
        stage.start();
        stage.step(Spawned{stage.holder(0)});
        stage.step(BecameReady{stage.holder(0), by});
        EXPECT_EQ(stage.pool().ready, 1U);
    }
}

TEST(WorkerLife, WhereNobodySaidByWhatAndNobodyCanTellItsAgeHasToDo) {
    Stage stage(listening(1, true));
    stage.start();
    stage.pass(2s);
    stage.step(Spawned{stage.holder(0)});
    stage.pass(500ms);
    stage.step(CannotTell{stage.holder(0)});
    stage.pass(499ms);
    EXPECT_EQ(stage.pool().ready, 0U);
    stage.pass(1ms);
    EXPECT_EQ(stage.pool().ready, 1U) << "min_uptime, from its exec on";
}

TEST(WorkerLife, WhereItWasSaidThatItListensNobodyIsBelievedWithoutBeingSeen) {
    JustExecuted stage(false);
    const WorkerId worker = stage.worker_id;
    stage.step(CannotTell{worker});
    stage.pass(29s);
    EXPECT_EQ(stage.pool().ready, 0U);
    stage.pass(1s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Abort});
}

TEST(WorkerLife, WhoIsNeverSeenListeningIsReadyInTheEndAndItsLikeAreNotWaitedFor) {
    Stage stage(listening(1, true));
    stage.start();
    stage.step(Spawned{stage.holder(0)});
    stage.pass(29'999ms);
    EXPECT_EQ(stage.pool().ready, 0U);
    stage.pass(1ms);
    EXPECT_EQ(stage.pool().ready, 1U);
    EXPECT_TRUE(stage.announced(Notice::WorkerReady));
    EXPECT_THAT(stage.all<Announce>()[0].reason,
                testing::HasSubstr("not seen listening within 30s"));

    stage.exit(stage.holder(0), exited(1));
    stage.step(Spawned{stage.holder(0)});
    stage.pass(1s);
    EXPECT_EQ(stage.pool().ready, 1U) << "another of that generation";

    config::Config next = listening(1, true);
    next.pools[0].exec.command = {"other"};
    stage.step(Reload{Ticket{}, next});
    stage.step(Spawned{stage.holder(0, Role::Successor)});
    stage.pass(29s);
    EXPECT_EQ(stage.pool().ready, 1U) << "what is new may well be seen";
    stage.step(BecameReady{stage.holder(0, Role::Successor), config::ReadyBy::Listening});
    stage.step(Tick{});
    EXPECT_EQ(stage.pool().ready, 1U);
    EXPECT_EQ(stage.worker(stage.holder(0)).generation, Generation{2});
}

TEST(WorkerLife, WhoWasNotExecutedIsLateWhateverIsAssumed) {
    Stage stage(listening(1, true));
    stage.start();
    const WorkerId worker = stage.holder(0);
    stage.pass(30s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Abort});
}

TEST(WorkerLife, WhatItsProbeSaidLastIsWhyItIsGivenUp) {
    config::Pool pool = pool_of("web", 1);
    pool.ready.by = config::ReadyBy::Exec;
    Stage stage(cluster_of({pool}));
    stage.start();
    const WorkerId worker = stage.holder(0);
    stage.step(Spawned{worker});
    stage.step(BecameReady{worker});
    EXPECT_EQ(stage.pool().ready, 0U) << "READY=1 was not asked for";
    stage.step(Probed{worker, "exited with code 7: no database"});
    stage.step(Probed{worker, "exited with code 7: no tables"});
    stage.pass(29s);
    EXPECT_TRUE(stage.core.due_for_judgement(stage.now).empty());
    EXPECT_EQ(stage.core.due_for_judgement(stage.now + 1s), std::vector{worker})
        << "what runs right now may have something to say";
    stage.pass(1s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Abort});
    stage.exit(worker, signaled(SIGABRT));
    EXPECT_EQ(stage.all<Obituary>()[0].cause,
              "not ready within 30s; its probe exited with code 7: no tables");
}

}  // namespace
}  // namespace topsman::core::test
