#include "supervisor/core/words.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace topsman::core {
namespace {

using namespace std::chrono_literals;
using Kind = ExitReport::Kind;

TEST(Words, DurationsReadAsInTheFile) {
    EXPECT_EQ(in_words(Duration(0s)), "0s");
    EXPECT_EQ(in_words(Duration(400ms)), "400ms");
    EXPECT_EQ(in_words(Duration(5s)), "5s");
    EXPECT_EQ(in_words(Duration(1500ms)), "1.5s");
    EXPECT_EQ(in_words(Duration(90s)), "1m30s");
    EXPECT_EQ(in_words(Duration(1h)), "1h");
    EXPECT_EQ(in_words(Duration(2h + 5min + 3s)), "2h5m3s");
}

TEST(Words, DeathsAreSentences) {
    EXPECT_EQ(in_words(ExitReport{Kind::Exited, 3, false, {}}), "exited with code 3");
    EXPECT_EQ(in_words(ExitReport{Kind::Signaled, SIGSEGV, true, {}}),
              "killed by SIGSEGV (core dumped)");
    EXPECT_EQ(in_words(ExitReport{Kind::SpawnFailed, 2, false, "chdir /srv: No such file"}),
              "could not be started: chdir /srv: No such file");
    EXPECT_EQ(in_words(ExitReport{}), "ended, nobody knows how");
    EXPECT_EQ(death_in_words({Kind::Signaled, SIGABRT, false, {}}, "not ready within 30s"),
              "not ready within 30s (killed by SIGABRT)");
}

TEST(Words, CountsAndLimits) {
    EXPECT_EQ(counted(1, "worker"), "1 worker");
    EXPECT_EQ(counted(4, "worker"), "4 workers");
    EXPECT_EQ(limit_in_words({5, 10s, config::BreakerAction::Stop}), "5 failures within 10s");
    EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
    EXPECT_EQ(signal_name(200), "signal 200");
}

}  // namespace
}  // namespace topsman::core
