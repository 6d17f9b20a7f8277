// A reload as a whole: the canary, the way back, and what may happen on the way.

#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace topsman::core::test {
namespace {

using testing::ElementsAre;
using testing::StartsWith;

config::Pool safe_pool(const std::string& name, std::uint32_t workers,
                       const std::string& command = "serve") {
    config::Pool pool = pool_of(name, workers);
    pool.exec.command = {command};
    pool.rollout.observe = 1s;
    pool.rollout.on_failure = config::OnFailure::Rollback;
    return pool;
}

struct Serving : Stage {
    explicit Serving(const config::Config& config) : Stage(config) {
        serve();
        pass(2s);
    }

    [[nodiscard]] std::vector<std::uint32_t> generations() const {
        std::vector<std::uint32_t> found;
        for (const WorkerView& worker : core.snapshot().workers) {
            if (worker.role == Role::Current) {
                found.push_back(worker.generation.value);
            }
        }
        return found;
    }

    /// Whoever was asked to leave is gone.
    void let_leave() {
        for (const WorkerView& worker : core.snapshot().workers) {
            if (worker.state == WorkerState::Draining) {
                std::vector<Action> before = std::exchange(actions, {});
                exit(worker.worker, exited(0));
                actions.insert(actions.begin(), before.begin(), before.end());
            }
        }
    }

    [[nodiscard]] Reply only_reply() const {
        const auto replies = all<Reply>();
        EXPECT_EQ(replies.size(), 1U);
        return replies.empty() ? Reply{} : replies[0];
    }
};

TEST(Canary, ServesBesideTheOthersUntilItHasStayedReady) {
    Serving stage(cluster_of({safe_pool("web", 2)}));
    stage.step(Reload{Ticket{1}, cluster_of({safe_pool("web", 2, "other")})});
    const WorkerId canary = stage.holder(0, Role::Successor);
    stage.ready(canary);
    EXPECT_EQ(stage.pool().stage, RolloutStage::Canary);
    EXPECT_EQ(stage.pool().ready, 3U);
    stage.pass(999ms);
    EXPECT_TRUE(stage.all<Signal>().empty());
    EXPECT_TRUE(stage.all<Spawn>().empty());
    EXPECT_EQ(stage.core.next_deadline(), stage.now + 1ms);
    stage.pass(1ms);
    EXPECT_TRUE(stage.announced(Notice::RolloutCanary));
    EXPECT_EQ(stage.holder(0), canary);
    EXPECT_EQ(stage.all<Signal>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>().size(), 1U) << "the next one";
    EXPECT_EQ(stage.pool().rollout, "rolling 1/2");
}

TEST(Canary, ThatDiesWhileItIsObservedCostsNobody) {
    Serving stage(cluster_of({safe_pool("web", 1)}));
    const config::Config before = stage.core.config();
    const WorkerId old = stage.holder(0);
    stage.step(Reload{Ticket{1}, cluster_of({safe_pool("web", 1, "other")})});
    const WorkerId canary = stage.holder(0, Role::Successor);
    stage.ready(canary);
    stage.pass(500ms);
    ExitReport death = signaled(SIGSEGV);
    death.last_words = "no database";
    stage.exit(canary, death);
    EXPECT_EQ(stage.only_reply().result, Reply::Result::RolledBack);
    EXPECT_EQ(stage.only_reply().reason,
              "web/0: new worker killed by SIGSEGV; its last words: no database");
    EXPECT_TRUE(stage.announced(Notice::RolloutRolledBack));
    EXPECT_TRUE(stage.all<Signal>().empty());
    EXPECT_TRUE(stage.all<Spawn>().empty());
    EXPECT_EQ(stage.holder(0), old);
    EXPECT_EQ(stage.core.config(), before);
    EXPECT_EQ(stage.core.snapshot().generation, kOld);
    EXPECT_THAT(stage.pool().rollout, StartsWith("rolled back: web/0: new worker killed"));
    stage.exit(old, signaled(SIGKILL));
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kOld);
}

