// Replacing workers: reload with another command, restart, recycling.

#include "supervisor/core/worker.hpp"
#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace topsman::core::test {
namespace {

using testing::StartsWith;

config::Pool with_command(config::Pool pool, const std::string& command) {
    pool.exec.command = {command};
    return pool;
}

/// A serving pool that has just been told to run something else.
struct Rolling : Stage {
    explicit Rolling(const config::Pool& pool) : Stage(cluster_of({pool})) {
        serve();
        pass(2s);
        step(Reload{Ticket{7}, cluster_of({with_command(pool, "other")})});
    }
};

TEST(Rollout, AStormOfReloadsPilesUpOneGenerationThatLeavesAndNobodyIsCutShort) {
    config::Pool pool = pool_of("web", 3);
    pool.stop_timeout = 1h;
    Stage stage(cluster_of({pool}));
    stage.serve();
    std::size_t most = 0;
    for (int turn = 0; turn < 20; ++turn) {
        stage.pass(2s);
        pool.exec.command = {"serve", std::to_string(turn)};
        stage.step(Reload{Ticket{}, cluster_of({pool})});
        for (int ready = 0; ready < 4; ++ready) {
            stage.make_ready();
            EXPECT_EQ(stage.pool().ready, 3U);
        }
        most = std::max(most, stage.living());
    }
    EXPECT_LE(most, 3U + 3U + 1U + 1U) << "who serves, who leaves, and one that is sent ahead";
    EXPECT_EQ(stage.pool().rollout, "canary 0/3: waits until some of 4 workers have left");

    // As soon as there is room it goes on, to what was asked for last.
    for (int turn = 0; turn < 4; ++turn) {
        for (const WorkerView& worker : stage.core.snapshot().workers) {
            if (worker.state == WorkerState::Draining) {
                stage.exit(worker.worker, exited(0));
            }
        }
        stage.make_ready();
    }
    EXPECT_EQ(stage.pool().rollout, "");
    EXPECT_EQ(stage.worker(stage.holder(2)).generation, stage.pool().generation);
}

TEST(Rollout, ReplacesNobodyForItsDelayAfterOneTookASeat) {
    config::Pool pool = pool_of("web", 2);
    pool.rollout.delay = 5s;
    Rolling stage(pool);
    stage.ready(stage.holder(0, Role::Successor));
    EXPECT_TRUE(stage.all<Spawn>().empty());
    EXPECT_EQ(stage.core.next_deadline(), stage.now + 5s);
    EXPECT_EQ(stage.pool().rollout, "rolling 1/2, 5s apart");
    stage.pass(4'999ms);
    EXPECT_TRUE(stage.all<Spawn>().empty());
    stage.pass(1ms);
    EXPECT_EQ(stage.all<Spawn>().size(), 1U);
    stage.ready(stage.holder(1, Role::Successor));
    EXPECT_EQ(stage.pool().rollout, "") << "nobody is left to wait for";
}

TEST(Rollout, ReplacesOneByOneSuccessorFirst) {
    Rolling stage(pool_of("web", 2));
    const WorkerId old0 = stage.holder(0);
    const WorkerId old1 = stage.holder(1);
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].generation, kNew);
    EXPECT_TRUE(stage.announced(Notice::RolloutStarted));
    EXPECT_EQ(stage.pool().rollout, "canary 0/2");
    EXPECT_TRUE(stage.all<Signal>().empty());

    const WorkerId new0 = stage.holder(0, Role::Successor);
    stage.ready(new0);
    EXPECT_EQ(stage.signals(old0), std::vector{SignalKind::Terminate});
    EXPECT_EQ(stage.holder(0), new0);
    EXPECT_EQ(stage.worker(old0).role, Role::Leaving);
    EXPECT_EQ(stage.all<Spawn>().size(), 1U) << "the next one begins";

    stage.ready(stage.holder(1, Role::Successor));
    EXPECT_TRUE(stage.announced(Notice::RolloutDone));
    EXPECT_TRUE(stage.all<Reply>().empty()) << "the old ones are still there";
    stage.exit(old0, exited(0));
    EXPECT_FALSE(stage.all<Obituary>()[0].failure);
    stage.exit(old1, signaled(SIGKILL));
    ASSERT_EQ(stage.all<Reply>().size(), 1U);
    EXPECT_EQ(stage.all<Reply>()[0].ticket, Ticket{7});
    EXPECT_EQ(stage.all<Reply>()[0].result, Reply::Result::Done);
    EXPECT_EQ(stage.all<Reply>()[0].lines, std::vector<std::string>{"web: 2 workers replaced"});
    EXPECT_EQ(stage.core.generations_in_use(), (std::set{kOld, kNew})) << "the way back is open";
}

