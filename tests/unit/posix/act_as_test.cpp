#include "supervisor/posix/act_as.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

constexpr std::uint32_t kNobody = 65'534;

std::uint32_t permitted() {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
    EXPECT_EQ(::syscall(SYS_capget, &header, sets), 0);
    return sets[0].permitted;
}

/// What `probe` returns in a process of its own that acts as nobody; -1: it cannot.
int as_nobody(int (*probe)()) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::_exit(act_as(kNobody) ? probe() : 255);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) != 255 ? WEXITSTATUS(status) : -1;
}

class ActAsTest : public testing::Test {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) {
            GTEST_SKIP() << "only root can become somebody else";
        }
    }
};

TEST_F(ActAsTest, RootIsThatUserForGood) {
    EXPECT_EQ(as_nobody([] {
                  uid_t real = 0;
                  uid_t effective = 0;
                  uid_t saved = 0;
                  ::getresuid(&real, &effective, &saved);
                  return real == kNobody && effective == kNobody && saved == kNobody &&
                                 ::getegid() != 0 && ::setuid(0) != 0
                             ? 0
                             : 1;
              }),
              0);
}

TEST_F(ActAsTest, ItMayDoNoMoreThanThat) {
    EXPECT_EQ(as_nobody([] { return ::open("/etc/shadow", O_RDONLY) < 0 ? errno : 0; }), EACCES);
    EXPECT_EQ(as_nobody([] { return ::kill(1, 0) != 0 ? errno : 0; }), EPERM);
}

TEST_F(ActAsTest, OnlyTheRightToLowPortsIsKept) {
    constexpr std::uint32_t kLowPorts = 1U << static_cast<unsigned>(CAP_NET_BIND_SERVICE);
    const bool had = (permitted() & kLowPorts) != 0;
    EXPECT_EQ(as_nobody([] {
                  const std::uint32_t kept = permitted();
                  return kept == 0 ? 1 : kept == kLowPorts ? 2 : 3;
              }),
              had ? 2 : 1);
}

TEST_F(ActAsTest, RootForRootIsLeftAlone) {
    EXPECT_TRUE(act_as(0));
    EXPECT_EQ(::geteuid(), 0U);
}

TEST_F(ActAsTest, AUserWhoIsNotKnownIsAnError) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        const auto acts = act_as(4'000'000'000U);
        ::_exit(!acts && acts.error().message.find("not known") != std::string::npos ? 0 : 1);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace topsman::posix