TEST(GoingBack, WaitsForNoDelay) {
    config::Pool pool = safe_pool("web", 3);
    pool.rollout.observe = 0s;
    pool.rollout.delay = 5s;
    Serving stage(cluster_of({pool}));
    pool.exec.command = {"other"};
    stage.step(Reload{Ticket{1}, cluster_of({pool})});
    for (std::uint32_t slot = 0; slot < 2; ++slot) {
        stage.ready(stage.holder(slot, Role::Successor));
        stage.pass(5s);
    }
    stage.exit(stage.holder(2, Role::Successor), exited(1));
    stage.ready(stage.holder(0, Role::Successor));
    EXPECT_EQ(stage.all<Spawn>().size(), 1U) << "the next one";
}

TEST(Canary, IsObservedForLongerWhenTheMasterStoodStill) {
    Serving stage(cluster_of({safe_pool("web", 1)}));
    stage.step(Reload{Ticket{1}, cluster_of({safe_pool("web", 1, "other")})});
    stage.ready(stage.holder(0, Role::Successor));
    stage.now += 5s;
    stage.step(Stalled{5s});
    stage.step(Tick{});
    EXPECT_EQ(stage.pool().stage, RolloutStage::Canary);
    stage.pass(1s);
    EXPECT_TRUE(stage.announced(Notice::RolloutCanary));
}

TEST(Canary, TakesAnEmptySeatFirstWhereItDisplacesNobody) {
    Serving stage(cluster_of({safe_pool("web", 1)}));
    stage.step(Reload{Ticket{1}, cluster_of({safe_pool("web", 3, "other")})});
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 1U);
    stage.exit(stage.holder(1), exited(1));
    EXPECT_EQ(stage.only_reply().result, Reply::Result::RolledBack);
    EXPECT_EQ(stage.pool().wanted, 1U);
    EXPECT_TRUE(stage.all<Spawn>().empty());
}

TEST(Canary, IsNotSentWhereNobodyServes) {
    Stage stage(cluster_of({safe_pool("web", 2)}));
    stage.start();
    stage.exit(stage.holder(0), exited(78));
    stage.exit(stage.holder(1), exited(78));
    stage.step(Reload{Ticket{1}, cluster_of({safe_pool("web", 2, "repaired")})});
    EXPECT_EQ(stage.all<Spawn>().size(), 2U);
    EXPECT_EQ(stage.pool().stage, RolloutStage::Rolling);
}

TEST(Canary, IsNoPartOfARestart) {
    Serving stage(cluster_of({safe_pool("web", 2)}));
    stage.step(Restart{Ticket{1}, std::nullopt, std::nullopt});
    EXPECT_EQ(stage.pool().stage, RolloutStage::Rolling);
    stage.exit(stage.holder(0, Role::Successor), exited(3));
    EXPECT_EQ(stage.only_reply().result, Reply::Result::Failed);
    EXPECT_EQ(stage.pool().rollout, "failed: web/0: new worker exited with code 3");
}

/// Two of three are replaced when the third new worker fails.
struct HalfWay : Serving {
    HalfWay() : Serving(cluster_of({safe_pool("web", 3)})) {
        step(Reload{Ticket{1}, cluster_of({safe_pool("web", 3, "other")})});
        ready(holder(0, Role::Successor));
        pass(1s);
        ready(holder(1, Role::Successor));
        let_leave();
    }
};