TEST(Rollout, StopsAtTheFirstThatFailsAndEverybodyElseStays) {
    Rolling stage(pool_of("web", 3));
    stage.ready(stage.holder(0, Role::Successor));
    const WorkerId old1 = stage.holder(1);
    stage.exit(stage.holder(1, Role::Successor), exited(3));
    ASSERT_EQ(stage.all<Reply>().size(), 1U);
    EXPECT_EQ(stage.all<Reply>()[0].result, Reply::Result::Failed);
    EXPECT_EQ(stage.all<Reply>()[0].reason,
              "web/1: new worker exited with code 3; web is paused: `topsman reload` goes on, "
              "`topsman rollback` goes back");
    EXPECT_TRUE(stage.announced(Notice::RolloutFailed));
    EXPECT_TRUE(stage.announced(Notice::RolloutPaused));
    EXPECT_EQ(stage.pool().rollout, "paused: web/1: new worker exited with code 3");
    EXPECT_EQ(stage.pool().stage, RolloutStage::Paused);
    EXPECT_EQ(stage.holder(1), old1);
    EXPECT_EQ(stage.pool().ready, 3U);
    EXPECT_TRUE(stage.all<Spawn>().empty());

    stage.exit(old1, signaled(SIGSEGV));
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kOld) << "its slot knows only the old one";
    stage.exit(stage.holder(0), signaled(SIGSEGV));
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kNew) << "its slot has proven the new one";
}

TEST(Rollout, FailsWhenASuccessorIsNotReadyInTime) {
    Rolling stage(pool_of("web", 1));
    const WorkerId successor = stage.holder(0, Role::Successor);
    stage.pass(30s);
    EXPECT_EQ(stage.signals(successor), std::vector{SignalKind::Abort});
    stage.exit(successor, signaled(SIGABRT));
    ASSERT_EQ(stage.all<Reply>().size(), 1U);
    EXPECT_THAT(stage.all<Reply>()[0].reason,
                StartsWith("web/0: new worker not ready within 30s (killed by SIGABRT)"));
}

TEST(Rollout, TheSameFileOnceMoreTriesItOnceMore) {
    const config::Pool pool = pool_of("web", 1);
    Rolling stage(pool);
    stage.exit(stage.holder(0, Role::Successor), not_started("exec other: No such file"));
    EXPECT_THAT(stage.all<Reply>()[0].reason,
                StartsWith("web/0: new worker could not be started: exec other: No such file"));
    stage.step(Reload{Ticket{8}, cluster_of({with_command(pool, "other")})});
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kNew);
    const WorkerId old = stage.holder(0);
    stage.ready(stage.holder(0, Role::Successor));
    stage.exit(old, exited(0));
    EXPECT_EQ(stage.all<Reply>().at(0).result, Reply::Result::Done);
}

TEST(Rollout, ASuccessorTakesTheSeatOfACurrentThatDies) {
    Rolling stage(pool_of("web", 1));
    const WorkerId successor = stage.holder(0, Role::Successor);
    stage.exit(stage.holder(0), signaled(SIGKILL));
    EXPECT_EQ(stage.all<Obituary>()[0].next, "its successor takes the seat");
    EXPECT_EQ(stage.holder(0), successor);
    EXPECT_TRUE(stage.all<Spawn>().empty());
    stage.exit(successor, exited(1));
    EXPECT_EQ(stage.all<Obituary>()[0].next, "back to generation 1");
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kOld);
    EXPECT_EQ(stage.all<Reply>().at(0).result, Reply::Result::Failed);
}

TEST(Rollout, AnotherGenerationOvertakesTheOneUnderWay) {
    const config::Pool pool = pool_of("web", 2);
    Rolling stage(pool);
    const WorkerId successor = stage.holder(0, Role::Successor);
    stage.step(Reload{Ticket{8}, cluster_of({with_command(pool, "third")})});
    ASSERT_EQ(stage.all<Reply>().size(), 1U);
    EXPECT_EQ(stage.all<Reply>()[0].ticket, Ticket{7});
    EXPECT_EQ(stage.all<Reply>()[0].reason, "overtaken by a newer reload");
    EXPECT_EQ(stage.signals(successor), std::vector{SignalKind::Terminate});
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, Generation{3});
    stage.exit(successor, exited(1));
    EXPECT_EQ(stage.pool().rollout, "canary 0/2") << "what leaves cannot fail anything";
}

