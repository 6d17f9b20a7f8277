#include "worker/environment.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace topsman::detail {
namespace {

constexpr std::uint32_t kSelf = 4'711;

Result<Environment> read(const std::map<std::string, std::string>& variables) {
    return read_environment(
        [&](const char* name) {
            const auto found = variables.find(name);
            return found == variables.end() ? nullptr : found->second.c_str();
        },
        kSelf);
}

std::map<std::string, std::string> of_a_worker() {
    return {
        {"TOPSMAN_PID", "4711"},     {"TOPSMAN_CLUSTER", "shop"},  {"TOPSMAN_POOL", "web"},
        {"TOPSMAN_SLOT", "2"},       {"TOPSMAN_GENERATION", "7"},  {"TOPSMAN_WORKER", "93"},
        {"TOPSMAN_SEGMENT_FD", "5"}, {"TOPSMAN_LANE", "3:12"},     {"TOPSMAN_WAKE_FD", "6"},
        {"LISTEN_PID", "4711"},      {"LISTEN_FDS", "2"},          {"LISTEN_FDNAMES", "http:admin"},
        {"WATCHDOG_PID", "4711"},    {"WATCHDOG_USEC", "2000000"}, {"NOTIFY_SOCKET", "/run/n"}};
}

TEST(EnvironmentTest, SaysAllThatASupervisorWrote) {
    const auto environment = read(of_a_worker());
    ASSERT_TRUE(environment) << environment.error().message;
    EXPECT_TRUE(environment->is_supervised);
    EXPECT_EQ(environment->cluster, "shop");
    EXPECT_EQ(environment->pool, "web");
    EXPECT_EQ(environment->slot, 2U);
    EXPECT_EQ(environment->generation, 7U);
    EXPECT_EQ(environment->worker, 93U);
    EXPECT_EQ(environment->segment_fd, 5);
    EXPECT_EQ(environment->lane, 3U);
    EXPECT_EQ(environment->lane_generation, 12U);
    EXPECT_EQ(environment->wake_fd, 6);
    ASSERT_EQ(environment->listeners.size(), 2U);
    EXPECT_EQ(environment->listeners[0].name, "http");
    EXPECT_EQ(environment->listeners[0].fd, 3);
    EXPECT_EQ(environment->listeners[1].name, "admin");
    EXPECT_EQ(environment->listeners[1].fd, 4);
    EXPECT_EQ(environment->watchdog, std::chrono::seconds(2));
    EXPECT_EQ(environment->notify_socket, "/run/n");
}

TEST(EnvironmentTest, OfNobodyIsEmpty) {
    const auto environment = read({});
    ASSERT_TRUE(environment);
    EXPECT_FALSE(environment->is_supervised);
    EXPECT_FALSE(environment->segment_fd);
    EXPECT_TRUE(environment->listeners.empty());
    EXPECT_EQ(environment->watchdog.count(), 0);
}

TEST(EnvironmentTest, MeantForAParentSaysNothing) {
    auto variables = of_a_worker();
    variables["TOPSMAN_PID"] = "4710";
    const auto environment = read(variables);
    ASSERT_TRUE(environment);
    EXPECT_FALSE(environment->is_supervised);
    EXPECT_FALSE(environment->segment_fd);
    EXPECT_TRUE(environment->listeners.empty());
    EXPECT_TRUE(environment->notify_socket.empty());
}

TEST(EnvironmentTest, OfSystemdAloneHasSocketsAndNoSegment) {
    const auto environment =
        read({{"LISTEN_PID", "4711"}, {"LISTEN_FDS", "1"}, {"NOTIFY_SOCKET", "@abstract"}});
    ASSERT_TRUE(environment);
    EXPECT_FALSE(environment->is_supervised);
    ASSERT_EQ(environment->listeners.size(), 1U);
    EXPECT_EQ(environment->listeners[0].name, "unknown");
    EXPECT_EQ(environment->notify_socket, "@abstract");
}

TEST(EnvironmentTest, SocketsForAnotherProcessAreNotOurs) {
    for (const char* pid : {"4710", ""}) {
        std::map<std::string, std::string> variables{{"LISTEN_FDS", "1"}};
        if (*pid != '\0') {
            variables["LISTEN_PID"] = pid;
        }
        const auto environment = read(variables);
        ASSERT_TRUE(environment);
        EXPECT_TRUE(environment->listeners.empty());
    }
}

TEST(EnvironmentTest, AWatchdogForAnotherProcessIsNotOurs) {
    const auto environment = read({{"WATCHDOG_PID", "4710"}, {"WATCHDOG_USEC", "2000000"}});
    ASSERT_TRUE(environment);
    EXPECT_EQ(environment->watchdog.count(), 0);
}

TEST(EnvironmentTest, NonsenseIsAnErrorThatNamesTheVariable) {
    for (const auto& [name, value] : std::map<std::string, std::string>{{"TOPSMAN_LANE", "3"},
                                                                        {"TOPSMAN_SEGMENT_FD", "1"},
                                                                        {"TOPSMAN_WAKE_FD", "six"},
                                                                        {"TOPSMAN_SLOT", "-1"},
                                                                        {"TOPSMAN_PID", "self"},
                                                                        {"LISTEN_FDS", "1000000"},
                                                                        {"WATCHDOG_USEC", "2s"}}) {
        auto variables = of_a_worker();
        variables[name] = value;
        const auto environment = read(variables);
        ASSERT_FALSE(environment) << name;
        EXPECT_NE(environment.error().message.find(name + "=" + value), std::string::npos)
            << environment.error().message;
    }
}

TEST(EnvironmentTest, LaneZeroIsTheMasters) {
    auto variables = of_a_worker();
    variables["TOPSMAN_LANE"] = "0:1";
    EXPECT_FALSE(read(variables));
}

TEST(EnvironmentTest, ASegmentWithoutALaneIsAnError) {
    auto variables = of_a_worker();
    variables.erase("TOPSMAN_LANE");
    EXPECT_FALSE(read(variables));
}

}  // namespace
}  // namespace topsman::detail
