#include "supervisor/posix/signals.hpp"

#include "tests/unit/posix/support.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

TEST(SignalNameTest, GoesBothWays) {
    EXPECT_EQ(signal_name(6), "SIGABRT");
    EXPECT_EQ(signal_name(SIGUSR1), "SIGUSR1");
    EXPECT_EQ(signal_name(SIGRTMIN), "SIGRTMIN");
    EXPECT_EQ(signal_name(SIGRTMIN + 3), "SIGRTMIN+3");
    EXPECT_EQ(signal_name(999), "signal 999");
    for (int number = 1; number <= SIGRTMAX; ++number) {
        if (number < 32 || number >= SIGRTMIN) {
            EXPECT_EQ(signal_number(signal_name(number)), number) << signal_name(number);
        }
    }
    EXPECT_EQ(signal_number("TERM"), SIGTERM);
    EXPECT_EQ(signal_number("sigquit"), SIGQUIT);
    EXPECT_EQ(signal_number("15"), 15);
    EXPECT_EQ(signal_number("RTMAX-1"), SIGRTMAX - 1);
}

TEST(SignalNameTest, RefusesWhatIsNone) {
    for (const char* name : {"", "SIG", "SIGFOO", "0", "-1", "99", "RT", "RTMIN+99", "RTMIN-1",
                             "RTMAX+1", "15x", "SIGTERM "}) {
        EXPECT_FALSE(signal_number(name)) << name;
    }
}

TEST(SignalFdTest, SignalsBecomeData) {
    EXPECT_EQ(test::in_child([] {
                  const auto fd = open_signal_fd();
                  if (!fd || read_signal(*fd)) {
                      return 1;
                  }
                  (void)::kill(::getpid(), SIGHUP);
                  const auto signal = read_signal(*fd);
                  if (!signal || signal->number != SIGHUP || !signal->from_process ||
                      signal->sender != ::getpid()) {
                      return 2;
                  }
                  return read_signal(*fd) ? 3 : 0;
              }),
              0);
}

TEST(SignalFdTest, AChildsEndComesFromTheKernel) {
    EXPECT_EQ(test::in_child([] {
                  (void)::signal(SIGCHLD, SIG_IGN);  // as some parents leave it
                  const auto fd = open_signal_fd();
                  const pid_t child = ::fork();
                  if (child == 0) {
                      ::_exit(4);
                  }
                  if (!test::wait_readable(fd->get())) {
                      return 1;
                  }
                  const auto signal = read_signal(*fd);
                  if (!signal || signal->number != SIGCHLD || signal->from_process) {
                      return 2;
                  }
                  return test::wait_child(child) == 4 ? 0 : 3;
              }),
              0);
}

TEST(SignalFdTest, ABrokenPipeIsAnErrorAndNotAnEnd) {
    EXPECT_EQ(test::in_child([] {
                  const auto fd = open_signal_fd();
                  auto pipe = test::make_pipe();
                  pipe.read_end.reset();
                  return ::write(pipe.write_end.get(), "x", 1) < 0 && errno == EPIPE ? 0 : 1;
              }),
              0);
}

}  // namespace
}  // namespace topsman::posix
