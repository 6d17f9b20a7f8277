#include "supervisor/posix/launcher.hpp"

#include "shm/lane.hpp"
#include "supervisor/posix/cpu_mask.hpp"
#include "tests/unit/posix/support.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

using test::built_program;
using test::Facts;
using test::TempDir;

/// Runs the probe as a worker and gives what it found.
class LauncherTest : public testing::Test {
  protected:
    LauncherTest() {
        setup_.command = {built_program("posix_child_probe")};
        setup_.environment = {"PATH=/usr/bin:/bin"};
    }

    Facts run() {
        auto pipe = test::make_pipe();
        setup_.stdout_fd = pipe.write_end.get();
        auto launched = launch(setup_);
        pipe.write_end.reset();
        EXPECT_TRUE(launched) << launched.error().message;
        if (const auto failure = test::wait_report(*launched, setup_)) {
            ADD_FAILURE() << failure->sentence;
        }
        pid_ = launched->child.pid();
        Facts facts = test::parse_facts(test::read_text(pipe.read_end.get()));
        EXPECT_TRUE(facts.contains("end"));
        const auto report = test::wait_end(launched->child);
        EXPECT_TRUE(report && report->kind == core::ExitReport::Kind::Exited && report->value == 0);
        return facts;
    }

    /// Launches what cannot run; gives the failure and checks that nothing is left.
    SpawnFailure fail(int expected_code = 127) {
        auto launched = launch(setup_);
        EXPECT_TRUE(launched) << launched.error().message;
        const auto failure = test::wait_report(*launched, setup_);
        const auto report = test::wait_end(launched->child);
        EXPECT_TRUE(report && report->kind == core::ExitReport::Kind::Exited);
        EXPECT_EQ(report ? report->value : -1, expected_code);
        EXPECT_TRUE(failure) << "it should not have run";
        return failure.value_or(SpawnFailure{});
    }

