// What a worker becomes.

#include "supervisor/posix/launcher.hpp"

#include "supervisor/posix/cpu_mask.hpp"
#include "supervisor/posix/process_info.hpp"
#include "tests/unit/posix/launch_fixture.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace topsman::posix {
namespace {

using test::Facts;
using test::TempDir;

class LauncherTest : public test::LaunchFixture {};

TEST_F(LauncherTest, GivesTheCommandAndTheEnvironment) {
    setup_.command = {setup_.command.front(), "one", "two words"};
    setup_.environment.push_back("GREETING=hello world");
    const Facts facts = run();
    EXPECT_EQ(facts.at("arg.1"), "one");
    EXPECT_EQ(facts.at("arg.2"), "two words");
    EXPECT_EQ(facts.at("env.GREETING"), "hello world");
    EXPECT_FALSE(facts.contains("env.HOME")) << "only what was given";
}

TEST_F(LauncherTest, TheChildLeadsItsOwnSession) {
    const Facts facts = run();
    EXPECT_EQ(facts.at("pid"), std::to_string(pid_));
    EXPECT_EQ(facts.at("session"), facts.at("pid"));
    EXPECT_EQ(facts.at("group"), facts.at("pid"));
}

TEST_F(LauncherTest, WhenItWasStartedIsWhatProcSays) {
    setup_.command = {"sleep", "1000"};
    // A tick is 10 ms: some starts lie across the end of one.
    for (int n = 0; n < 100; ++n) {
        auto launched = launch(setup_);
        ASSERT_TRUE(launched);
        const auto info = process_info(static_cast<std::uint32_t>(launched->child.pid()));
        ASSERT_TRUE(info);
        EXPECT_EQ(launched->start_ticks, info->start_ticks);
        ASSERT_TRUE(launched->child.signal(SIGKILL));
        (void)test::wait_report(*launched);
        ASSERT_TRUE(test::wait_end(launched->child));
    }
}

TEST_F(LauncherTest, TheChildHasNoBlockedAndNoIgnoredSignal) {
    sigset_t all;
    sigset_t before;
    (void)::sigfillset(&all);
    (void)::sigprocmask(SIG_SETMASK, &all, &before);
    const auto old_pipe = ::signal(SIGPIPE, SIG_IGN);
    const auto old_hup = ::signal(SIGHUP, SIG_IGN);
    const Facts facts = run();
    sigset_t after;
    (void)::sigprocmask(SIG_SETMASK, &before, &after);
    (void)::signal(SIGPIPE, old_pipe);
    (void)::signal(SIGHUP, old_hup);
    EXPECT_EQ(facts.at("blocked"), "");
    EXPECT_EQ(facts.at("not_default"), "");
    EXPECT_EQ(::sigismember(&after, SIGTERM), 1) << "the parent's own mask is as it was";
}

TEST_F(LauncherTest, ListenersStartAtThreeThenSegmentThenWakeAndNothingLeaks) {
    const TempDir dir;
    const auto open_file = [&](const char* name) {
        return UniqueFd(::open(dir.file(name, "").c_str(), O_RDWR | O_CLOEXEC));
    };
    const UniqueFd segment = open_file("segment");
    const UniqueFd first = open_file("first");
    const UniqueFd second = open_file("second");
    const UniqueFd wake = open_file("wake");
    const UniqueFd leak(::open(dir.file("leak", "").c_str(), O_RDWR));  // not close-on-exec
    setup_.listeners = {second.get(), first.get()};
    setup_.segment_fd = segment.get();
    setup_.wake_fd = wake.get();
    const Facts facts = run();
    EXPECT_EQ(facts.at("fd.0"), "/dev/null");
    EXPECT_EQ(facts.at("fd.1").substr(0, 5), "pipe:");
    EXPECT_EQ(facts.at("fd.2"), facts.at("fd.1"));
    EXPECT_EQ(facts.at("fd.3"), dir.path("second"));
    EXPECT_EQ(facts.at("fd.4"), dir.path("first"));
    EXPECT_EQ(facts.at("fd.5"), dir.path("segment"));
    EXPECT_EQ(facts.at("fd.6"), dir.path("wake"));
    EXPECT_EQ(facts.at("fd.3.cloexec"), "0");
    for (const auto& [key, value] : facts) {
        EXPECT_FALSE(key.starts_with("fd.7") || value == dir.path("leak")) << key << " " << value;
    }
}

TEST_F(LauncherTest, DescriptorsThatStandInEachOthersPlaceAreStillPlacedRight) {
    // The sources are the very numbers 3, 4, 5 of the targets, turned round, in a process that has
    // nothing else open there; the report pipe then takes a number among the targets, too.
    const TempDir dir;
    const std::string output = dir.path("output");
    const int code = test::in_child([&] {
        (void)::close_range(3, ~0U, 0);
        const int a = ::open(dir.file("a", "").c_str(), O_RDWR | O_CLOEXEC);
        const int b = ::open(dir.file("b", "").c_str(), O_RDWR | O_CLOEXEC);
        const int c = ::open(dir.file("c", "").c_str(), O_RDWR | O_CLOEXEC);
        const int out = ::open(output.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        setup_.listeners = {c, b, a, a, b, c, out};
        setup_.stdout_fd = out;
        auto launched = launch(setup_);
        if (!launched || test::wait_report(*launched)) {
            return 1;
        }
        const auto report = test::wait_end(launched->child);
        return report && report->value == 0 ? a : 2;
    });
    ASSERT_EQ(code, 3) << "the sources were to be the targets' own numbers";
    const UniqueFd text(::open(output.c_str(), O_RDONLY | O_CLOEXEC));
    const Facts facts = test::parse_facts(test::read_text(text.get()));
    const std::vector<std::string> expected{"c", "b", "a", "a", "b", "c", "output"};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(facts.at("fd." + std::to_string(i + 3)), dir.path(expected[i]));
    }
    EXPECT_FALSE(facts.contains("fd.10"));
}

TEST_F(LauncherTest, StandardErrorCanGoElsewhere) {
    auto errors = test::make_pipe();
    setup_.stderr_fd = errors.write_end.get();
    const Facts facts = run();
    EXPECT_NE(facts.at("fd.1"), facts.at("fd.2"));
    EXPECT_EQ(facts.at("fd.2").substr(0, 5), "pipe:");
}

TEST_F(LauncherTest, TheNumbersThatOnlyTheChildKnowsAreAdded) {
    setup_.environment.insert(
        setup_.environment.end(),
        {"LISTEN_FDS=1", "TOPSMAN_POOL=web", "WATCHDOG_USEC=1000000", "LISTEN_PID=1", "AFTER=all"});
    const Facts facts = run();
    const std::string pid = std::to_string(pid_);
    EXPECT_EQ(facts.at("env.LISTEN_PID"), pid);
    EXPECT_EQ(facts.at("env.TOPSMAN_PID"), pid);
    EXPECT_EQ(facts.at("env.WATCHDOG_PID"), pid);
    EXPECT_EQ(facts.at("env.AFTER"), "all");
}

TEST_F(LauncherTest, WhoIsRunForAnotherProcessHasThatOnesNumber) {
    setup_.environment.insert(setup_.environment.end(),
                              {"TOPSMAN_POOL=web", "TOPSMAN_PID=1", "LISTEN_FDS=1"});
    setup_.about = 4'711;
    const Facts facts = run();
    EXPECT_EQ(facts.at("env.TOPSMAN_PID"), "4711");
    EXPECT_EQ(facts.at("env.LISTEN_PID"), std::to_string(pid_));
}

TEST_F(LauncherTest, TheNumbersAreNotAddedToAnEnvironmentWithoutUseForThem) {
    const Facts facts = run();
    EXPECT_FALSE(facts.contains("env.LISTEN_PID"));
    EXPECT_FALSE(facts.contains("env.TOPSMAN_PID"));
    EXPECT_FALSE(facts.contains("env.WATCHDOG_PID"));
}

TEST_F(LauncherTest, SetsWorkingDirectoryUmaskAndLimits) {
    const TempDir dir;
    setup_.working_directory = dir.path();
    setup_.umask = 027;
    setup_.limits = {{RLIMIT_NOFILE, 77}, {RLIMIT_CORE, 0}};
    const Facts facts = run();
    EXPECT_EQ(facts.at("cwd"), dir.path());
    EXPECT_EQ(facts.at("umask"), "27");
    EXPECT_EQ(facts.at("nofile"), "77 77");
    EXPECT_EQ(facts.at("core"), "0");
}

TEST_F(LauncherTest, SetsNiceAndTheCpus) {
    const std::vector<std::uint32_t> usable = usable_cpus();
    ASSERT_FALSE(usable.empty());
    setup_.nice = ::getpriority(PRIO_PROCESS, 0) + 3;
    setup_.cpu_mask = cpu_mask({false, {usable.back()}}, 0);
    const Facts facts = run();
    EXPECT_EQ(facts.at("nice"), std::to_string(*setup_.nice));
    EXPECT_EQ(facts.at("cpus"), std::to_string(usable.back()) + ",");
    EXPECT_EQ(usable_cpus(), usable) << "the parent's own are as they were";
}

TEST_F(LauncherTest, WithoutWishesNiceAndCpusAreTheMasters) {
    const Facts facts = run();
    std::string all;
    for (const std::uint32_t cpu : usable_cpus()) {
        all += std::to_string(cpu) + ",";
    }
    EXPECT_EQ(facts.at("cpus"), all);
    EXPECT_EQ(facts.at("nice"), std::to_string(::getpriority(PRIO_PROCESS, 0)));
}

TEST_F(LauncherTest, HearsOfItsParentsDeathIfItIsAskedFor) {
    EXPECT_EQ(run().at("death_signal"), "0");
    setup_.death_signal = SIGINT;
    EXPECT_EQ(run().at("death_signal"), std::to_string(SIGINT));
}

TEST_F(LauncherTest, BecomesAnotherUserWithoutAnyPrivilege) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    const TempDir dir;
    // Where the user nobody may read.
    const std::string probe = dir.path("probe");
    ASSERT_EQ(::chmod(dir.path().c_str(), 0755), 0);
    ASSERT_EQ(::system(("cp " + setup_.command.front() + " " + probe).c_str()), 0);
    setup_.command = {probe};
    const auto identity = resolve_user("nobody", "");
    ASSERT_TRUE(identity);
    setup_.uid = identity->uid;
    setup_.gid = identity->gid;
    setup_.groups = {identity->gid, 4};
    setup_.death_signal = SIGINT;
    const Facts facts = run();
    EXPECT_EQ(facts.at("uid"), std::to_string(identity->uid));
    EXPECT_EQ(facts.at("euid"), std::to_string(identity->uid));
    EXPECT_EQ(facts.at("gid"), std::to_string(identity->gid));
    EXPECT_NE(facts.at("groups").find("4,"), std::string::npos);
    EXPECT_EQ(facts.at("CapEff"), "0000000000000000");
    EXPECT_EQ(facts.at("CapPrm"), "0000000000000000");
    EXPECT_EQ(facts.at("CapAmb"), "0000000000000000");
    EXPECT_EQ(facts.at("death_signal"), std::to_string(SIGINT)) << "not forgotten with the user";
}