TEST(Rollout, MaxSurgeWorkersAreReplacedAtATime) {
    config::Pool pool = pool_of("web", 4);
    pool.rollout.max_surge = 3;
    Rolling stage(pool);
    EXPECT_EQ(stage.all<Spawn>().size(), 1U) << "one goes first";
    stage.ready(stage.holder(0, Role::Successor));
    EXPECT_EQ(stage.all<Spawn>().size(), 3U);
}

TEST(Rollout, WithoutSurplusTheOldOneLeavesFirstAndIsWaitedFor) {
    config::Pool pool = pool_of("web", 2);
    pool.rollout.max_surge = 0;
    pool.rollout.max_unavailable = 1;
    Rolling stage(pool);
    EXPECT_TRUE(stage.all<Spawn>().empty());
    const auto leaving = stage.all<Signal>();
    ASSERT_EQ(leaving.size(), 1U);
    EXPECT_EQ(stage.slot(0).phase, SlotPhase::Vacant);
    stage.exit(leaving[0].worker, exited(0));
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kNew);
    EXPECT_TRUE(stage.all<Signal>().empty()) << "one at a time";
    stage.ready(stage.holder(0));
    EXPECT_EQ(stage.all<Signal>().size(), 1U);
}

TEST(Rollout, ASlotEmptiedForABadGenerationGoesBack) {
    config::Pool pool = pool_of("web", 2);
    pool.rollout.max_surge = 0;
    pool.rollout.max_unavailable = 1;
    Rolling stage(pool);
    stage.exit(stage.all<Signal>()[0].worker, exited(0));
    stage.exit(stage.holder(0), exited(78));
    EXPECT_EQ(stage.all<Obituary>()[0].next, "back to generation 1");
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kOld);
    EXPECT_EQ(stage.all<Reply>().at(0).result, Reply::Result::Failed);
}

TEST(Rollout, EmptySlotsStartWithTheNewGenerationAtOnce) {
    config::Pool pool = pool_of("web", 2);
    Stage stage(cluster_of({pool}));
    stage.start();
    stage.exit(stage.holder(0), exited(78));
    stage.exit(stage.holder(1), exited(78));
    stage.step(Reload{Ticket{1}, cluster_of({with_command(pool, "repaired")})});
    EXPECT_EQ(stage.all<Spawn>().size(), 2U);
    stage.make_ready();
    EXPECT_EQ(stage.all<Reply>().at(0).result, Reply::Result::Done);
}

TEST(Rollout, ACrashOfAnOldWorkerMeanwhileIsRepairedAtOnceWithTheOldGeneration) {
    Rolling stage(pool_of("web", 3));
    stage.exit(stage.holder(2), signaled(SIGSEGV));
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].generation, kOld);
    EXPECT_EQ(stage.pool().rollout, "canary 0/3");
}

TEST(Rollout, ASeatIsFilledInTheStepThatSendsAnothersCanaryAhead) {
    config::Pool pool = pool_of("web", 3);
    Stage stage(cluster_of({pool}));
    stage.serve();
    for (const std::uint32_t slot : {1U, 2U}) {
        stage.exit(stage.holder(slot), exited(kExitConfiguration));
    }
    pool.exec.command = {"serve", "better"};
    stage.step(Reload{Ticket{1}, cluster_of({pool})});
    EXPECT_EQ(stage.worker(stage.holder(1)).generation, kNew);
    EXPECT_EQ(stage.worker(stage.holder(2)).generation, kOld) << "it goes on with what it was";
}

TEST(Restart, ReplacesAllWorkersByTheSameGeneration) {
    Stage stage(cluster_of({pool_of("web", 1), pool_of("api", 1)}));
    stage.serve();
    stage.step(Restart{Ticket{3}, std::nullopt, std::nullopt});
    EXPECT_EQ(stage.all<Spawn>().size(), 2U);
    const WorkerId web = stage.holder(0);
    const WorkerId api = stage.holder(0, Role::Current, 1);
    stage.make_ready();
    stage.exit(web, exited(0));
    EXPECT_TRUE(stage.all<Reply>().empty());
    stage.exit(api, exited(0));
    EXPECT_EQ(stage.all<Reply>().at(0).lines,
              (std::vector<std::string>{"web: 1 worker replaced", "api: 1 worker replaced"}));
    EXPECT_EQ(stage.core.generations_in_use(), std::set{kOld});
}