TEST(GoingBack, PutsBackWhatWasReplacedSuccessorFirst) {
    HalfWay stage;
    EXPECT_THAT(stage.generations(), ElementsAre(1, 2, 2));
    stage.exit(stage.holder(2, Role::Successor), exited(3));
    EXPECT_EQ(stage.pool().stage, RolloutStage::RollingBack);
    EXPECT_EQ(stage.pool().rollout, "rolling back 0/2");
    EXPECT_TRUE(stage.all<Reply>().empty()) << "it is not back yet";
    EXPECT_TRUE(stage.all<Signal>().empty());
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kOld);
    stage.make_ready();
    stage.make_ready();
    stage.let_leave();
    EXPECT_THAT(stage.generations(), ElementsAre(1, 1, 1));
    EXPECT_EQ(stage.only_reply().result, Reply::Result::RolledBack);
    EXPECT_THAT(stage.only_reply().lines,
                ElementsAre("web: back to generation 1, 2 workers replaced"));
    EXPECT_THAT(stage.pool().rollout, StartsWith("rolled back: web/2: new worker"));
}

TEST(GoingBack, ANewWorkerThatDiesYoungFailsItToo) {
    HalfWay stage;
    stage.pass(400ms);
    stage.exit(stage.holder(1), signaled(SIGSEGV));
    EXPECT_EQ(stage.pool().stage, RolloutStage::RollingBack);
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kOld);
}

TEST(GoingBack, ANewWorkerThatHadStayedReadyIsAnOrdinaryDeath) {
    HalfWay stage;
    stage.pass(2s);
    stage.exit(stage.holder(1), signaled(SIGSEGV));
    EXPECT_EQ(stage.pool().stage, RolloutStage::Rolling);
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kNew);
}

TEST(GoingBack, IsTriedUntilItSucceedsAndTheCallerIsTold) {
    HalfWay stage;
    stage.exit(stage.holder(2, Role::Successor), exited(3));
    stage.exit(stage.holder(0, Role::Successor), exited(4));
    EXPECT_EQ(stage.only_reply().result, Reply::Result::Failed);
    EXPECT_EQ(stage.only_reply().reason,
              "web/2: new worker exited with code 3; going back: web/0: new worker exited with "
              "code 4, it is tried again");
    EXPECT_TRUE(stage.all<Spawn>().empty());
    stage.pass(1s);
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kOld);
    stage.make_ready();
    stage.make_ready();
    EXPECT_THAT(stage.generations(), ElementsAre(1, 1, 1));
    EXPECT_EQ(stage.pool().stage, RolloutStage::Idle);
}

TEST(GoingBack, AnEmptiedSeatIsFilledWithTheOldOne) {
    HalfWay stage;
    stage.exit(stage.holder(2, Role::Successor), exited(3));
    stage.exit(stage.holder(1), signaled(SIGKILL));
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, kOld);
}

// Found by the simulation.
TEST(GoingBack, WhatIsTakenBackProvesNothingWhenItBecomesReadyMeanwhile) {
    Serving stage(cluster_of({safe_pool("web", 3)}));
    stage.step(Reload{Ticket{7}, cluster_of({safe_pool("web", 3, "other")})});
    stage.ready(stage.holder(0, Role::Successor));
    stage.pass(1s);
    stage.ready(stage.holder(1, Role::Successor));
    stage.pass(2s);
    stage.exit(stage.holder(1), signaled(SIGSEGV));
    const WorkerId refill = stage.holder(1);
    ASSERT_EQ(stage.worker(refill).generation, kNew);
    stage.step(Rollback{Ticket{8}});
    stage.ready(refill);
    stage.pass(2s);
    stage.exit(refill, signaled(SIGSEGV));
    EXPECT_EQ(stage.worker(stage.holder(1)).generation, kOld);
}

// Found by the simulation.
TEST(GoingBack, WhatIsTakenBackProvesNothingWhenItsWorkIsDone) {
    config::Pool pool = safe_pool("web", 2);
    pool.restart = config::RestartPolicy::OnAbnormal;
    Serving stage(cluster_of({pool}));
    pool.exec.command = {"other"};
    stage.step(Reload{Ticket{7}, cluster_of({pool})});
    const WorkerId other = stage.holder(0, Role::Successor);
    stage.ready(other);
    stage.pass(1s);
    stage.exit(stage.holder(1, Role::Successor), exited(3));
    stage.exit(stage.holder(0, Role::Successor), exited(3));  // it is tried again in a second
    stage.exit(other, exited(0));
    EXPECT_EQ(stage.worker(stage.holder(0)).generation, kOld);
    stage.exit(stage.holder(0), exited(3));
    EXPECT_TRUE(stage.all<Spawn>().empty()) << "of the new generation least of all";
}