TEST_F(LauncherTest, ItsOwnUserNeedsNoPrivilege) {
    setup_.uid = ::geteuid();
    setup_.gid = ::getegid();
    EXPECT_EQ(run().at("uid"), std::to_string(::geteuid()));
}

TEST_F(LauncherTest, ACommandWithoutASlashIsLookedUpInTheWorkersPath) {
    const TempDir dir;
    ASSERT_EQ(::symlink(setup_.command.front().c_str(), dir.path("my-worker").c_str()), 0);
    setup_.command = {"my-worker"};
    setup_.environment = {"PATH=/nonexistent:" + dir.path() + ":/bin"};
    EXPECT_EQ(run().at("arg.0"), "my-worker");
}

TEST_F(LauncherTest, ARelativeCommandStartsFromTheWorkingDirectory) {
    const TempDir dir;
    ASSERT_EQ(::symlink(setup_.command.front().c_str(), dir.path("worker").c_str()), 0);
    setup_.command = {"./worker"};
    setup_.working_directory = dir.path();
    EXPECT_EQ(run().at("cwd"), dir.path());
}

TEST_F(LauncherTest, AnEmptyCommandIsAnErrorBeforeTheFork) {
    setup_.command = {};
    EXPECT_FALSE(launch(setup_));
}

TEST_F(LauncherTest, AForkThatIsRefusedIsAnErrorAndNotAnEnd) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root: takes a user of its own";
    }
    const auto attempt = [&] {
        const rlimit one{1, 1};
        // A user that nobody else is, so the count is this process's alone.
        if (::setrlimit(RLIMIT_NPROC, &one) != 0 || ::setuid(54'321) != 0) {
            return 9;
        }
        const auto launched = launch(setup_);
        return !launched && launched.error().code.value() == EAGAIN ? 0 : 1;
    };
    EXPECT_EQ(test::in_child(attempt), 0);
}

TEST_F(LauncherTest, RunningOutOfDescriptorsIsAnErrorAndNotAnEnd) {
    const auto starts = [&] {
        auto launched = launch(setup_);
        return launched && !test::wait_report(*launched) && test::wait_end(launched->child);
    };
    const auto attempt = [&] {
        (void)::close_range(3, ~0U, 0);
        rlimit limit{};
        (void)::getrlimit(RLIMIT_NOFILE, &limit);
        // Before as well: the undefined-behaviour sanitizer needs descriptors to look at a type
        // that it has not seen yet.
        if (!starts()) {
            return 9;
        }
        const rlim_t before = std::exchange(limit.rlim_cur, 3);
        if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            return 9;
        }
        const auto launched = launch(setup_);
        limit.rlim_cur = before;
        if (launched || launched.error().code.value() != EMFILE ||
            ::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            return 1;
        }
        return starts() ? 0 : 2;
    };
    EXPECT_EQ(test::in_child(attempt), 0);
}

}  // namespace
}  // namespace topsman::posix
