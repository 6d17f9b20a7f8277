#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace topsman::core::test {
namespace {

using Kinds = std::vector<SignalKind>;

TEST(Stop, GracefullyAsksEverybodyWaitsAndAnswersBeforeItExits) {
    Stage stage(cluster_of({pool_of("web", 2)}));
    stage.serve();
    const WorkerId first = stage.holder(0);
    const WorkerId second = stage.holder(1);
    stage.step(Stop{Ticket{4}, StopMode::Graceful});
    EXPECT_EQ(stage.signals(first), Kinds{SignalKind::Terminate});
    EXPECT_EQ(stage.signals(second), Kinds{SignalKind::Terminate});
    EXPECT_TRUE(stage.announced(Notice::MasterStopping));
    stage.exit(first, exited(0));
    EXPECT_TRUE(stage.all<Spawn>().empty());
    stage.pass(30s);
    EXPECT_EQ(stage.signals(second), Kinds{SignalKind::Kill});
    stage.exit(second, signaled(SIGKILL));
    ASSERT_GE(stage.actions.size(), 2U);
    EXPECT_TRUE(std::holds_alternative<Reply>(stage.actions[stage.actions.size() - 2]));
    ASSERT_TRUE(std::holds_alternative<Exit>(stage.actions.back()));
    EXPECT_EQ(std::get<Exit>(stage.actions.back()).code, 0);
    EXPECT_EQ(stage.core.snapshot().phase, Phase::Stopped);
}

TEST(Stop, FastGivesTwoSecondsAtMost) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(Stop{Ticket{}, StopMode::Fast});
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Terminate});
    stage.step(AskedExtension{worker, 1h});
    stage.pass(2s);
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Kill});
}

TEST(Stop, NowKillsAtOnce) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(Stop{Ticket{}, StopMode::Now});
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Kill});
    stage.exit(worker, signaled(SIGKILL));
    EXPECT_FALSE(stage.all<Obituary>()[0].failure);
}

TEST(Stop, EscalatesAndNeverGoesBack) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(Stop{Ticket{1}, StopMode::Graceful});
    stage.pass(10s);
    stage.step(Stop{Ticket{2}, StopMode::Fast});
    EXPECT_TRUE(stage.all<Signal>().empty()) << "it has been asked already";
    EXPECT_EQ(stage.core.next_deadline(), stage.now + 2s);
    stage.step(Stop{Ticket{3}, StopMode::Graceful});
    EXPECT_EQ(stage.core.next_deadline(), stage.now + 2s);
    stage.step(Stop{Ticket{4}, StopMode::Now});
    EXPECT_EQ(stage.signals(worker), Kinds{SignalKind::Kill});
    stage.exit(worker, signaled(SIGKILL));
    EXPECT_EQ(stage.all<Reply>().size(), 4U);
}

TEST(Stop, EndsSuccessorsAndAnswersWhoWaits) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    stage.step(Restart{Ticket{1}, "web", std::nullopt});
    const WorkerId successor = stage.holder(0, Role::Successor);
    stage.step(Stop{Ticket{2}, StopMode::Graceful});
    ASSERT_EQ(stage.all<Reply>().size(), 1U);
    EXPECT_EQ(stage.all<Reply>()[0].ticket, Ticket{1});
    EXPECT_EQ(stage.all<Reply>()[0].reason, "the master is stopping");
    EXPECT_EQ(stage.signals(successor), Kinds{SignalKind::Terminate});
}

TEST(Stop, WithoutWorkersIsAtOnce) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.start();
    stage.exit(stage.holder(0), exited(78));
    stage.step(Stop{Ticket{1}, StopMode::Graceful});
    EXPECT_EQ(stage.all<Exit>().size(), 1U);
    EXPECT_EQ(stage.all<Reply>().size(), 1U);
}

TEST(Stop, AfterTheEndEverythingIsAnsweredAndNothingHappens) {
    const config::Config config = cluster_of({pool_of("web", 1)});
    Stage stage(config);
    stage.serve();
    const WorkerId worker = stage.holder(0);
    stage.step(Stop{Ticket{1}, StopMode::Now});
    stage.exit(worker, signaled(SIGKILL));
    EXPECT_EQ(stage.core.next_deadline(), std::nullopt);
    for (const Event& event :
         std::vector<Event>{Reload{Ticket{2}, config}, Scale{Ticket{3}, "web", 2},
                            Restart{Ticket{4}, std::nullopt, std::nullopt},
                            ResetFailed{Ticket{5}, std::nullopt}, Stop{Ticket{6}, StopMode::Now}}) {
        stage.step(event);
        EXPECT_EQ(stage.actions.size(), 1U);
        EXPECT_EQ(stage.all<Reply>().size(), 1U);
    }
    stage.step(Tick{});
    stage.step(Stalled{1h});
    EXPECT_TRUE(stage.actions.empty());
}

TEST(Stop, ManyMayWaitForItButNotWithoutEnd) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    std::size_t refused = 0;
    for (std::uint64_t ticket = 1; ticket <= 300; ++ticket) {
        stage.step(Stop{Ticket{ticket}, StopMode::Graceful});
        refused += stage.all<Reply>().size();
    }
    EXPECT_EQ(refused, 44U);
    stage.exit(stage.core.snapshot().workers.at(0).worker, exited(0));
    EXPECT_EQ(stage.all<Reply>().size(), 256U);
}

TEST(Stop, AsTheVeryFirstEventStartsNothing) {
    Stage stage(cluster_of({pool_of("web", 3)}));
    stage.step(Stop{Ticket{1}, StopMode::Graceful});
    EXPECT_TRUE(stage.all<Spawn>().empty());
    EXPECT_EQ(stage.all<Exit>().size(), 1U);
}

}  // namespace
}  // namespace topsman::core::test
