#include "supervisor/core/restart_policy.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

namespace topsman::core {
namespace {

using config::RestartPolicy;
using Kind = ExitReport::Kind;

struct Row {
    std::string death;
    ExitReport report;
    bool forced;
    bool on_failure;
    bool on_abnormal;
};

// systemd.service(5), Restart=, for what can happen to a worker.
const std::vector<Row> kMatrix{
    {"code 0", {Kind::Exited, 0, false, {}}, false, false, false},
    {"code 1", {Kind::Exited, 1, false, {}}, false, true, false},
    {"code 78", {Kind::Exited, 78, false, {}}, false, true, false},
    {"SIGHUP", {Kind::Signaled, SIGHUP, false, {}}, false, false, false},
    {"SIGINT", {Kind::Signaled, SIGINT, false, {}}, false, false, false},
    {"SIGTERM", {Kind::Signaled, SIGTERM, false, {}}, false, false, false},
    {"SIGPIPE", {Kind::Signaled, SIGPIPE, false, {}}, false, false, false},
    {"SIGKILL", {Kind::Signaled, SIGKILL, false, {}}, false, true, true},
    {"SIGSEGV", {Kind::Signaled, SIGSEGV, true, {}}, false, true, true},
    {"watchdog, then code 0", {Kind::Exited, 0, false, {}}, true, true, true},
    {"time-out, then SIGTERM", {Kind::Signaled, SIGTERM, false, {}}, true, true, true},
    {"command not found", {Kind::SpawnFailed, ENOENT, false, {}}, false, true, false},
    {"no process left", {Kind::SpawnFailed, EAGAIN, false, {}}, false, true, true},
    {"unknown", {Kind::Unknown, 0, false, {}}, false, true, true},
};

TEST(RestartPolicy, FollowsSystemdsTable) {
    for (const Row& row : kMatrix) {
        SCOPED_TRACE(row.death);
        const Death death = classify(row.report, row.forced);
        EXPECT_TRUE(wants_restart(RestartPolicy::Always, death));
        EXPECT_FALSE(wants_restart(RestartPolicy::No, death));
        EXPECT_EQ(wants_restart(RestartPolicy::OnFailure, death), row.on_failure);
        EXPECT_EQ(wants_restart(RestartPolicy::OnAbnormal, death), row.on_abnormal);
    }
}

TEST(RestartPolicy, OnlyAnExitCodeOf78MeansMisconfigured) {
    EXPECT_TRUE(classify({Kind::Exited, 78, false, {}}, false).misconfigured);
    EXPECT_FALSE(classify({Kind::Signaled, 78, false, {}}, false).misconfigured);
    EXPECT_FALSE(classify({Kind::Unknown, 78, false, {}}, false).misconfigured);
    EXPECT_FALSE(classify({Kind::SpawnFailed, 78, false, {}}, false).misconfigured);
}

TEST(RestartPolicy, IsNamedAsInTheFile) {
    EXPECT_STREQ(name_of(RestartPolicy::Always), "always");
    EXPECT_STREQ(name_of(RestartPolicy::OnFailure), "on-failure");
    EXPECT_STREQ(name_of(RestartPolicy::OnAbnormal), "on-abnormal");
    EXPECT_STREQ(name_of(RestartPolicy::No), "no");
}

}  // namespace
}  // namespace topsman::core