// Found by the simulation.
TEST(GoingBack, ARestartThatItOvertakesIsToldSo) {
    config::Pool second = safe_pool("jobs", 2, "other");
    second.rollout.on_failure = config::OnFailure::Pause;
    Serving stage(cluster_of({safe_pool("web", 2), safe_pool("jobs", 2)}));
    stage.step(Reload{Ticket{7}, cluster_of({safe_pool("web", 2, "other"), second})});
    const WorkerId canary = stage.holder(0, Role::Successor, 0);
    stage.ready(stage.holder(0, Role::Successor, 1));
    stage.pass(1s);
    stage.exit(stage.holder(1, Role::Successor, 1), exited(3));
    ASSERT_EQ(stage.pool(1).stage, RolloutStage::Paused);
    stage.step(Restart{Ticket{8}, "jobs", std::nullopt});
    ASSERT_EQ(stage.pool(1).stage, RolloutStage::Rolling);
    stage.exit(canary, exited(3));
    const Reply reply = stage.only_reply();
    EXPECT_EQ(reply.ticket, Ticket{8});
    EXPECT_EQ(reply.result, Reply::Result::Failed);
    EXPECT_EQ(reply.reason, "web/0: new worker exited with code 3");
}

TEST(Change, TakesAwayLastAndNothingWhenItFails) {
    Serving stage(cluster_of({safe_pool("web", 1), safe_pool("many", 3), safe_pool("old", 1)}));
    const config::Config next = cluster_of({safe_pool("web", 1, "other"), safe_pool("many", 1)});
    stage.step(Reload{Ticket{1}, next});
    EXPECT_TRUE(stage.all<Signal>().empty());
    EXPECT_EQ(stage.core.snapshot().pools.size(), 3U);
    stage.exit(stage.holder(0, Role::Successor), exited(3));
    EXPECT_EQ(stage.only_reply().result, Reply::Result::RolledBack);
    EXPECT_TRUE(stage.all<Signal>().empty());

    stage.step(Reload{Ticket{2}, next});
    stage.ready(stage.holder(0, Role::Successor));
    stage.pass(1s);
    EXPECT_EQ(stage.all<Signal>().size(), 4U) << "web's, two of many, old's";
    EXPECT_TRUE(stage.all<Reply>().empty());
    stage.let_leave();
    EXPECT_EQ(stage.only_reply().result, Reply::Result::Done);
    EXPECT_THAT(stage.only_reply().lines,
                ElementsAre("many: 3 -> 1", "old: removed, 1 worker", "web: 1 worker replaced"));
}

TEST(Change, AnEmptySlotThatItTakesAwayHoldsUpNothing) {
    config::Pool pool = safe_pool("web", 3);
    pool.rollout.max_surge = 0;
    pool.rollout.max_unavailable = 1;
    Serving stage(cluster_of({pool}));
    stage.exit(stage.holder(1), exited(78));
    pool.workers = 1;
    pool.exec.command = {"other"};
    stage.step(Reload{Ticket{1}, cluster_of({pool})});
    stage.exit(stage.holder(1), exited(78));
    EXPECT_EQ(stage.worker(stage.holder(0, Role::Leaving)).state, WorkerState::Draining);
    EXPECT_EQ(stage.pool().ready, 1U);
}

TEST(Change, WhatItTakesAwayIsRestartedOneByOneUntilThen) {
    config::Pool gone = safe_pool("gone", 3);
    gone.rollout.max_surge = 0;
    gone.rollout.max_unavailable = 1;
    Serving stage(cluster_of({safe_pool("web", 2), gone}));
    stage.step(Reload{Ticket{1}, cluster_of({safe_pool("web", 2, "other")})});
    stage.step(Restart{Ticket{2}, "gone", std::nullopt});
    EXPECT_EQ(stage.all<Signal>().size(), 1U);
    EXPECT_EQ(stage.pool(1).ready, 2U);
}

