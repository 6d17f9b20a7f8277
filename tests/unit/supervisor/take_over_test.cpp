#include "supervisor/take_over.hpp"

#include "supervisor/posix/process_info.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::supervisor {
namespace {

/// A program that runs until it is killed, as a worker of the cluster "shop".
class TakeOverTest : public testing::Test {
  protected:
    TakeOverTest() {
        int ready[2];
        EXPECT_EQ(::pipe2(ready, O_CLOEXEC), 0);
        pid_ = ::fork();
        if (pid_ == 0) {
            ::setenv("TOPSMAN_CLUSTER", "shop", 1);
            ::setenv("TOPSMAN_PID", std::to_string(::getpid()).c_str(), 1);
            ::execlp("sleep", "sleep", "1000", nullptr);
            ::_exit(127);
        }
        ::close(ready[1]);
        char byte = 0;
        EXPECT_EQ(::read(ready[0], &byte, 1), 0) << "closed by the exec";
        ::close(ready[0]);
    }

    ~TakeOverTest() override { end(); }

    void end() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
            pid_ = 0;
        }
    }

    pid_t pid_ = 0;
};

TEST_F(TakeOverTest, AWorkerIsKnownByItsStartTime) {
    const auto pid = static_cast<std::uint32_t>(pid_);
    const std::uint64_t ticks = posix::process_info(pid)->start_ticks;
    EXPECT_TRUE(is_living_worker(pid, ticks, "shop"));
    EXPECT_FALSE(is_living_worker(pid, ticks + 1, "shop"));
    end();
    EXPECT_FALSE(is_living_worker(pid, ticks, "shop"));
}

TEST_F(TakeOverTest, WithoutAStartTimeOnlyItsOwnEnvironmentTells) {
    const auto pid = static_cast<std::uint32_t>(pid_);
    EXPECT_TRUE(is_living_worker(pid, 0, "shop"));
    EXPECT_FALSE(is_living_worker(pid, 0, "another"));
    EXPECT_FALSE(is_living_worker(static_cast<std::uint32_t>(::getpid()), 0, "shop"));
    end();
    EXPECT_FALSE(is_living_worker(pid, 0, "shop"));
}

}  // namespace
}  // namespace topsman::supervisor
