#include "supervisor/posix/child.hpp"

#include "supervisor/posix/process_info.hpp"
#include "tests/unit/posix/support.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

using Kind = core::ExitReport::Kind;

Launched start(std::vector<std::string> command) {
    ChildSetup setup;
    setup.command = std::move(command);
    setup.environment = {"PATH=/usr/bin:/bin"};
    auto launched = launch(setup);
    EXPECT_TRUE(launched);
    EXPECT_FALSE(test::wait_report(*launched));
    return std::move(*launched);
}

bool is_gone(pid_t pid) {
    const auto info = process_info(static_cast<std::uint32_t>(pid));
    return !info || info->state == 'Z';
}

TEST(ChildTest, PeekSaysNothingWhileItRuns) {
    auto launched = start({"tail", "-f", "/dev/null"});
    EXPECT_FALSE(launched.child.peek());
    EXPECT_FALSE(launched.child.reap()) << "there is nothing to reap yet";
    ASSERT_TRUE(launched.child.signal(SIGKILL));
    const auto report = test::wait_end(launched.child);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->kind, Kind::Signaled);
    EXPECT_EQ(report->value, SIGKILL);
    EXPECT_EQ(describe(*report), "killed by SIGKILL");
}

TEST(ChildTest, PeekDoesNotReapAndReapDoes) {
    auto launched = start({"sh", "-c", "exit 3"});
    const pid_t pid = launched.child.pid();
    ASSERT_TRUE(test::wait_readable(launched.child.pidfd()));
    for (int i = 0; i < 3; ++i) {
        const auto report = launched.child.peek();
        ASSERT_TRUE(report);
        EXPECT_EQ(report->kind, Kind::Exited);
        EXPECT_EQ(report->value, 3);
        EXPECT_EQ(describe(*report), "exited with code 3");
    }
    EXPECT_EQ(process_info(static_cast<std::uint32_t>(pid)).value_or(ProcessInfo{}).state, 'Z');
    EXPECT_TRUE(launched.child.reap());
    EXPECT_FALSE(process_info(static_cast<std::uint32_t>(pid)));
}

TEST(ChildTest, ASignalToADeadProcessIsNoError) {
    auto launched = start({"true"});
    ASSERT_TRUE(test::wait_readable(launched.child.pidfd()));
    EXPECT_TRUE(launched.child.signal(SIGTERM));
    EXPECT_TRUE(launched.child.signal_group(SIGTERM));
    EXPECT_TRUE(launched.child.reap());
    EXPECT_TRUE(launched.child.signal(SIGTERM));
    EXPECT_TRUE(launched.child.signal_group(SIGTERM)) << "and no stranger is hit";
}

TEST(ChildTest, AStopIsToldOnceAndAnEndIsNone) {
    ASSERT_EQ(test::in_child([] {
                  const pid_t pid = ::fork();
                  if (pid == 0) {
                      (void)::raise(SIGSTOP);
                      ::_exit(0);
                  }
                  siginfo_t info{};
                  (void)::waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WNOWAIT);
                  if (!take_stops() || take_stops()) {
                      return 1;
                  }
                  (void)::kill(pid, SIGCONT);
                  (void)::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
                  return take_stops() || test::wait_child(pid) != 0 ? 2 : 0;
              }),
              0);
}

TEST(ChildTest, TheGroupIsSignalledWithItsGrandchildren) {
    auto pipe = test::make_pipe();
    ChildSetup setup;
    setup.command = {test::built_program("posix_child_probe"), "--spawn"};
    setup.stdout_fd = pipe.write_end.get();
    auto launched = launch(setup);
    ASSERT_TRUE(launched);
    const auto facts = test::parse_facts(test::read_text(pipe.read_end.get(), "end\n"));
    const pid_t grandchild = std::stoi(facts.at("grandchild"));
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, grandchild, 0)));
    ASSERT_TRUE(pidfd);
    ASSERT_TRUE(launched->child.signal_group(SIGKILL));
    EXPECT_TRUE(test::wait_end(launched->child));
    EXPECT_TRUE(test::wait_readable(pidfd.get()));
    EXPECT_TRUE(is_gone(grandchild));
}

TEST(ChildTest, TheGroupOfADeadLeaderIsSignalledWhileItIsNotReaped) {
    auto pipe = test::make_pipe();
    ChildSetup setup;
    setup.command = {test::built_program("posix_child_probe"), "--spawn"};
    setup.stdout_fd = pipe.write_end.get();
    auto launched = launch(setup);
    ASSERT_TRUE(launched);
    const auto facts = test::parse_facts(test::read_text(pipe.read_end.get(), "end\n"));
    const pid_t grandchild = std::stoi(facts.at("grandchild"));
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, grandchild, 0)));
    ASSERT_TRUE(launched->child.signal(SIGKILL));
    ASSERT_TRUE(test::wait_readable(launched->child.pidfd()));
    EXPECT_FALSE(test::wait_readable(pidfd.get(), std::chrono::milliseconds(0)));
    ASSERT_TRUE(launched->child.signal_group(SIGKILL));
    EXPECT_TRUE(test::wait_readable(pidfd.get()));
    EXPECT_TRUE(launched->child.reap());
}

TEST(ChildTest, AProcessOfADeadMasterIsOpenedByNumberAndStartTime) {
    // A grandchild whose parent has ended: alive, and not our child.
    auto pipe = test::make_pipe();
    ASSERT_EQ(test::in_child([&] {
                  const pid_t pid = ::fork();
                  if (pid == 0) {
                      (void)::setsid();
                      const std::string text = std::to_string(::getpid()) + "\n";
                      (void)!::write(pipe.write_end.get(), text.data(), text.size());
                      pipe.write_end.reset();
                      (void)::pause();
                      ::_exit(0);
                  }
                  return pid > 0 ? 0 : 1;
              }),
              0);
    const auto pid =
        static_cast<std::uint32_t>(std::stoul(test::read_text(pipe.read_end.get(), "\n")));
    const auto info = process_info(pid);
    ASSERT_TRUE(info);
    const auto wrong = Child::open(pid, info->start_ticks + 1);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, std::errc::no_such_process);
    auto child = Child::open(pid, info->start_ticks);
    ASSERT_TRUE(child);
    EXPECT_FALSE(child->peek());
    EXPECT_TRUE(child->signal_group(SIGKILL));
    ASSERT_TRUE(test::wait_readable(child->pidfd()));
    const auto report = child->peek();
    ASSERT_TRUE(report);
    // Not our child: the kernel tells once whoever inherited it has reaped it (Linux 6.15).
    EXPECT_EQ(describe(*report),
              report->kind == Kind::Unknown ? "ended, how is unknown" : "killed by SIGKILL");
}

TEST(ChildTest, DescribesASpawnThatFailedInItsOwnWords) {
    core::ExitReport report;
    report.kind = Kind::SpawnFailed;
    report.detail = "chdir /srv/app: No such file or directory";
    EXPECT_EQ(describe(report), "chdir /srv/app: No such file or directory");
    report = {Kind::Signaled, SIGSEGV, true, ""};
    EXPECT_EQ(describe(report), "killed by SIGSEGV (core dumped)");
}

}  // namespace
}  // namespace topsman::posix
