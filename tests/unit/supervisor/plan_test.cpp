// `topsman plan` in words: what the core would do, and which keys it is for.

#include "supervisor/plan.hpp"

#include <gtest/gtest.h>

namespace topsman::supervisor {
namespace {

using Lines = std::vector<std::string>;

config::Pool pool(const std::string& name, std::uint32_t workers) {
    config::Pool pool;
    pool.name = name;
    pool.exec.command = {"serve"};
    pool.workers = workers;
    return pool;
}

class PlanTest : public testing::Test {
  protected:
    PlanTest() {
        running_.cluster = "shop";
        running_.pools = {pool("web", 4)};
        wanted_ = running_;
    }

    control::Response plan() {
        core::SupervisorCore core(running_, 1);
        std::vector<core::Action> actions;
        core.step(core::Tick{}, core::TimePoint{}, actions);
        for (const core::WorkerView& worker : core.snapshot().workers) {
            core.step(core::Spawned{worker.worker}, core::TimePoint{}, actions);
        }
        core.step(core::Tick{}, core::TimePoint{} + std::chrono::seconds(10), actions);
        Candidate candidate;
        candidate.loaded.config = wanted_;
        return plan_reload(core, candidate);
    }

    config::Config running_;
    config::Config wanted_;
};

TEST_F(PlanTest, NothingWouldChange) {
    const control::Response response = plan();
    EXPECT_EQ(response.result, "done");
    EXPECT_EQ(response.reason, "nothing would change");
    EXPECT_EQ(response.lines, Lines{});
    EXPECT_EQ(response.details, R"({"pools":[],"listeners":[],"shared":[],"other":[]})");
}

TEST_F(PlanTest, ALineForEachThingThatWouldHappen) {
    wanted_.pools[0].workers = 1;
    wanted_.pools[0].exec.nice = 1;
    wanted_.pools[0].stop_timeout = std::chrono::seconds(3);
    wanted_.pools.push_back(pool("mail", 1));
    wanted_.watch = true;
    const control::Response response = plan();
    EXPECT_EQ(response.result, "changes");
    EXPECT_EQ(response.lines,
              (Lines{"web: workers 4 -> 1: 3 workers are ended",
                     "web: nice and stop_timeout changed: 1 worker is replaced, the new one ready "
                     "for 1s",
                     "mail: new: 1 worker is started", "watch changed: applies at once"}));
    EXPECT_EQ(response.details,
              R"({"pools":[{"pool":"web","new":false,"removed":false,"workers_before":4,)"
              R"("workers_after":1,"started":0,"ended":3,"replaced":1,"canary":true,)"
              R"("keys":["nice","stop_timeout"]},{"pool":"mail","new":true,"removed":false,)"
              R"("workers_before":0,"workers_after":1,"started":1,"ended":0,"replaced":0,)"
              R"("canary":false,"keys":[]}],"listeners":[],"shared":[],"other":["watch"]})");
}

TEST_F(PlanTest, APolicyReplacesNobody) {
    wanted_.pools[0].stop_timeout = std::chrono::seconds(3);
    EXPECT_EQ(plan().lines, Lines{"web: stop_timeout changed: applies at once"});
}

TEST_F(PlanTest, WhatAReloadCannotChangeIsRefusedAsAWhole) {
    wanted_.segment.lanes = 512;
    wanted_.pools[0].workers = 9;
    const control::Response response = plan();
    EXPECT_EQ(response.result, "failed");
    ASSERT_EQ(response.lines.size(), 1U);
    EXPECT_EQ(response.lines[0].substr(0, 13), "segment.lanes");
}

TEST_F(PlanTest, ABadFileIsRefusedWithWhatIsWrong) {
    const core::SupervisorCore core(running_, 1);
    Candidate bad;
    bad.loaded.errors.push_back({"shop.yaml", 3, 7, "pools.web.nice", "must be a number"});
    EXPECT_EQ(plan_reload(core, bad).lines,
              Lines{"shop.yaml:3:7: pools.web.nice: must be a number"});
    Candidate unprepared;
    unprepared.loaded.config = running_;
    unprepared.trouble = "pools.web.env_file: cannot be read";
    EXPECT_EQ(plan_reload(core, unprepared).lines, Lines{unprepared.trouble});
}

}  // namespace
}  // namespace topsman::supervisor
