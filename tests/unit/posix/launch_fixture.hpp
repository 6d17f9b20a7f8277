#pragma once

// What the launcher's tests share: a setup to change, and what came of it.

#include "supervisor/posix/launcher.hpp"
#include "tests/unit/posix/support.hpp"

#include <gtest/gtest.h>

#include <sys/types.h>

namespace topsman::posix::test {

/// Runs the probe as a worker and gives what it found.
class LaunchFixture : public testing::Test {
  protected:
    LaunchFixture() {
        setup_.command = {built_program("posix_child_probe")};
        setup_.environment = {"PATH=/usr/bin:/bin"};
    }

    Facts run() {
        auto pipe = make_pipe();
        setup_.stdout_fd = pipe.write_end.get();
        auto launched = launch(setup_);
        pipe.write_end.reset();
        EXPECT_TRUE(launched) << launched.error().message;
        if (const auto failure = wait_report(*launched)) {
            ADD_FAILURE() << failure->sentence;
        }
        pid_ = launched->child.pid();
        Facts facts = parse_facts(read_text(pipe.read_end.get()));
        EXPECT_TRUE(facts.contains("end"));
        const auto report = wait_end(launched->child);
        EXPECT_TRUE(report && report->kind == core::ExitReport::Kind::Exited && report->value == 0);
        return facts;
    }

    /// Launches what cannot run; gives the failure and checks that nothing is left.
    SpawnFailure fail(int expected_code = 127) {
        auto launched = launch(setup_);
        EXPECT_TRUE(launched) << launched.error().message;
        const auto failure = wait_report(*launched);
        const auto report = wait_end(launched->child);
        EXPECT_TRUE(report && report->kind == core::ExitReport::Kind::Exited);
        EXPECT_EQ(report ? report->value : -1, expected_code);
        EXPECT_TRUE(failure) << "it should not have run";
        return failure.value_or(SpawnFailure{});
    }

    ChildSetup setup_;
    pid_t pid_ = 0;
};

}  // namespace topsman::posix::test
