// What a reload would do is what it does.

#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

namespace topsman::core::test {
namespace {

config::Pool serving_pool(const std::string& name, std::uint32_t workers,
                          const std::string& command = "serve") {
    config::Pool pool = pool_of(name, workers);
    pool.exec.command = {command};
    return pool;
}

PoolPlan plan_of(const Stage& stage, const config::Config& wanted, const std::string& pool) {
    for (const PoolPlan& plan : stage.core.plan(wanted)) {
        if (plan.pool == pool) {
            return plan;
        }
    }
    ADD_FAILURE() << "nothing about " << pool;
    return {};
}

TEST(Plan, OfTheSameIsNothing) {
    Stage stage(cluster_of({serving_pool("web", 2)}));
    stage.serve();
    const PoolPlan plan = plan_of(stage, stage.core.config(), "web");
    EXPECT_EQ(plan.started + plan.ended + plan.replaced, 0U);
    EXPECT_FALSE(plan.is_new || plan.is_removed || plan.sends_canary);
}

TEST(Plan, SaysWhatBecomesOfEachPoolAndChangesNothing) {
    Stage stage(cluster_of({serving_pool("web", 3), serving_pool("jobs", 2)}));
    stage.serve();
    const auto revision = stage.core.revision();
    const config::Config wanted =
        cluster_of({serving_pool("web", 5, "other"), serving_pool("mail", 1)});
    const PoolPlan web = plan_of(stage, wanted, "web");
    EXPECT_EQ(web.started, 2U);
    EXPECT_EQ(web.replaced, 3U);
    EXPECT_TRUE(web.sends_canary);
    EXPECT_TRUE(plan_of(stage, wanted, "mail").is_new);
    EXPECT_EQ(plan_of(stage, wanted, "mail").started, 1U);
    EXPECT_TRUE(plan_of(stage, wanted, "jobs").is_removed);
    EXPECT_EQ(plan_of(stage, wanted, "jobs").ended, 2U);
    EXPECT_EQ(stage.core.revision(), revision);
    EXPECT_EQ(stage.core.snapshot().generation, Generation{1});
    EXPECT_EQ(stage.living(), 5U);
    stage.step(Reload{{}, wanted});
    EXPECT_EQ(stage.core.snapshot().generation, Generation{2}) << "no number was used up";
}

TEST(Plan, OfFewerWorkersReplacesOnlyThoseThatStay) {
    Stage stage(cluster_of({serving_pool("web", 4)}));
    stage.serve();
    const PoolPlan plan = plan_of(stage, cluster_of({serving_pool("web", 1, "other")}), "web");
    EXPECT_EQ(plan.ended, 3U);
    EXPECT_EQ(plan.replaced, 1U);
}

TEST(Plan, ReckonsWithAScaling) {
    Stage stage(cluster_of({serving_pool("web", 2)}));
    stage.serve();
    stage.step(Scale{{}, "web", 5});
    EXPECT_EQ(plan_of(stage, stage.core.config(), "web").ended, 3U);
}

TEST(Plan, ReckonsWithAReloadThatWasPaused) {
    Stage stage(cluster_of({serving_pool("web", 3)}));
    stage.serve();
    const config::Config wanted = cluster_of({serving_pool("web", 3, "other")});
    stage.step(Reload{{}, wanted});
    stage.ready(stage.holder(0, Role::Successor));
    stage.exit(stage.holder(1, Role::Successor), exited(1));
    ASSERT_EQ(stage.pool().stage, RolloutStage::Paused);
    EXPECT_EQ(plan_of(stage, wanted, "web").replaced, 2U) << "one is new already";
    EXPECT_EQ(plan_of(stage, cluster_of({serving_pool("web", 3)}), "web").replaced, 1U);
}

}  // namespace
}  // namespace topsman::core::test
