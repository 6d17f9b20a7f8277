#include "supervisor/core/supervisor_core.hpp"

#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

namespace topsman::core::test {
namespace {

TEST(SupervisorCore, StartsEveryWorkerAtTheFirstStepAndNothingBefore) {
    Stage stage(cluster_of({pool_of("web", 3), pool_of("api", 1)}));
    EXPECT_EQ(stage.living(), 0U);
    stage.start();
    EXPECT_EQ(stage.all<Spawn>().size(), 4U);
    EXPECT_TRUE(stage.announced(Notice::ConfigLoaded));
    stage.step(Tick{});
    EXPECT_TRUE(stage.all<Spawn>().empty());
}

TEST(SupervisorCore, ReplacesAHealthyWorkerAtOnce) {
    Stage stage(cluster_of({pool_of("web", 2)}));
    stage.serve();
    stage.pass(2s);
    stage.exit(stage.holder(1), signaled(9));
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 1U);
    EXPECT_EQ(stage.all<Obituary>()[0].next, "restarted at once");
    EXPECT_TRUE(stage.all<Obituary>()[0].failure);
}

TEST(SupervisorCore, SaysOnceThatTheServiceIsUp) {
    Stage stage(cluster_of({pool_of("web", 2), pool_of("api", 1)}));
    stage.start();
    stage.ready(stage.holder(0));
    EXPECT_TRUE(stage.all<ServiceUp>().empty());
    stage.ready(stage.holder(0, Role::Current, 1));
    ASSERT_EQ(stage.all<ServiceUp>().size(), 1U);
    EXPECT_EQ(stage.all<ServiceUp>()[0].text, "");
    stage.pass(1min);
    EXPECT_TRUE(stage.all<ServiceUp>().empty());
}

TEST(SupervisorCore, IsUpWithoutAPoolWhoseFirstStartDeadlineHasPassed) {
    Stage stage(cluster_of({pool_of("web", 1), pool_of("api", 1)}));
    stage.start();
    stage.ready(stage.holder(0));
    stage.pass(31s);
    ASSERT_EQ(stage.all<ServiceUp>().size(), 1U);
    EXPECT_EQ(stage.all<ServiceUp>()[0].text, "no ready worker in api");
}

TEST(SupervisorCore, IgnoresAndCountsWhatIsSaidAboutUnknownWorkers) {
    Stage stage(cluster_of({pool_of("web", 1)}));
    stage.serve();
    const WorkerId nobody{99};
    for (const Event& event :
         std::vector<Event>{Spawned{nobody}, BecameReady{nobody}, Beat{nobody, stage.now},
                            AskedAbort{nobody}, AskedExtension{nobody, 1s}, SaidStopping{nobody},
                            DumpsCore{nobody}, Exited{nobody, exited(0)}}) {
        stage.step(event);
        EXPECT_TRUE(stage.actions.empty());
    }
    EXPECT_EQ(stage.core.ignored_events(), 8U);
}

TEST(SupervisorCore, AsksForNoWakeUpWhenNothingIsDue) {
    Stage stage(cluster_of({pool_of("web", 2)}));
    stage.serve();
    EXPECT_EQ(stage.core.next_deadline(), std::nullopt);
}

TEST(SupervisorCore, SpawnsNoMoreWorkersThanThereAreLanes) {
    config::Config config = cluster_of({pool_of("web", 8)});
    config.segment.lanes = 5;
    Stage stage(config);
    stage.start();
    EXPECT_EQ(stage.all<Spawn>().size(), 4U);
    stage.exit(stage.holder(0), exited(1));
    EXPECT_EQ(stage.living(), 4U);
}

}  // namespace
}  // namespace topsman::core::test