TEST(Restart, OfOneSlotTouchesOnlyThatOne) {
    Stage stage(cluster_of({pool_of("web", 3)}));
    stage.serve();
    stage.step(Restart{Ticket{3}, "web", 2});
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 2U);
    EXPECT_EQ(stage.pool().rollout, "rolling 0/1");
}

TEST(Restart, JoinsWhatIsUnderWay) {
    Rolling stage(pool_of("web", 2));
    stage.step(Restart{Ticket{9}, "web", std::nullopt});
    EXPECT_TRUE(stage.all<Reply>().empty());
    EXPECT_EQ(stage.pool().rollout, "canary 0/2");
    std::vector<WorkerId> old{stage.holder(0), stage.holder(1)};
    stage.make_ready();
    stage.make_ready();
    stage.exit(old[0], exited(0));
    stage.exit(old[1], exited(0));
    EXPECT_EQ(stage.all<Reply>().size(), 2U);
}

TEST(Restart, NamesWhatDoesNotExist) {
    Stage stage(cluster_of({pool_of("web", 2), pool_of("api", 1)}));
    stage.serve();
    stage.step(Restart{Ticket{1}, "wep", std::nullopt});
    EXPECT_EQ(stage.all<Reply>().at(0).reason, "no pool \"wep\"; there is web, api");
    stage.step(Restart{Ticket{2}, "web", 2});
    EXPECT_EQ(stage.all<Reply>().at(0).reason, "no slot web/2; the last is web/1");
    stage.step(Restart{Ticket{3}, std::nullopt, 0});
    EXPECT_EQ(stage.all<Reply>().at(0).reason, "a slot is named with its pool: web/0");
}

TEST(Recycle, ReplacesTheOldestFirstOneAtATimeSuccessorFirst) {
    config::Pool pool = pool_of("web", 2);
    pool.recycle = {std::chrono::hours(1), 0};
    Stage stage(cluster_of({pool}));
    stage.serve();
    stage.pass(1h);
    EXPECT_EQ(stage.living(), 3U);
    EXPECT_TRUE(stage.all<Signal>().empty());
    EXPECT_EQ(stage.pool().rollout, "");
    stage.ready(stage.holder(0, Role::Successor));
    EXPECT_EQ(stage.all<Signal>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>().size(), 1U) << "now the other one";
}

TEST(Recycle, AFailedReplacementIsTriedAgainLater) {
    config::Pool pool = pool_of("web", 1);
    pool.recycle = {std::chrono::hours(1), 0};
    Stage stage(cluster_of({pool}));
    stage.serve();
    stage.pass(1h);
    const WorkerId current = stage.holder(0);
    stage.exit(stage.holder(0, Role::Successor), exited(1));
    EXPECT_EQ(stage.all<Obituary>()[0].next, "the current worker keeps its seat");
    EXPECT_TRUE(stage.all<Spawn>().empty());
    EXPECT_EQ(stage.core.next_deadline(), stage.now + 30s);
    stage.pass(30s);
    EXPECT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.holder(0), current);
}

TEST(Recycle, NeverRunsBesideARollout) {
    config::Pool pool = pool_of("web", 2);
    pool.recycle = {std::chrono::hours(1), 0};
    Stage stage(cluster_of({pool}));
    stage.serve();
    stage.pass(59min);
    stage.step(Restart{Ticket{1}, "web", 0});
    stage.step(AskedExtension{stage.holder(0, Role::Successor), 1h});
    stage.pass(2min);
    EXPECT_EQ(stage.living(), 3U);
}

Measurement measured(WorkerId worker, std::uint64_t requests, std::uint64_t memory = 0) {
    return {worker, requests, memory};
}

config::Pool recycled(std::uint32_t requests, std::int64_t memory, double jitter = 0) {
    config::Pool pool = pool_of("web", 2);
    pool.recycle.requests = requests;
    pool.recycle.memory = memory;
    pool.recycle.jitter = jitter;
    return pool;
}

