// The memory that a child shares with its parent until its exec.

#include "supervisor/posix/launcher.hpp"
#include "tests/unit/posix/launch_fixture.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <fcntl.h>
#include <fstream>
#include <linux/filter.h>
#include <linux/kcmp.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

class PreparedChildTest : public test::LaunchFixture {};

/// For this process and its children, for good.
template <std::size_t kSize>
int install(sock_filter (&filter)[kSize], unsigned flags) {
    const sock_fprog program{kSize, filter};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -1;
    }
    return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

/// From now on each execve of this process and its children stands still until it is let go, as one
/// from a disk that hangs. For use in a process of its own.
class HeldExec {
  public:
    HeldExec() {
        sock_filter hold_execve[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        listener_.reset(install(hold_execve, SECCOMP_FILTER_FLAG_NEW_LISTENER));
    }

    /// Waits until a child stands there.
    bool wait() {
        return listener_ && test::wait_readable(listener_.get()) &&
               ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &call_) == 0;
    }

    [[nodiscard]] bool let_go() const {
        seccomp_notif_resp answer{};
        answer.id = call_.id;
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        return ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0;
    }

  private:
    UniqueFd listener_;
    seccomp_notif call_{};
};

/// A child that is held does not outlive its test, whatever that finds.
class Ended {
  public:
    explicit Ended(Child& child) : child_(child) {}

    ~Ended() { (void)child_.signal(SIGKILL); }

    Ended(const Ended&) = delete;
    Ended& operator=(const Ended&) = delete;

  private:
    Child& child_;
};

bool shares_our_memory(const Child& child) {
    return ::syscall(SYS_kcmp, ::getpid(), child.pid(), KCMP_VM, 0, 0) == 0;
}

TEST_F(PreparedChildTest, TheMasterGoesOnWhileAnExecHangs) {
    const auto attempt = [&] {
        HeldExec held;
        auto launched = launch(setup_);
        const Ended end(launched->child);
        if (!held.wait() || !shares_our_memory(launched->child)) {
            return 1;
        }
        const bool said_something =
            test::wait_readable(launched->report.fd(), std::chrono::milliseconds(0));
        if (said_something || launched->child.peek()) {
            return 2;
        }
        if (!launched->child.signal(SIGKILL) || test::wait_report(*launched)) {
            return 3;
        }
        const auto report = test::wait_end(launched->child);
        return report && report->value == SIGKILL ? 0 : 4;
    };
    EXPECT_EQ(test::in_child(attempt), 0);
}

TEST_F(PreparedChildTest, IsLeftToAChildThatIsStillOnItWhateverBecomesOfTheReport) {
    setup_.command.push_back("an argument");
    setup_.environment.push_back("GREETING=hello world");
    auto pipe = test::make_pipe();
    setup_.stdout_fd = pipe.write_end.get();
    const auto attempt = [&] {
        HeldExec held;
        std::optional launched(launch(setup_));
        Child child = std::move((*launched)->child);
        const Ended end(child);
        if (!held.wait()) {
            return 1;
        }
        launched.reset();
        // Whatever was freed is written over.
        const std::vector<std::string> others(1'000, std::string(300, 'x'));
        const std::vector<std::vector<char>> small(1'000, std::vector<char>(40, 'x'));
        if (!held.let_go()) {
            return 2;
        }
        const auto report = test::wait_end(child);
        return report && report->value == 0 ? 0 : 3;
    };
    EXPECT_EQ(test::in_child(attempt), 0);
    pipe.write_end.reset();
    const auto facts = test::parse_facts(test::read_text(pipe.read_end.get()));
    ASSERT_TRUE(facts.contains("end"));
    EXPECT_EQ(facts.at("arg.1"), "an argument");
    EXPECT_EQ(facts.at("env.GREETING"), "hello world");
}

std::size_t mappings() {
    std::ifstream maps("/proc/self/maps");
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);) {
        count += line.find("[heap]") == std::string::npos ? 1U : 0U;
    }
    return count;
}

TEST_F(PreparedChildTest, IsGivenBackOnceTheChildHasLeftIt) {
    const auto attempt = [&] {
        std::size_t before = 0;
        for (int round = 0; round < 100; ++round) {
            if (round == 4) {
                before = mappings();
            }
            const bool fails = round % 2 == 1;
            setup_.command = {fails ? "/no/such/program" : "/bin/true"};
            auto launched = launch(setup_);
            const bool failed = test::wait_report(*launched).has_value();
            if (failed != fails || !test::wait_end(launched->child)) {
                return 1;
            }
        }
        // A stack is two mappings; the allocator, a sanitizer's above all, may have made some more.
        return mappings() < before + 40 ? 0 : 2;
    };
    EXPECT_EQ(test::in_child(attempt), 0);
}

TEST_F(PreparedChildTest, AChildThatFailsDoesNotWriteTheParentsErrno) {
    setup_.command = {"no-such-program"};
    setup_.environment = {"PATH=/nowhere:/nowhere/else"};
    for (int round = 0; round < 20; ++round) {
        errno = 0;
        auto launched = launch(setup_);
        ASSERT_TRUE(launched);
        // Until it is a zombie; none of this fails.
        ASSERT_TRUE(test::wait_readable(launched->child.pidfd()));
        ASSERT_EQ(errno, 0);
        EXPECT_TRUE(test::wait_report(*launched));
        EXPECT_TRUE(test::wait_end(launched->child));
    }
}

TEST_F(PreparedChildTest, AnotherUserGetsACopyAndTheMasterStaysAsItIs) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    setup_.uid = 65'534;
    setup_.gid = 65'534;
    const auto attempt = [&] {
        HeldExec held;
        auto launched = launch(setup_);
        const Ended end(launched->child);
        if (!held.wait() || shares_our_memory(launched->child)) {
            return 1;
        }
        (void)launched->child.signal(SIGKILL);
        (void)test::wait_end(launched->child);
        return ::prctl(PR_GET_DUMPABLE) == 1 ? 0 : 2;
    };
    EXPECT_EQ(test::in_child(attempt), 0);
}

TEST_F(PreparedChildTest, IsACopyWhereTheSandboxRefusesToShare) {
    setup_.stdout_fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    const auto attempt = [&] {
        sock_filter refuse_sharing[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
            BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_VM, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        if (install(refuse_sharing, 0) != 0) {
            return 9;
        }
        auto launched = launch(setup_);
        if (!launched || test::wait_report(*launched)) {
            return 1;
        }
        const auto report = test::wait_end(launched->child);
        return report && report->value == 0 ? 0 : 2;
    };
    EXPECT_EQ(test::in_child(attempt), 0);
    (void)::close(setup_.stdout_fd);
}

}  // namespace
}  // namespace topsman::posix
