// Slots out of use: what the operator drains stays empty until it is restarted by name.

#include "supervisor/core/inheritance.hpp"
#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

namespace topsman::core::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

config::Pool listening(std::uint32_t workers) {
    config::Pool pool = pool_of("web", workers);
    pool.exec.listeners = {"http"};
    return pool;
}

/// A serving pool of three, of which web/1 is drained and gone.
struct DrainStage : Stage {
    explicit DrainStage(const config::Pool& pool = listening(3)) : Stage(cluster_of({pool})) {
        serve();
        pass(2s);
        const WorkerId worker = holder(1);
        step(Drain{Ticket{5}, "web", 1});
        exit(worker, exited(0));
    }

    [[nodiscard]] bool is_drained() const { return slot(1).phase == SlotPhase::Drained; }

    [[nodiscard]] Reply reply() const { return all<Reply>().at(0); }
};

TEST(DrainTest, ItsWorkerFinishesAndNobodyComesAfter) {
    Stage stage(cluster_of({listening(3)}));
    stage.serve();
    stage.pass(2s);
    const WorkerId worker = stage.holder(1);
    stage.step(Drain{Ticket{5}, "web", 1});
    EXPECT_EQ(stage.signals(worker), std::vector{SignalKind::Terminate});
    EXPECT_EQ(stage.worker(worker).state, WorkerState::Draining);
    EXPECT_EQ(stage.worker(worker).role, Role::Leaving);
    EXPECT_EQ(stage.slot(1).phase, SlotPhase::Drained);
    EXPECT_TRUE(stage.all<Spawn>().empty());
    EXPECT_TRUE(stage.all<Reply>().empty()) << "it has not finished yet";
    EXPECT_FALSE(stage.announced(Notice::SlotDrained));
    EXPECT_EQ(stage.pool().ready, 2U);
    EXPECT_EQ(stage.pool().drained, 1U);

    stage.exit(worker, exited(0));
    EXPECT_TRUE(stage.announced(Notice::SlotDrained));
    ASSERT_EQ(stage.all<Obituary>().size(), 1U);
    EXPECT_FALSE(stage.all<Obituary>()[0].failure);
    EXPECT_EQ(stage.all<Obituary>()[0].next, "its slot is drained");
    ASSERT_EQ(stage.all<Reply>().size(), 1U);
    EXPECT_EQ(stage.all<Reply>()[0].result, Reply::Result::Done);
    EXPECT_THAT(stage.all<Reply>()[0].lines,
                ElementsAre("web/1: drained; `topsman restart web/1` puts it back in use"));
    stage.pass(1h);
    EXPECT_TRUE(stage.all<Spawn>().empty());
}

TEST(DrainTest, WhoDoesNotFinishInTimeIsKilled) {
    Stage stage(cluster_of({listening(2)}));
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(Drain{Ticket{5}, "web", 0});
    stage.pass(29s);
    EXPECT_TRUE(stage.signals(worker).empty());
    stage.pass(2s);
    EXPECT_EQ(stage.signals(worker), std::vector{SignalKind::Kill});
}

TEST(DrainTest, ARestartByNamePutsItBack) {
    DrainStage stage;
    stage.step(Restart{Ticket{6}, "web", 1});
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 1U);
    EXPECT_TRUE(stage.all<Reply>().empty()) << "it is not ready yet";
    stage.ready(stage.holder(1));
    EXPECT_EQ(stage.reply().result, Reply::Result::Done);
    EXPECT_EQ(stage.pool().ready, 3U);
    EXPECT_EQ(stage.pool().drained, 0U);
}

TEST(DrainTest, NothingElsePutsItBack) {
    DrainStage stage;
    stage.step(ResetFailed{Ticket{6}, std::nullopt});
    EXPECT_TRUE(stage.is_drained());
    stage.step(Restart{Ticket{7}, "web", 0});
    EXPECT_TRUE(stage.is_drained());
    stage.ready(stage.holder(0, Role::Successor));
    stage.step(Scale{Ticket{8}, "web", 4});
    EXPECT_TRUE(stage.is_drained());
    stage.make_ready();
    config::Pool other = listening(4);
    other.restart = config::RestartPolicy::OnFailure;
    other.stop_timeout = 5s;
    stage.step(Reload{Ticket{9}, cluster_of({other})});
    EXPECT_TRUE(stage.is_drained());
    stage.step(Rollback{Ticket{10}});
    stage.pass(1h);
    EXPECT_TRUE(stage.is_drained());
}

TEST(DrainTest, ARestartOfAllLeavesItAndSaysSo) {
    DrainStage stage;
    stage.step(Restart{Ticket{6}, "web", std::nullopt});
    for (const std::uint32_t slot : {0U, 2U}) {
        const WorkerId old = stage.holder(slot);
        stage.ready(stage.holder(slot, Role::Successor));
        stage.exit(old, exited(0));
    }
    EXPECT_THAT(stage.reply().lines,
                ElementsAre("web/1: stays drained; `topsman restart web/1` puts it back in use",
                            "web: 2 workers replaced"));
    EXPECT_TRUE(stage.is_drained());
}

TEST(DrainTest, ANewGenerationIsRolledOutWithoutItAndIsWhatItGets) {
    DrainStage stage;
    config::Pool other = listening(3);
    other.exec.command = {"other"};
    stage.step(Reload{Ticket{6}, cluster_of({other})});
    for (const std::uint32_t slot : {0U, 2U}) {
        stage.ready(stage.holder(slot, Role::Successor));
    }
    EXPECT_EQ(stage.pool().stage, RolloutStage::Idle);
    EXPECT_TRUE(stage.is_drained());
    stage.step(Restart{Ticket{7}, "web", 1});
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].generation, Generation{2});
}