TEST(Recycle, NobodyIsMeasuredWhereNothingIsLimited) {
    Stage stage(cluster_of({recycled(0, 0)}));
    stage.serve();
    EXPECT_EQ(stage.core.next_deadline(), std::nullopt) << "the idle master is not woken";
    stage.now += 1h;
    EXPECT_TRUE(stage.core.due_for_measuring(stage.now).empty());
    stage.step(Measured{{measured(stage.holder(0), 1'000'000, 1 << 30)}});
    EXPECT_TRUE(stage.all<Spawn>().empty());
}

TEST(Recycle, AllAreMeasuredTogetherAndOnlyWhatIsLimited) {
    Stage stage(cluster_of({recycled(1'000, 0)}));
    stage.serve();
    EXPECT_TRUE(stage.core.due_for_measuring(stage.now).empty());
    EXPECT_EQ(stage.core.next_deadline(), stage.now + kMeasurePace);
    const auto wishes = stage.core.due_for_measuring(stage.now + kMeasurePace);
    ASSERT_EQ(wishes.size(), 2U);
    EXPECT_TRUE(wishes[0].requests);
    EXPECT_FALSE(wishes[0].memory);
    stage.pass(kMeasurePace);
    EXPECT_TRUE(stage.core.due_for_measuring(stage.now).empty()) << "it was time once";
    EXPECT_EQ(stage.core.next_deadline(), stage.now + kMeasurePace);
}

TEST(Recycle, ByRequestsSuccessorFirstAndWithTheReason) {
    Stage stage(cluster_of({recycled(1'000, 0)}));
    stage.serve();
    const WorkerId old = stage.holder(1);
    stage.step(Measured{{measured(stage.holder(0), 999), measured(old, 1'003)}});
    EXPECT_TRUE(stage.all<Signal>().empty());
    const WorkerId successor = stage.holder(1, Role::Successor);
    EXPECT_EQ(stage.all<Spawn>().at(0).worker, successor);
    stage.ready(successor);
    EXPECT_EQ(stage.signals(old), std::vector{SignalKind::Terminate});
    const auto said = stage.all<Announce>();
    const auto leaves = std::find_if(said.begin(), said.end(), [](const Announce& announce) {
        return announce.notice == Notice::WorkerDraining;
    });
    ASSERT_NE(leaves, said.end());
    EXPECT_EQ(leaves->reason, "recycle.requests: 1003");
    EXPECT_TRUE(stage.all<Spawn>().empty()) << "the other one has not worked enough";
}

TEST(Recycle, ByMemoryOnlyWhenItStays) {
    Stage stage(cluster_of({recycled(0, 100 << 20)}));
    stage.serve();
    const WorkerId large = stage.holder(0);
    stage.step(Measured{{measured(large, 0, 200 << 20)}});
    stage.step(Measured{{measured(large, 0, 50 << 20)}});
    stage.step(Measured{{measured(large, 0, 200 << 20)}});
    EXPECT_TRUE(stage.all<Spawn>().empty()) << "a moment is no leak";
    stage.step(Measured{{measured(large, 0, 101 << 20)}});
    EXPECT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(recycling_in_words(Worker{}, recycled(0, 0)), "recycle.lifetime");
}

TEST(Recycle, EachWorkerHasItsOwnShareOfTheLimit) {
    const config::Pool pool = recycled(1'000, 0, 0.5);  // from 500 to 1500
    const TimePoint now{1h};
    const auto due_at = [&](std::uint64_t requests) {
        int due = 0;
        for (int tenth = -10; tenth < 10; ++tenth) {
            Worker worker;
            worker.state = WorkerState::Serving;
            worker.ready_at = now;
            worker.recycle_jitter = tenth / 10.0;
            measure(worker, now, requests, 0);
            due += recycle_time(worker, pool) == now ? 1 : 0;
        }
        return due;
    };
    EXPECT_EQ(due_at(499), 0);
    EXPECT_EQ(due_at(1'000), 11);
    EXPECT_EQ(due_at(1'500), 20);
}

TEST(Recycle, AnUnknownWorkersMeasurementIsIgnored) {
    Stage stage(cluster_of({recycled(10, 0)}));
    stage.serve();
    stage.step(Measured{{measured(WorkerId{77}, 1'000)}});
    EXPECT_TRUE(stage.all<Spawn>().empty());
    EXPECT_EQ(stage.core.ignored_events(), 1U);
}

}  // namespace
}  // namespace topsman::core::test
