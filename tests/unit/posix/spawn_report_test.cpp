// A child that could not run: which step failed, in a sentence.

#include "shm/lane.hpp"
#include "supervisor/posix/cpu_mask.hpp"
#include "supervisor/posix/launcher.hpp"
#include "tests/unit/posix/launch_fixture.hpp"

#include <gtest/gtest.h>

#include <grp.h>
#include <sys/resource.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

using test::TempDir;

class SpawnReportTest : public test::LaunchFixture {};

TEST_F(SpawnReportTest, AMissingCommandIsNamed) {
    setup_.command = {"/no/such/program"};
    const auto failure = fail();
    EXPECT_EQ(failure.stage, SpawnStage::Exec);
    EXPECT_EQ(failure.number, ENOENT);
    EXPECT_EQ(failure.sentence, "exec /no/such/program: No such file or directory");
}

TEST_F(SpawnReportTest, ACommandThatIsNowhereInPathSaysWhereItWasLookedFor) {
    setup_.command = {"no-such-program"};
    setup_.environment = {"PATH=/usr/bin:/bin"};
    EXPECT_EQ(fail().sentence, "exec no-such-program: not found in PATH (/usr/bin:/bin)");
}

TEST_F(SpawnReportTest, AFileThatIsNotExecutableIsNamed) {
    const TempDir dir;
    setup_.command = {dir.file("data", "text")};
    const auto failure = fail();
    EXPECT_EQ(failure.number, EACCES);
    EXPECT_EQ(failure.sentence, "exec " + dir.path("data") + ": Permission denied");
}

TEST_F(SpawnReportTest, APathEntryThatRefusesWinsOverOnesThatHaveNothing) {
    const TempDir dir;
    (void)dir.file("tool", "text");
    setup_.command = {"tool"};
    setup_.environment = {"PATH=" + dir.path() + ":/nonexistent"};
    EXPECT_EQ(fail().number, EACCES);
}

TEST_F(SpawnReportTest, AFileThatIsNoProgramIsAnError) {
    const TempDir dir;
    setup_.command = {dir.file("words", "echo this is no script\n", 0755)};
    EXPECT_EQ(fail().sentence, "exec " + dir.path("words") +
                                   ": Exec format error (no program and no script that starts "
                                   "with #!)");
}

TEST_F(SpawnReportTest, AScriptWithoutItsInterpreterSaysSo) {
    const TempDir dir;
    setup_.command = {dir.file("script", "#!/no/such/interpreter\n", 0755)};
    EXPECT_NE(fail().sentence.find("its interpreter is not"), std::string::npos);
}

TEST_F(SpawnReportTest, AMissingWorkingDirectoryIsNamed) {
    setup_.working_directory = "/srv/no/such/folder";
    const auto failure = fail();
    EXPECT_EQ(failure.stage, SpawnStage::WorkingDirectory);
    EXPECT_EQ(failure.sentence, "chdir /srv/no/such/folder: No such file or directory");
}

TEST_F(SpawnReportTest, ALimitThatIsRefusedIsNamed) {
    // No process may have more descriptors than fs.nr_open, which is far below this.
    setup_.limits = {{RLIMIT_CORE, 0}, {RLIMIT_NOFILE, std::int64_t{1} << 40}};
    const auto failure = fail();
    EXPECT_EQ(failure.stage, SpawnStage::Limits);
    EXPECT_EQ(failure.sentence, "limits: nofile: Operation not permitted");
}

TEST_F(SpawnReportTest, CpusThatAreNotThereAreNamed) {
    setup_.cpu_mask = cpu_mask({false, {8'191}}, 0);
    const auto failure = fail();
    EXPECT_EQ(failure.stage, SpawnStage::CpuAffinity);
    EXPECT_EQ(failure.sentence,
              "cpu_affinity: Invalid argument (none of its CPUs may be used here)");
}

TEST_F(SpawnReportTest, WithoutPrivilegeAHigherPriorityIsRefused) {
    const auto attempt = [&] {
        // Whoever runs the tests may have given them a high priority: that may be kept.
        if (::setpriority(PRIO_PROCESS, 0, 0) != 0 || (::geteuid() == 0 && ::setuid(65'534) != 0)) {
            return 9;
        }
        setup_.command = {"/bin/true"};
        setup_.nice = -7;
        auto launched = launch(setup_);
        const auto failure = test::wait_report(*launched);
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

TEST_F(SpawnReportTest, AClosedDescriptorIsRefusedAtItsStage) {
    setup_.listeners = {9'999};
    const auto failure = fail();
    EXPECT_EQ(failure.stage, SpawnStage::Descriptors);
    EXPECT_EQ(failure.number, EBADF);
}

TEST_F(SpawnReportTest, WithoutPrivilegeAnotherUserIsRefused) {
    const auto attempt = [&] {
        if (::geteuid() == 0 &&
            ::setgroups(0, nullptr) + ::setgid(65'534) + ::setuid(65'534) != 0) {
            return 9;
        }
        setup_.command = {"/bin/true"};
        setup_.uid = 1;
        setup_.gid = 1;
        auto launched = launch(setup_);
        const auto failure = test::wait_report(*launched);
        (void)test::wait_end(launched->child);
        if (!failure || failure->stage != SpawnStage::Groups || failure->number != EPERM) {
            return 1;
        }
        return failure->sentence.find("needs to be started as root") == std::string::npos ? 2 : 0;
    };
    EXPECT_EQ(test::in_child(attempt), 0);
}

TEST_F(SpawnReportTest, AChildWhoseLaneWasTakenBackDoesNotRun) {
    std::atomic<std::uint64_t> word{shm::LaneWord{shm::LanePhase::Free, 8, 0}.pack()};
    setup_.lane_word = &word;
    setup_.lane_expected = shm::LaneWord{shm::LanePhase::Starting, 7, 3}.pack();
    setup_.lane_started = shm::LaneWord{shm::LanePhase::Started, 7, 0}.pack();
    const auto failure = fail(125);
    EXPECT_EQ(failure.stage, SpawnStage::Lane);
    EXPECT_EQ(failure.sentence, "the lane was taken back by another master");
}

}  // namespace
}  // namespace topsman::posix