TEST(Change, WhatItAddedIsTakenAwayAgain) {
    Serving stage(cluster_of({safe_pool("web", 1)}));
    stage.step(Reload{Ticket{1}, cluster_of({safe_pool("web", 1, "other"), safe_pool("new", 1)})});
    const WorkerId added = stage.holder(0, Role::Current, 1);
    stage.ready(added);
    stage.exit(stage.holder(0, Role::Successor), exited(3));
    EXPECT_EQ(stage.signals(added), std::vector{SignalKind::Terminate});
    EXPECT_TRUE(stage.all<Reply>().empty());
    stage.exit(added, exited(0));
    EXPECT_EQ(stage.only_reply().result, Reply::Result::RolledBack);
    EXPECT_EQ(stage.core.snapshot().pools.size(), 1U);
}

TEST(Change, AScalingMeanwhileHoldsWhateverBecomesOfIt) {
    Serving stage(cluster_of({safe_pool("web", 2)}));
    stage.step(Reload{Ticket{1}, cluster_of({safe_pool("web", 1, "other")})});
    stage.step(Scale{Ticket{}, "web", 3});
    stage.exit(stage.holder(0, Role::Successor), exited(3));
    EXPECT_EQ(stage.pool().wanted, 3U);
    stage.make_ready();
    EXPECT_THAT(stage.generations(), ElementsAre(1, 1, 1));
}

TEST(Change, ANewerReloadWinsAndTheOlderCallerIsTold) {
    Serving stage(cluster_of({safe_pool("web", 2)}));
    stage.step(Reload{Ticket{1}, cluster_of({safe_pool("web", 2, "other")})});
    const WorkerId canary = stage.holder(0, Role::Successor);
    stage.ready(canary);
    stage.step(Reload{Ticket{2}, cluster_of({safe_pool("web", 2)})});
    EXPECT_EQ(stage.only_reply().ticket, Ticket{1});
    EXPECT_EQ(stage.only_reply().reason, "overtaken by a newer reload");
    EXPECT_EQ(stage.signals(canary), std::vector{SignalKind::Terminate});
    EXPECT_TRUE(stage.all<Spawn>().empty()) << "the others run it already";
    stage.exit(canary, exited(0));
    EXPECT_EQ(stage.only_reply().ticket, Ticket{2});
    EXPECT_EQ(stage.only_reply().result, Reply::Result::Done);
    EXPECT_THAT(stage.generations(), ElementsAre(1, 1));
}

TEST(Change, WhatNeverProvedItselfIsNotGoneBackTo) {
    Serving stage(cluster_of({safe_pool("web", 1)}));
    stage.step(Reload{Ticket{1}, cluster_of({safe_pool("web", 1, "second")})});
    stage.step(Reload{Ticket{2}, cluster_of({safe_pool("web", 1, "third")})});
    stage.exit(stage.holder(0, Role::Successor), exited(3));
    EXPECT_EQ(stage.core.config().pools[0].exec.command[0], "serve");
}

