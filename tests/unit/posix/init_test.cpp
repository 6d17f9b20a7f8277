#include "supervisor/posix/init.hpp"

#include "tests/unit/posix/support.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <functional>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

/// What a master does: its return value is its exit code.
using Master = std::function<int(bool again)>;

/// Runs PID 1 of a new pid namespace with this master; gives the exit code of that PID 1, 90 where
/// the machine forbids namespaces.
class InitTest : public testing::Test {
  protected:
    static constexpr int kForbidden = 90;

    int run(const Master& master) {
        return test::in_child([&] {
            const int flags = ::geteuid() == 0 ? CLONE_NEWPID : CLONE_NEWUSER | CLONE_NEWPID;
            if (::unshare(flags) != 0) {
                return kForbidden;
            }
            const pid_t init = ::fork();
            if (init == 0) {
                ::_exit(be_init(master));
            }
            on_init_started(init);
            return test::wait_child(init);
        });
    }

    static int be_init(const Master& master) {
        // The masters are forked from here: they leave without the test program's own end.
        const int status = run_as_init([&](bool again) -> int { ::_exit(master(again)); });
        // Whatever was left to PID 1 has been reaped.
        siginfo_t info{};
        const bool zombies =
            ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
        return zombies ? 92 : status;
    }

    /// In the parent of PID 1.
    std::function<void(pid_t)> on_init_started = [](pid_t) {};
};

#define SKIP_WHERE_FORBIDDEN(code)                            \
    if ((code) == kForbidden) {                               \
        GTEST_SKIP() << "needs the right to a pid namespace"; \
    }

TEST_F(InitTest, EndsWithTheMastersExitStatus) {
    const int code = run([](bool) { return ::getpid() != 1 ? 7 : 8; });
    SKIP_WHERE_FORBIDDEN(code);
    EXPECT_EQ(code, 7);
}

TEST_F(InitTest, StartsAKilledMasterAgain) {
    auto starts = test::make_pipe();
    const int code = run([&](bool again) {
        (void)!::write(starts.write_end.get(), again ? "a" : "f", 1);
        if (!again) {
            (void)::raise(SIGKILL);
        }
        return 12;
    });
    SKIP_WHERE_FORBIDDEN(code);
    EXPECT_EQ(code, 12);
    starts.write_end.reset();
    EXPECT_EQ(test::read_text(starts.read_end.get()), "fa");
}

TEST_F(InitTest, TheMasterLeadsItsOwnSession) {
    const int code = run([](bool) { return ::getsid(0) == ::getpid() ? 0 : 1; });
    SKIP_WHERE_FORBIDDEN(code);
    EXPECT_EQ(code, 0);
}

TEST_F(InitTest, AskedToStopWhileThereIsNoMasterItStartsOneToEndTheWorkers) {
    auto ready = test::make_pipe();
    on_init_started = [&](pid_t init) {
        (void)test::read_text(ready.read_end.get(), "r");
        (void)::kill(init, SIGTERM);
    };
    const int code = run([&](bool again) {
        if (!again) {
            (void)!::write(ready.write_end.get(), "r", 1);
            (void)::raise(SIGKILL);
        }
        sigset_t wanted;
        (void)::sigemptyset(&wanted);
        (void)::sigaddset(&wanted, SIGTERM);
        int number = 0;
        return ::sigwait(&wanted, &number) == 0 && number == SIGTERM ? 5 : 6;
    });
    SKIP_WHERE_FORBIDDEN(code);
    EXPECT_TRUE(code == 5 || code == 128 + SIGKILL)
        << "the signal may have come before the first was dead: " << code;
}

TEST_F(InitTest, ForwardsSignalsToTheMaster) {
    auto ready = test::make_pipe();
    on_init_started = [&](pid_t init) {
        (void)test::read_text(ready.read_end.get(), "r");
        (void)::kill(init, SIGHUP);
        (void)test::read_text(ready.read_end.get(), "h");
        (void)::kill(init, SIGTERM);
    };
    const int code = run([&](bool) {
        // Inherited blocked, so nothing is lost before somebody listens.
        sigset_t wanted;
        (void)::sigemptyset(&wanted);
        (void)::sigaddset(&wanted, SIGHUP);
        (void)::sigaddset(&wanted, SIGTERM);
        (void)!::write(ready.write_end.get(), "r", 1);
        int number = 0;
        if (::sigwait(&wanted, &number) != 0 || number != SIGHUP) {
            return 1;
        }
        (void)!::write(ready.write_end.get(), "h", 1);
        return ::sigwait(&wanted, &number) == 0 && number == SIGTERM ? 0 : 2;
    });
    SKIP_WHERE_FORBIDDEN(code);
    EXPECT_EQ(code, 0);
}

TEST_F(InitTest, AMasterThatDiesWhileStoppingIsNotStartedAgain) {
    auto ready = test::make_pipe();
    on_init_started = [&](pid_t init) {
        (void)test::read_text(ready.read_end.get(), "r");
        (void)::kill(init, SIGTERM);
    };
    const int code = run([&](bool again) {
        if (again) {
            return 99;
        }
        sigset_t none;
        (void)::sigemptyset(&none);
        (void)!::write(ready.write_end.get(), "r", 1);
        (void)::sigsuspend(&none);
        return 98;
    });
    SKIP_WHERE_FORBIDDEN(code);
    EXPECT_EQ(code, 128 + SIGTERM);
}

TEST_F(InitTest, ReapsWhatIsLeftToIt) {
    const int code = run([](bool) {
        for (int i = 0; i < 3; ++i) {
            if (test::in_child([] {
                    const pid_t orphan = ::fork();
                    if (orphan == 0) {
                        ::_exit(0);
                    }
                    // Ended before its parent does: it is a zombie that PID 1 inherits.
                    siginfo_t info{};
                    return ::waitid(P_PID, static_cast<id_t>(orphan), &info, WEXITED | WNOWAIT);
                }) != 0) {
                return 1;
            }
        }
        return 0;
    });
    SKIP_WHERE_FORBIDDEN(code);
    EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace topsman::posix