    ChildSetup setup_;
    pid_t pid_ = 0;
};

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
        if (!launched || test::wait_report(*launched, setup_)) {
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

TEST_F(LauncherTest, CpusThatAreNotThereAreNamed) {
    setup_.cpu_mask = cpu_mask({false, {8'191}}, 0);
    const auto failure = fail();
    EXPECT_EQ(failure.stage, SpawnStage::CpuAffinity);
    EXPECT_EQ(failure.sentence,
              "cpu_affinity: Invalid argument (none of its CPUs may be used here)");
}

TEST_F(LauncherTest, WithoutPrivilegeAHigherPriorityIsRefused) {
    const auto attempt = [&] {
        if (::geteuid() == 0 && ::setuid(65'534) != 0) {
            return 9;
        }
        setup_.command = {"/bin/true"};
        setup_.nice = -7;
        auto launched = launch(setup_);
        const auto failure = test::wait_report(*launched, setup_);
        (void)test::wait_end(launched->child);
        return failure && failure->stage == SpawnStage::Nice &&
                       failure->sentence ==
                           "nice -7: Permission denied (needs to be started as root, or "
                           "CAP_SYS_NICE)"
                   ? 0
                   : 1;
    };
    EXPECT_EQ(test::in_child(attempt), 0);
}

TEST(CpuMask, AutoDealsTheUsableCpusOutBySlot) {
    const std::vector<std::uint32_t> usable = usable_cpus();
    const config::CpuAffinity automatic{true, {}};
    for (std::uint32_t slot = 0; slot < 2 * usable.size(); ++slot) {
        const std::uint32_t expected = usable[slot % usable.size()];
        EXPECT_EQ(cpu_mask(automatic, slot), cpu_mask({false, {expected}}, 0)) << slot;
    }
    EXPECT_TRUE(cpu_mask({}, 3).empty()) << "nothing was asked for";
}

TEST(CpuMask, HasABitForEachCpu) {
    EXPECT_EQ(cpu_mask({false, {0, 2}}, 7), std::vector<unsigned long>{5});
    EXPECT_EQ(cpu_mask({false, {1, 64}}, 0), (std::vector<unsigned long>{2, 1}));
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
    const Facts facts = run();
    EXPECT_EQ(facts.at("uid"), std::to_string(identity->uid));
    EXPECT_EQ(facts.at("euid"), std::to_string(identity->uid));
    EXPECT_EQ(facts.at("gid"), std::to_string(identity->gid));
    EXPECT_NE(facts.at("groups").find("4,"), std::string::npos);
    EXPECT_EQ(facts.at("CapEff"), "0000000000000000");
    EXPECT_EQ(facts.at("CapPrm"), "0000000000000000");
    EXPECT_EQ(facts.at("CapAmb"), "0000000000000000");
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

TEST_F(LauncherTest, AMissingCommandIsNamed) {
    setup_.command = {"/no/such/program"};
    const auto failure = fail();
    EXPECT_EQ(failure.stage, SpawnStage::Exec);
    EXPECT_EQ(failure.number, ENOENT);
    EXPECT_EQ(failure.sentence, "exec /no/such/program: No such file or directory");
}

TEST_F(LauncherTest, ACommandThatIsNowhereInPathSaysWhereItWasLookedFor) {
    setup_.command = {"no-such-program"};
    setup_.environment = {"PATH=/usr/bin:/bin"};
    EXPECT_EQ(fail().sentence, "exec no-such-program: not found in PATH (/usr/bin:/bin)");
}

TEST_F(LauncherTest, AFileThatIsNotExecutableIsNamed) {
    const TempDir dir;
    setup_.command = {dir.file("data", "text")};
    const auto failure = fail();
    EXPECT_EQ(failure.number, EACCES);
    EXPECT_EQ(failure.sentence, "exec " + dir.path("data") + ": Permission denied");
}

TEST_F(LauncherTest, APathEntryThatRefusesWinsOverOnesThatHaveNothing) {
    const TempDir dir;
    (void)dir.file("tool", "text");
    setup_.command = {"tool"};
    setup_.environment = {"PATH=" + dir.path() + ":/nonexistent"};
    EXPECT_EQ(fail().number, EACCES);
}

TEST_F(LauncherTest, AFileThatIsNoProgramIsAnError) {
    const TempDir dir;
    setup_.command = {dir.file("words", "echo this is no script\n", 0755)};
    EXPECT_EQ(fail().sentence, "exec " + dir.path("words") +
                                   ": Exec format error (no program and no script that starts "
                                   "with #!)");
}

TEST_F(LauncherTest, AScriptWithoutItsInterpreterSaysSo) {
    const TempDir dir;
    setup_.command = {dir.file("script", "#!/no/such/interpreter\n", 0755)};
    EXPECT_NE(fail().sentence.find("its interpreter is not"), std::string::npos);
}

TEST_F(LauncherTest, AMissingWorkingDirectoryIsNamed) {
    setup_.working_directory = "/srv/no/such/folder";
    const auto failure = fail();
    EXPECT_EQ(failure.stage, SpawnStage::WorkingDirectory);
    EXPECT_EQ(failure.sentence, "chdir /srv/no/such/folder: No such file or directory");
}

TEST_F(LauncherTest, ALimitThatIsRefusedIsNamed) {
    // No process may have more descriptors than fs.nr_open, which is far below this.
    setup_.limits = {{RLIMIT_CORE, 0}, {RLIMIT_NOFILE, std::int64_t{1} << 40}};
    const auto failure = fail();
    EXPECT_EQ(failure.stage, SpawnStage::Limits);
    EXPECT_EQ(failure.sentence, "limits: nofile: Operation not permitted");
}

TEST_F(LauncherTest, AClosedDescriptorIsRefusedAtItsStage) {
    setup_.listeners = {9'999};
    const auto failure = fail();
    EXPECT_EQ(failure.stage, SpawnStage::Descriptors);
    EXPECT_EQ(failure.number, EBADF);
}

TEST_F(LauncherTest, WithoutPrivilegeAnotherUserIsRefused) {
    const auto attempt = [&] {
        if (::geteuid() == 0 &&
            ::setgroups(0, nullptr) + ::setgid(65'534) + ::setuid(65'534) != 0) {
            return 9;
        }
        setup_.command = {"/bin/true"};
        setup_.uid = 1;
        setup_.gid = 1;
        auto launched = launch(setup_);
        const auto failure = test::wait_report(*launched, setup_);
        (void)test::wait_end(launched->child);
        if (!failure || failure->stage != SpawnStage::Groups || failure->number != EPERM) {
            return 1;
        }
        return failure->sentence.find("needs to be started as root") == std::string::npos ? 2 : 0;
    };
    EXPECT_EQ(test::in_child(attempt), 0);
}

TEST_F(LauncherTest, TheChildClaimsItsLaneFirst) {
    const shm::LaneWord starting{shm::LanePhase::Starting, 7, 3};
    const shm::LaneWord started{shm::LanePhase::Started, 7, 0};
    // Shared, as the segment is.
    const TempDir dir;
    auto* word = static_cast<std::atomic<std::uint64_t>*>(
        ::mmap(nullptr, 4'096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(word, MAP_FAILED);
    word->store(starting.pack());
    setup_.lane_word = word;
    setup_.lane_expected = starting.pack();
    setup_.lane_started = started.pack();
    (void)run();
    const auto seen = shm::LaneWord::unpack(word->load());
    EXPECT_EQ(seen.phase, shm::LanePhase::Started);
    EXPECT_EQ(seen.generation, 7U);
    EXPECT_EQ(seen.value, static_cast<std::uint32_t>(pid_));
}

TEST_F(LauncherTest, AChildWhoseLaneWasTakenBackDoesNotRun) {
    std::atomic<std::uint64_t> word{shm::LaneWord{shm::LanePhase::Free, 8, 0}.pack()};
    setup_.lane_word = &word;
    setup_.lane_expected = shm::LaneWord{shm::LanePhase::Starting, 7, 3}.pack();
    setup_.lane_started = shm::LaneWord{shm::LanePhase::Started, 7, 0}.pack();
    const auto failure = fail(125);
    EXPECT_EQ(failure.stage, SpawnStage::Lane);
    EXPECT_EQ(failure.sentence, "the lane was taken back by another master");
}

TEST_F(LauncherTest, AnEmptyCommandIsAnErrorBeforeTheFork) {
    setup_.command = {};
    EXPECT_FALSE(launch(setup_));
}

TEST_F(LauncherTest, RunsWhereTheSandboxRefusesClone3) {
    const auto attempt = [&] {
        sock_filter refuse_clone3[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const sock_fprog program{4, refuse_clone3};
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
            return 9;
        }
        auto launched = launch(setup_);
        if (!launched || test::wait_report(*launched, setup_)) {
            return 1;
        }
        const auto report = test::wait_end(launched->child);
        return report && report->value == 0 ? 0 : 2;
    };
    setup_.stdout_fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    EXPECT_EQ(test::in_child(attempt), 0);
    (void)::close(setup_.stdout_fd);
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
    const auto attempt = [&] {
        const rlimit none{3, 3};
        (void)::close_range(3, ~0U, 0);
        if (::setrlimit(RLIMIT_NOFILE, &none) != 0) {
            return 9;
        }
        const auto launched = launch(setup_);
        return !launched && launched.error().code.value() == EMFILE ? 0 : 1;
    };
    EXPECT_EQ(test::in_child(attempt), 0);
}

}  // namespace
}  // namespace topsman::posix
