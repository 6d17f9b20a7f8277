#include "supervisor/control/commands.hpp"
#include "supervisor/control/event_json.hpp"
#include "tests/unit/control/control_test_helper.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <thread>

namespace topsman::control {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

void append(shm::Segment& segment, std::string_view event) {
    EventFields fields;
    fields.event = event;
    segment.events().append(event_json(segment.events().last_seq() + 1, "T", fields));
}

std::string line(std::uint64_t seq, std::string_view event) {
    EventFields fields;
    fields.event = event;
    return event_json(seq, "T", fields) + "\n";
}

TEST(EventsCommandTest, PrintsWhatIsThere) {
    HandMadeCluster cluster;
    append(cluster.segment(), "master.started");
    append(cluster.segment(), "config.loaded");
    Printed printed;
    EXPECT_EQ(events(cluster.target(), printed.plain(), {}), 0);
    EXPECT_EQ(printed.out.str(), line(1, "master.started") + line(2, "config.loaded"));
}

TEST(EventsCommandTest, SinceLeavesOutTheOlderOnes) {
    HandMadeCluster cluster;
    append(cluster.segment(), "master.started");
    append(cluster.segment(), "config.loaded");
    Printed printed;
    EventsOptions options;
    options.since = 1;
    options.since_given = true;
    EXPECT_EQ(events(cluster.target(), printed.plain(), options), 0);
    EXPECT_EQ(printed.out.str(), line(2, "config.loaded"));
}

TEST(EventsCommandTest, UntilEndsWithTheEvent) {
    HandMadeCluster cluster;
    append(cluster.segment(), "worker.ready");
    Printed printed;
    EventsOptions options;
    options.since_given = true;
    options.until = "worker.exited";
    options.timeout = 30s;
    std::thread writer([&] {
        append(cluster.segment(), "worker.draining");
        append(cluster.segment(), "worker.exited");
    });
    EXPECT_EQ(events(cluster.target(), printed.plain(), options), 0);
    writer.join();
    EXPECT_EQ(printed.out.str(),
              line(1, "worker.ready") + line(2, "worker.draining") + line(3, "worker.exited"));
}

TEST(EventsCommandTest, UntilWithoutSinceIsFromNowOn) {
    HandMadeCluster cluster;
    append(cluster.segment(), "worker.ready");
    Printed printed;
    EventsOptions options;
    options.until = "worker.ready";
    options.timeout = 20ms;
    EXPECT_EQ(events(cluster.target(), printed.plain(), options), 5);
    EXPECT_THAT(printed.out.str(), IsEmpty());
    EXPECT_THAT(printed.err.str(), HasSubstr("no event worker.ready in time"));
}

TEST(EventsCommandTest, FollowingForAWhileIsNoFailure) {
    HandMadeCluster cluster;
    Printed printed;
    EventsOptions options;
    options.follow = true;
    options.timeout = 20ms;
    EXPECT_EQ(events(cluster.target(), printed.plain(), options), 0);
}

TEST(EventsCommandTest, SaysHowManyWereLost) {
    HandMadeCluster cluster;
    for (std::uint32_t i = 0; i < shm::kEventSlots + 10; ++i) {
        append(cluster.segment(), "worker.ready");
    }
    Printed printed;
    EventsOptions options;
    options.since = 3;
    options.since_given = true;
    EXPECT_EQ(events(cluster.target(), printed.plain(), options), 0);
    std::istringstream lines(printed.out.str());
    std::string lost;
    std::string next;
    std::getline(lines, lost);
    std::getline(lines, next);
    const auto gap = boost::json::parse(lost);
    EXPECT_EQ(gap.at("event"), "events.lost");
    EXPECT_EQ(gap.at("seq"), 4);
    EXPECT_GE(gap.at("count").to_number<int>(), 7) << "the ring has as many places as it has";
    EXPECT_EQ(4 + gap.at("count").to_number<int>(),
              boost::json::parse(next).at("seq").to_number<int>());
}

TEST(EventsCommandTest, WhatIsNoEventIsNotPassedOn) {
    HandMadeCluster cluster;
    cluster.segment().events().append("\x1b[2J");
    cluster.segment().events().append("[]");
    cluster.segment().events().append("{\"event\":\n\"x\"}");
    Printed printed;
    EXPECT_EQ(events(cluster.target(), printed.plain(), {}), 0);
    EXPECT_EQ(printed.out.str(),
              "{\"seq\":1,\"event\":\"events.unreadable\"}\n"
              "{\"seq\":2,\"event\":\"events.unreadable\"}\n"
              "{\"seq\":3,\"event\":\"events.unreadable\"}\n");
}

TEST(EventsCommandTest, AFollowerEndsWithTheCluster) {
    HandMadeCluster cluster;
    Printed printed;
    EventsOptions options;
    options.follow = true;
    std::thread stopper([&] {
        append(cluster.segment(), "master.stopping");
        cluster.remove_segment();
    });
    const int code = events(cluster.target(), printed.plain(), options);
    stopper.join();
    // Depending on who was first the follower saw it go, or came too late.
    EXPECT_TRUE(code == 0 || code == 3) << code;
}

TEST(EventsCommandTest, WithoutAClusterThereIsNothingToShow) {
    HandMadeCluster cluster;
    cluster.remove_segment();
    Printed printed;
    EXPECT_EQ(events(cluster.target(), printed.plain(), {}), 3);
    EXPECT_THAT(printed.err.str(), HasSubstr("no cluster named " + cluster.name()));
}

}  // namespace
}  // namespace topsman::control
