// The program that other tests rely on to be bad does what it says.

#include "supervisor/posix/notify_socket.hpp"
#include "tests/unit/posix/support.hpp"

#include <gmock/gmock.h>

#include <csignal>
#include <unistd.h>

namespace topsman::posix {
namespace {

using Kind = core::ExitReport::Kind;

class MisbehavingWorkerTest : public testing::Test {
  protected:
    ~MisbehavingWorkerTest() override {
        if (child_ && !child_->peek()) {
            (void)child_->signal_group(SIGKILL);
            (void)test::wait_end(*child_);
        }
    }

    void start(std::vector<std::string> options, std::vector<std::string> environment = {}) {
        ChildSetup setup;
        setup.command = {test::built_program("misbehaving_worker")};
        setup.command.insert(setup.command.end(), options.begin(), options.end());
        setup.environment = std::move(environment);
        setup.environment.push_back("NOTIFY_SOCKET=" + notify_.path());
        setup.stdout_fd = output_.write_end.get();
        auto launched = launch(setup);
        output_.write_end.reset();
        ASSERT_TRUE(launched);
        ASSERT_FALSE(test::wait_report(*launched));
        child_.emplace(std::move(launched->child));
    }

    NotifyMessage next_message() {
        EXPECT_TRUE(test::wait_readable(notify_.fd()));
        return notify_.receive().value_or(NotifyMessage{});
    }

    core::ExitReport end() { return test::wait_end(*child_).value_or(core::ExitReport{}); }

    test::TempDir dir_;
    NotifySocket notify_ = NotifySocket::bind(dir_.path("notify"), std::nullopt).value();
    test::Pipe output_ = test::make_pipe();
    std::optional<Child> child_;
};

TEST_F(MisbehavingWorkerTest, IsGoodWithoutOptions) {
    start({"--status", "hello"}, {"WATCHDOG_USEC=30000"});
    EXPECT_TRUE(next_message().ready);
    EXPECT_EQ(next_message().status, "hello");
    EXPECT_TRUE(next_message().watchdog);
    EXPECT_TRUE(next_message().watchdog);
    ASSERT_TRUE(child_->signal(SIGTERM));
    EXPECT_EQ(end(), (core::ExitReport{Kind::Exited, 0, false, ""}));
}

TEST_F(MisbehavingWorkerTest, CrashesAtBoot) {
    start({"--crash-at-boot", "3"});
    EXPECT_EQ(end().value, 3);
    EXPECT_THAT(test::read_text(output_.read_end.get()), testing::HasSubstr("cannot start"));
    EXPECT_FALSE(notify_.receive());
}

TEST_F(MisbehavingWorkerTest, ExitsAfterReady) {
    start({"--exit-after-ready", "--exit", "78"});
    EXPECT_EQ(end().value, 78);
    EXPECT_TRUE(next_message().ready);
}

TEST_F(MisbehavingWorkerTest, DiesBySignal) {
    start({"--segv"});
    const auto report = end();
    EXPECT_EQ(report.kind, Kind::Signaled);
    EXPECT_EQ(report.value, SIGSEGV);
}

TEST_F(MisbehavingWorkerTest, IgnoresTerm) {
    start({"--ignore-term", "--exit", "9"});
    EXPECT_TRUE(next_message().ready);
    ASSERT_TRUE(child_->signal(SIGTERM));
    ASSERT_TRUE(child_->signal(SIGINT));
    EXPECT_EQ(end().value, 9) << "by the second";
}

TEST_F(MisbehavingWorkerTest, StopsBeatingAndIsDeafToAbort) {
    start({"--beat-then-stop", "2"}, {"WATCHDOG_USEC=3000"});
    EXPECT_TRUE(next_message().ready);
    EXPECT_TRUE(next_message().watchdog);
    EXPECT_TRUE(next_message().watchdog);
    EXPECT_FALSE(test::wait_readable(notify_.fd(), std::chrono::milliseconds(30)));
    ASSERT_TRUE(child_->signal(SIGABRT));
    EXPECT_EQ(end().value, SIGABRT);
}

TEST_F(MisbehavingWorkerTest, FloodsStderr) {
    start({"--flood-stderr", "1000000", "--exit-after-ready"});
    EXPECT_EQ(test::read_text(output_.read_end.get()).size(), 1'000'000U);
    EXPECT_EQ(end().value, 0);
}

TEST_F(MisbehavingWorkerTest, ForksAway) {
    start({"--double-fork", "--status", "away", "--exit-after-ready", "--exit", "5"});
    EXPECT_EQ(end(), (core::ExitReport{Kind::Exited, 0, false, ""})) << "the first process";
    EXPECT_TRUE(next_message().ready);
    EXPECT_EQ(next_message().status, "away");
    EXPECT_EQ(test::read_text(output_.read_end.get()), "") << "the one that forked away ends, too";
}

}  // namespace
}  // namespace topsman::posix