TEST(DrainTest, WhereAllAreDrainedANewGenerationIsWhatTheyGet) {
    Stage stage(cluster_of({pool_of("jobs", 1)}));
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(Drain{Ticket{5}, "jobs", 0});
    stage.exit(worker, exited(0));
    config::Pool other = pool_of("jobs", 1);
    other.exec.command = {"other"};
    stage.step(Reload{Ticket{6}, cluster_of({other})});
    EXPECT_EQ(stage.all<Reply>().at(0).result, Reply::Result::Done);
    EXPECT_TRUE(stage.all<Spawn>().empty());
    stage.step(Restart{Ticket{7}, "jobs", 0});
    EXPECT_EQ(stage.all<Spawn>().at(0).generation, Generation{2});
}

TEST(DrainTest, ItIsNotMissedWhereWorkersLeaveFirst) {
    config::Pool pool = listening(3);
    pool.rollout.max_surge = 0;
    pool.rollout.max_unavailable = 1;
    DrainStage stage(pool);
    const WorkerId old = stage.holder(0);
    stage.step(Restart{Ticket{6}, "web", std::nullopt});
    EXPECT_EQ(stage.signals(old), std::vector{SignalKind::Terminate});
    EXPECT_TRUE(stage.signals(stage.holder(2)).empty()) << "one at a time";
}

TEST(DrainTest, WhereTheCanaryIsDrainedAnotherOneGoesAhead) {
    config::Pool pool = listening(2);
    pool.rollout.observe = 10s;
    Stage stage(cluster_of({pool}));
    stage.serve();
    stage.pass(2s);
    pool.exec.command = {"other"};
    stage.step(Reload{Ticket{6}, cluster_of({pool})});
    const WorkerId canary = stage.holder(0, Role::Successor);
    stage.ready(canary);
    stage.step(Drain{Ticket{7}, "web", 0});
    EXPECT_EQ(stage.signals(canary), std::vector{SignalKind::Terminate});
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 1U);
    EXPECT_EQ(stage.pool().rollout, "canary 0/1");
}

TEST(DrainTest, TheLastThatServesAListenerStays) {
    Stage stage(cluster_of({listening(2)}));
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(Drain{Ticket{5}, "web", 0});
    stage.exit(worker, exited(0));
    stage.step(Drain{Ticket{6}, "web", 1});
    EXPECT_EQ(stage.all<Reply>().at(0).result, Reply::Result::Failed);
    EXPECT_EQ(stage.all<Reply>().at(0).reason,
              "web/1 is the only worker of web that serves: nobody would take its connections; "
              "have more with `topsman scale web=3` first");
    EXPECT_TRUE(stage.all<Signal>().empty());
    EXPECT_EQ(stage.pool().ready, 1U);
}

TEST(DrainTest, ASlotWithoutAWorkerIsDrainedAtOnce) {
    Stage stage(cluster_of({listening(2)}));
    stage.serve();
    for (int turn = 0; turn < 4; ++turn) {
        stage.exit(stage.holder(1), exited(3));
        stage.pass(turn < 3 ? 2s : 0s);
    }
    ASSERT_EQ(stage.slot(1).phase, SlotPhase::Waiting);
    stage.step(Drain{Ticket{5}, "web", 1});
    EXPECT_EQ(stage.all<Reply>().at(0).result, Reply::Result::Done);
    EXPECT_TRUE(stage.announced(Notice::SlotDrained));
    stage.pass(1h);
    EXPECT_TRUE(stage.all<Spawn>().empty());
}

TEST(DrainTest, WrongWordsGetOneSentence) {
    DrainStage stage;
    const auto refused = [&stage](const std::string& pool, std::uint32_t slot) {
        stage.step(Drain{Ticket{9}, pool, slot});
        return stage.reply().reason;
    };
    EXPECT_EQ(refused("wbe", 0), "no pool \"wbe\"; there is web");
    EXPECT_EQ(refused("web", 3), "no slot web/3; the last is web/2");
    stage.step(Drain{Ticket{9}, "web", 1});
    EXPECT_EQ(stage.reply().result, Reply::Result::Done);
    EXPECT_THAT(stage.reply().lines, ElementsAre(HasSubstr("web/1: drained already")));
    stage.step(Stop{Ticket{}, StopMode::Graceful});
    EXPECT_EQ(refused("web", 0), "the master is stopping");
}

TEST(DrainTest, TheNextMasterLeavesItEmpty) {
    Stage stage(cluster_of({listening(2)}));
    Inheritance left;
    left.last_worker = WorkerId{7};
    left.generation = Generation{1};
    left.pools = {{.name = "web", .wanted = 2, .configured = 2, .generation = Generation{1}}};
    left.slots = {{.pool = "web", .slot = 1, .phase = SlotPhase::Drained, .not_before = {}}};
    const LeftWorker first{.worker = WorkerId{6},
                           .pool = "web",
                           .slot = 0,
                           .generation = Generation{1},
                           .role = Role::Current,
                           .state = WorkerState::Serving,
                           .spawned_at = {},
                           .ready_at = {},
                           .last_beat = {}};
    LeftWorker second = first;  // its master died before it could write down that this one leaves
    second.worker = WorkerId{7};
    second.slot = 1;
    left.workers = {first, second};
    stage.step(Adopt{left});
    EXPECT_EQ(stage.signals(WorkerId{7}), std::vector{SignalKind::Terminate});
    EXPECT_TRUE(stage.signals(WorkerId{6}).empty());
    EXPECT_EQ(stage.slot(1).phase, SlotPhase::Drained);
    stage.exit(WorkerId{7}, exited(0));
    stage.pass(1h);
    EXPECT_TRUE(stage.all<Spawn>().empty());
}

}  // namespace
}  // namespace topsman::core::test
