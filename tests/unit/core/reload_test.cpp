// A new configuration, and scaling: exactly the difference is started or ended.

#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

namespace topsman::core::test {
namespace {

using Lines = std::vector<std::string>;

TEST(Reload, StartsExactlyTheDifference) {
    Stage stage(cluster_of({pool_of("web", 4)}));
    stage.serve();
    stage.step(Reload{Ticket{1}, cluster_of({pool_of("web", 6)})});
    EXPECT_EQ(stage.all<Spawn>().size(), 2U);
    EXPECT_TRUE(stage.all<Signal>().empty());
    EXPECT_TRUE(stage.all<Reply>().empty());
    stage.make_ready();
    ASSERT_EQ(stage.all<Reply>().size(), 1U);
    EXPECT_EQ(stage.all<Reply>()[0].lines, Lines{"web: 4 -> 6"});
    EXPECT_EQ(stage.core.snapshot().generation, Generation{1});
}

TEST(Reload, EndsTheHighestSlotsAndWaitsForThem) {
    Stage stage(cluster_of({pool_of("web", 4)}));
    stage.serve();
    const WorkerId third = stage.holder(2);
    const WorkerId fourth = stage.holder(3);
    stage.step(Reload{Ticket{1}, cluster_of({pool_of("web", 2)})});
    EXPECT_EQ(stage.all<Signal>().size(), 2U);
    EXPECT_EQ(stage.signals(third), std::vector{SignalKind::Terminate});
    EXPECT_EQ(stage.worker(fourth).role, Role::Leaving);
    stage.exit(third, exited(0));
    EXPECT_TRUE(stage.all<Reply>().empty());
    stage.exit(fourth, exited(0));
    EXPECT_EQ(stage.all<Reply>().at(0).result, Reply::Result::Done);
    EXPECT_TRUE(stage.all<Spawn>().empty());
}

TEST(Reload, OfTheSameFileChangesNothing) {
    const config::Config config = cluster_of({pool_of("web", 2)});
    Stage stage(config);
    stage.serve();
    for (std::uint64_t i = 1; i <= 1000; ++i) {
        stage.step(Reload{Ticket{i}, config});
        ASSERT_EQ(stage.all<Reply>().at(0).lines, Lines{"nothing to change"});
        ASSERT_TRUE(stage.all<Spawn>().empty());
    }
    EXPECT_EQ(stage.core.snapshot().generation, Generation{1});
}

TEST(Reload, TimeOutsApplyToLivingWorkersAtOnce) {
    config::Pool pool = pool_of("web", 1);
    Stage stage(cluster_of({pool}));
    stage.serve();
    stage.pass(4s);
    EXPECT_EQ(stage.core.next_deadline(), std::nullopt);
    pool.watchdog.timeout = 10s;
    stage.step(Reload{Ticket{1}, cluster_of({pool})});
    EXPECT_EQ(stage.all<Reply>().at(0).lines, Lines{"web: new settings in force"});
    EXPECT_EQ(stage.core.next_deadline(), stage.now + 6s);
    EXPECT_TRUE(stage.all<Spawn>().empty());
}

TEST(Reload, AddsAndRemovesPools) {
    Stage stage(cluster_of({pool_of("web", 1), pool_of("old", 1)}));
    stage.serve();
    const WorkerId old = stage.holder(0, Role::Current, 1);
    stage.step(Reload{Ticket{1}, cluster_of({pool_of("new", 2), pool_of("web", 1)})});
    EXPECT_EQ(stage.signals(old), std::vector{SignalKind::Terminate});
    ASSERT_EQ(stage.all<Spawn>().size(), 2U);
    EXPECT_EQ(stage.all<Spawn>()[0].generation, Generation{2});
    const Snapshot snapshot = stage.core.snapshot();
    ASSERT_EQ(snapshot.pools.size(), 3U) << "until its last worker is gone";
    EXPECT_EQ(snapshot.pools[0].name, "new");
    EXPECT_EQ(snapshot.pools[1].name, "web");
    EXPECT_EQ(snapshot.pools[2].wanted, 0U);
    stage.make_ready();
    stage.exit(old, exited(0));
    EXPECT_EQ(stage.core.snapshot().pools.size(), 2U);
    EXPECT_EQ(stage.all<Reply>().at(0).lines,
              (Lines{"old: removed, 1 worker", "new: new, 2 workers"}));
}

TEST(Reload, FailsWithTheFirstNewWorkerThatFails) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    stage.step(Reload{Ticket{1}, cluster_of({pool_of("web", 2)})});
    stage.exit(stage.holder(1), exited(9));
    ASSERT_EQ(stage.all<Reply>().size(), 1U);
    EXPECT_EQ(stage.all<Reply>()[0].reason, "web/1: new worker exited with code 9");
    EXPECT_EQ(stage.all<Spawn>().size(), 1U) << "the slot goes on trying";
}

TEST(Reload, IsRefusedWhileTheMasterStops) {
    const config::Config config = cluster_of({pool_of("web", 1)});
    Stage stage(config);
    stage.serve();
    stage.step(Stop{Ticket{1}, StopMode::Graceful});
    stage.step(Reload{Ticket{2}, config});
    EXPECT_EQ(stage.all<Reply>().at(0).reason, "the master is stopping");
}

TEST(Scale, HoldsUntilTheNextReloadWhichSaysSo) {
    const config::Config config = cluster_of({pool_of("web", 2)});
    Stage stage(config);
    stage.serve();
    stage.step(Scale{Ticket{1}, "web", 4});
    stage.make_ready();
    EXPECT_EQ(stage.all<Reply>().at(0).lines, Lines{"web: 2 -> 4"});
    stage.step(Reload{Ticket{2}, config});
    EXPECT_EQ(stage.all<Signal>().size(), 2U);
    const auto leaving = stage.all<Signal>();
    stage.exit(leaving[0].worker, exited(0));
    stage.exit(leaving[1].worker, exited(0));
    EXPECT_EQ(stage.all<Reply>().at(0).lines, Lines{"web: 4 -> 2"});
}

TEST(Scale, ToWhatItIsIsDoneAtOnce) {
    Stage stage(cluster_of({pool_of("web", 2)}));
    stage.serve();
    stage.step(Scale{Ticket{1}, "web", 2});
    EXPECT_EQ(stage.all<Reply>().at(0).lines, Lines{"web: 2 workers already"});
}

TEST(Scale, RefusesWhatTheFileWouldNotBeAllowedToSay) {
    config::Config config = cluster_of({pool_of("web", 2), pool_of("api", 3)});
    config.segment.lanes = 20;
    Stage stage(config);
    stage.serve();
    for (const std::uint32_t workers : {0U, 6U, 4'000'000'000U}) {
        stage.step(Scale{Ticket{1}, "web", workers});
        EXPECT_EQ(stage.all<Reply>().at(0).result, Reply::Result::Failed);
        EXPECT_THAT(stage.all<Reply>()[0].reason, testing::HasSubstr("it takes 1 to 5"));
    }
    stage.step(Scale{Ticket{2}, "web", 5});
    EXPECT_EQ(stage.all<Spawn>().size(), 3U);
    stage.step(Scale{Ticket{3}, "worker", 5});
    EXPECT_EQ(stage.all<Reply>().at(0).reason, "no pool \"worker\"; there is web, api");
}

TEST(Scale, ANewerOneOvertakesTheOlder) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    stage.step(Scale{Ticket{1}, "web", 4});
    stage.step(Scale{Ticket{2}, "web", 2});
    ASSERT_EQ(stage.all<Reply>().size(), 1U);
    EXPECT_EQ(stage.all<Reply>()[0].ticket, Ticket{1});
    EXPECT_EQ(stage.all<Reply>()[0].reason, "overtaken by a newer request");
}

TEST(Scale, DuringARolloutBothComeTrue) {
    config::Pool pool = pool_of("web", 2);
    Stage stage(cluster_of({pool}));
    stage.serve();
    pool.exec.command = {"other"};
    stage.step(Reload{Ticket{1}, cluster_of({pool})});
    stage.step(Scale{Ticket{2}, "web", 3});
    EXPECT_TRUE(stage.all<Spawn>().empty()) << "one goes first";
    EXPECT_EQ(stage.pool().rollout, "canary 0/3");
    std::vector<WorkerId> old{stage.holder(0), stage.holder(1)};
    stage.make_ready();
    stage.make_ready();
    stage.exit(old[0], exited(0));
    stage.exit(old[1], exited(0));
    EXPECT_EQ(stage.pool().ready, 3U);
    for (const WorkerView& worker : stage.core.snapshot().workers) {
        EXPECT_EQ(worker.generation, Generation{2});
    }
}

TEST(Scale, WithoutATicketNobodyIsAnswered) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    stage.step(Scale{Ticket{}, "web", 2});
    stage.make_ready();
    stage.step(Scale{Ticket{}, "nothing", 2});
    EXPECT_TRUE(stage.all<Reply>().empty());
}

}  // namespace
}  // namespace topsman::core::test