TEST(Rollback, GoesToWhatWasBeforeTheLastReloadAndForthAgain) {
    Serving stage(cluster_of({safe_pool("web", 1), safe_pool("old", 1)}));
    stage.step(Rollback{Ticket{1}});
    EXPECT_THAT(stage.only_reply().reason, StartsWith("there is nothing to go back to"));
    stage.step(Reload{Ticket{}, cluster_of({safe_pool("web", 1, "other")})});
    stage.ready(stage.holder(0, Role::Successor));
    stage.pass(1s);
    stage.let_leave();
    EXPECT_EQ(stage.core.generations_in_use(), (std::set{kOld, kNew}));

    stage.step(Rollback{Ticket{2}});
    EXPECT_EQ(stage.pool().stage, RolloutStage::Canary);
    ASSERT_EQ(stage.all<Spawn>().size(), 2U);
    EXPECT_EQ(stage.all<Spawn>()[0].generation, kOld);
    EXPECT_EQ(stage.all<Spawn>()[1].generation, kOld) << "a pool that had been removed";
    stage.make_ready();
    stage.pass(1s);
    stage.let_leave();
    EXPECT_EQ(stage.only_reply().result, Reply::Result::Done);
    EXPECT_EQ(stage.core.config().pools.size(), 2U);
    EXPECT_EQ(stage.core.snapshot().generation, kOld);

    stage.step(Rollback{Ticket{3}});
    stage.ready(stage.holder(0, Role::Successor));
    stage.pass(1s);
    EXPECT_EQ(stage.core.config().pools[0].exec.command[0], "other");
}

TEST(Rollback, EndsAPausedReload) {
    config::Pool paused = safe_pool("web", 2, "other");
    paused.rollout.on_failure = config::OnFailure::Pause;
    Serving stage(cluster_of({safe_pool("web", 2)}));
    stage.step(Reload{Ticket{1}, cluster_of({paused})});
    stage.ready(stage.holder(0, Role::Successor));
    stage.pass(1s);
    stage.let_leave();
    stage.exit(stage.holder(1, Role::Successor), exited(3));
    EXPECT_EQ(stage.pool().stage, RolloutStage::Paused);
    EXPECT_THAT(stage.generations(), ElementsAre(1, 2));
    stage.step(Rollback{Ticket{2}});
    EXPECT_EQ(stage.pool().stage, RolloutStage::RollingBack);
    stage.make_ready();
    stage.let_leave();
    EXPECT_EQ(stage.only_reply().result, Reply::Result::Done);
    EXPECT_THAT(stage.generations(), ElementsAre(1, 1));
}

TEST(Rollback, SaysSoOfAPausedPoolWhoseRestartHasEmptiedIt) {
    config::Pool paused = safe_pool("web", 2, "other");
    paused.rollout.on_failure = config::OnFailure::Pause;
    paused.rollout.max_surge = 0;
    paused.rollout.max_unavailable = 2;
    Serving stage(cluster_of({safe_pool("web", 2)}));
    stage.step(Reload{Ticket{1}, cluster_of({paused})});
    stage.let_leave();
    stage.exit(stage.holder(0), exited(3));
    ASSERT_EQ(stage.pool().stage, RolloutStage::Paused);
    stage.make_ready();
    stage.step(Restart{Ticket{2}, "web", std::nullopt});
    ASSERT_EQ(stage.slot(0).phase, SlotPhase::Vacant);
    ASSERT_EQ(stage.slot(1).phase, SlotPhase::Vacant);
    stage.step(Rollback{Ticket{3}});
    EXPECT_TRUE(stage.announced(Notice::RolloutRolledBack));
    EXPECT_EQ(stage.pool().stage, RolloutStage::Rolling) << "the restart goes on";
}

TEST(Rollback, EndsAReloadUnderWayWhoseCallerIsTold) {
    Serving stage(cluster_of({safe_pool("web", 1)}));
    stage.step(Reload{Ticket{1}, cluster_of({safe_pool("web", 1, "other")})});
    const WorkerId canary = stage.holder(0, Role::Successor);
    stage.step(Rollback{Ticket{2}});
    EXPECT_TRUE(stage.all<Reply>().empty()) << "the canary is still there";
    stage.exit(canary, exited(0));
    const auto replies = stage.all<Reply>();
    ASSERT_EQ(replies.size(), 2U);
    EXPECT_EQ(replies[0].result, Reply::Result::RolledBack);
    EXPECT_EQ(replies[0].reason, "on request");
    EXPECT_EQ(replies[1].result, Reply::Result::Done);
}

}  // namespace
}  // namespace topsman::core::test
