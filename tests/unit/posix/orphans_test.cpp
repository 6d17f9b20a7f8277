#include "supervisor/posix/orphans.hpp"

#include "supervisor/posix/process_info.hpp"
#include "tests/unit/posix/support.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <set>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

pid_t ended_child(int code = 0) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::_exit(code);
    }
    siginfo_t info{};
    (void)::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
    return pid;
}

/// A grandchild that its parent has left to us, ended.
pid_t ended_orphan() {
    auto pipe = test::make_pipe();
    const pid_t parent = ::fork();
    if (parent == 0) {
        const pid_t orphan = ::fork();
        if (orphan == 0) {
            pipe.write_end.reset();
            (void)::pause();
            ::_exit(0);
        }
        (void)!::write(pipe.write_end.get(), &orphan, sizeof orphan);
        ::_exit(0);
    }
    pid_t orphan = 0;
    (void)!::read(pipe.read_end.get(), &orphan, sizeof orphan);
    (void)test::wait_child(parent);
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, orphan, 0)));
    (void)::kill(orphan, SIGKILL);
    (void)test::wait_readable(pidfd.get());
    return orphan;
}

bool is_zombie(pid_t pid) {
    return process_info(static_cast<std::uint32_t>(pid)).value_or(ProcessInfo{}).state == 'Z';
}

/// The body runs in a process that has no children yet.
template <class Body>
int as_subreaper(Body body) {
    return test::in_child([&] {
        if (inherits_orphans()) {
            return 20;
        }
        (void)::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        return inherits_orphans() ? body() : 21;
    });
}

TEST(OrphansTest, AreReapedAndCounted) {
    EXPECT_EQ(as_subreaper([] {
                  const pid_t first = ended_orphan();
                  const pid_t second = ended_orphan();
                  if (!is_zombie(first) || !is_zombie(second)) {
                      return 1;
                  }
                  if (reap_orphans([](pid_t) { return false; }) != 2) {
                      return 2;
                  }
                  return is_zombie(first) || is_zombie(second) ? 3 : 0;
              }),
              0);
}

TEST(OrphansTest, OurOwnAreNotStolen) {
    EXPECT_EQ(as_subreaper([] {
                  const pid_t ours = ended_child(42);
                  if (reap_orphans([&](pid_t pid) { return pid == ours; }) != 0) {
                      return 1;
                  }
                  return test::wait_child(ours) == 42 ? 0 : 2;
              }),
              0);
}

TEST(OrphansTest, OneOfOurOwnHidesNobody) {
    EXPECT_EQ(as_subreaper([] {
                  // Ours is the first that the kernel finds, and stays it while it is not reaped.
                  const std::set<pid_t> ours{ended_child(), ended_child()};
                  const pid_t orphan = ended_orphan();
                  const pid_t another = ended_orphan();
                  const auto is_ours = [&](pid_t pid) { return ours.contains(pid); };
                  if (reap_orphans(is_ours) != 2 || is_zombie(orphan) || is_zombie(another)) {
                      return 1;
                  }
                  for (const pid_t pid : ours) {
                      if (!is_zombie(pid)) {
                          return 2;
                      }
                  }
                  return 0;
              }),
              0);
}

TEST(OrphansTest, TheLivingAreLeftAlone) {
    EXPECT_EQ(as_subreaper([] {
                  auto pipe = test::make_pipe();
                  const pid_t living = ::fork();
                  if (living == 0) {
                      (void)::pause();
                      ::_exit(0);
                  }
                  const std::size_t count = reap_orphans([](pid_t) { return false; });
                  (void)::kill(living, SIGKILL);
                  return count == 0 && test::wait_child(living) == -1 ? 0 : 1;
              }),
              0);
}

TEST(OrphansTest, NoChildrenAtAllIsNothing) {
    EXPECT_EQ(
        as_subreaper([] { return static_cast<int>(reap_orphans([](pid_t) { return false; })); }),
        0);
}

}  // namespace
}  // namespace topsman::posix
