#include "supervisor/control/progress.hpp"

#include "tests/unit/control/control_test_helper.hpp"

#include <gtest/gtest.h>

namespace topsman::control {
namespace {

class ProgressTest : public ::testing::Test {
  protected:
    void set_rollout(const char* words) {
        shm::PoolRecord record{};
        shm::put_text(record.name, "web");
        shm::put_text(record.rollout, words);
        cluster_.segment().scoreboard().pools[0].store(record);
    }

    std::string told(Progress& progress) {
        out_.str("");
        progress.tell();
        return out_.str();
    }

    std::string segment() const { return shm::segment_name(cluster_.name(), ::geteuid()); }

    HandMadeCluster cluster_;
    std::ostringstream out_;
};

TEST(ProgressLineTest, SaysWhoAndWhat) {
    const std::pair<const char*, const char*> lines[] = {
        {R"({"event":"rollout.started","pool":"web","reason":"generation 2"})",
         "web: rollout started: generation 2"},
        {R"({"event":"worker.ready","pool":"web","slot":0,"worker":7,"pid":12})",
         "web/0 (pid 12): ready"},
        {R"({"event":"worker.exited","pool":"web","slot":1,"pid":9,"reason":"killed by SIGKILL","next":"it was to leave"})",
         "web/1 (pid 9): killed by SIGKILL: it was to leave"},
        {R"({"event":"slot.waiting","pool":"web","slot":1,"reason":"next try in 2s"})",
         "web/1: next try in 2s"},
        {R"({"event":"rollout.failed","pool":"web","reason":"\u001b[2J"})",
         "web: rollout failed:  [2J"},
    };
    for (const auto& [event, line] : lines) {
        EXPECT_EQ(progress_line(event), line);
    }
}

TEST(ProgressLineTest, WhatIsNotWorthALineOrNoEventIsLeftOut) {
    for (const char* event :
         {R"({"event":"worker.spawned","pool":"web","slot":0})", R"({"event":"rollout.done"})",
          R"({"event":7})", R"(["worker.ready"])", "worker.ready", "", "{\xff}"}) {
        EXPECT_EQ(progress_line(event), std::nullopt) << event;
    }
    EXPECT_EQ(progress_line(R"({"event":"worker.ready","pool":{},"slot":-1,"pid":"x"})"), "ready");
}

TEST_F(ProgressTest, TellsWhatHappensFromItsBeginningOn) {
    shm::EventRing& events = cluster_.segment().events();
    events.append(R"({"event":"worker.ready","pool":"web","slot":0})");
    Progress progress(segment(), out_);
    EXPECT_EQ(told(progress), "");
    events.append(R"({"event":"worker.ready","pool":"web","slot":1})");
    events.append("no event");
    EXPECT_EQ(told(progress), "web/1: ready\n");
    EXPECT_EQ(told(progress), "");
}

TEST_F(ProgressTest, TellsHowFarARolloutIsWhenThatChanges) {
    cluster_.set_tables(1, 0, 0);
    Progress progress(segment(), out_);
    set_rollout("canary 0/4");
    EXPECT_EQ(told(progress), "web: canary 0/4\n");
    EXPECT_EQ(told(progress), "");
    set_rollout("rolling 2/4");
    EXPECT_EQ(told(progress), "web: rolling 2/4\n");
    set_rollout("rolled back");
    EXPECT_EQ(told(progress), "") << "the answer says it";
}

TEST_F(ProgressTest, WithoutASegmentItTellsNothing) {
    Progress progress("topsman.no-such-cluster", out_);
    EXPECT_EQ(told(progress), "");
}

}  // namespace
}  // namespace topsman::control
