#include "supervisor/posix/process_info.hpp"

#include "tests/unit/posix/support.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

TEST(ProcessInfoTest, KnowsItself) {
    const auto pid = static_cast<std::uint32_t>(::getpid());
    const auto info = process_info(pid);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->state, 'R');
    EXPECT_GT(info->start_ticks, 0U);
    EXPECT_GT(info->rss_bytes, 100'000U);
    EXPECT_LT(info->cpu_seconds, 1'000);
    EXPECT_TRUE(is_same_process_alive(pid, info->start_ticks));
    EXPECT_FALSE(is_same_process_alive(pid, info->start_ticks + 1));
    EXPECT_FALSE(is_dumping_core(pid));
    EXPECT_EQ(process_name(pid), "unit_posix");
}

TEST(ProcessInfoTest, AWorkersMemoryIsThatOfItsWholeSession) {
    auto ready = test::make_pipe();
    constexpr std::size_t kMuch = std::size_t{32} << 20U;
    const auto hold = [&] {
        auto* memory = static_cast<char*>(::malloc(kMuch));
        std::memset(memory, 1, kMuch);
        (void)!::write(ready.write_end.get(), memory, 1);
        (void)::pause();
    };
    const pid_t leader = ::fork();
    if (leader == 0) {
        (void)::setsid();
        if (::fork() == 0) {
            hold();
            ::_exit(0);
        }
        if (::fork() == 0) {
            (void)::setsid();  // no longer the worker's
            hold();
            ::_exit(0);
        }
        hold();
        ::_exit(0);
    }
    ready.write_end.reset();
    char byte = 0;
    for (int i = 0; i < 3; ++i) {
        ASSERT_EQ(::read(ready.read_end.get(), &byte, 1), 1);
    }
    const auto pid = static_cast<std::uint32_t>(leader);
    const std::vector<std::uint32_t> found = processes_of(pid);
    const std::uint64_t sum = resident_bytes(pid);
    const std::string number = std::to_string(pid);
    std::ifstream list("/proc/" + number + "/task/" + number + "/children");
    const std::vector<std::uint32_t> all{std::istream_iterator<std::uint32_t>(list), {}};
    std::uint64_t sum_of_all = process_info(pid).value_or(ProcessInfo{}).rss_bytes;
    for (const std::uint32_t child : all) {
        sum_of_all += process_info(child).value_or(ProcessInfo{}).rss_bytes;
    }
    for (const std::uint32_t child : all) {
        (void)::kill(static_cast<pid_t>(child), SIGKILL);
    }
    (void)::kill(leader, SIGKILL);
    (void)test::wait_child(leader);
    EXPECT_EQ(all.size(), 2U);
    EXPECT_EQ(found.size(), 2U) << "the leader and its child, not who left the session";
    EXPECT_GE(sum, 2 * kMuch);
    EXPECT_GE(sum_of_all, sum + kMuch);
    EXPECT_EQ(resident_bytes(pid), 0U) << "it is gone";
}

TEST(ProcessInfoTest, ANameCannotMakeItLie) {
    auto ready = test::make_pipe();
    const pid_t child = ::fork();
    if (child == 0) {
        (void)::prctl(PR_SET_NAME, ") R 1 (x) Z 9");
        (void)!::write(ready.write_end.get(), "x", 1);
        (void)::pause();
        ::_exit(0);
    }
    ASSERT_EQ(test::read_text(ready.read_end.get(), "x"), "x");
    const auto pid = static_cast<std::uint32_t>(child);
    EXPECT_EQ(process_name(pid), ") R 1 (x) Z 9");
    const auto info = process_info(pid);
    ASSERT_TRUE(info);
    EXPECT_TRUE(info->state == 'S' || info->state == 'R');
    EXPECT_TRUE(is_same_process_alive(pid, info->start_ticks));
    (void)::kill(child, SIGKILL);
    siginfo_t end{};
    ASSERT_EQ(::waitid(P_PID, pid, &end, WEXITED | WNOWAIT), 0);
    EXPECT_EQ(process_info(pid).value_or(ProcessInfo{}).state, 'Z');
    EXPECT_FALSE(is_same_process_alive(pid, info->start_ticks)) << "a zombie is dead";
    (void)test::wait_child(child);
    EXPECT_FALSE(process_info(pid));
    EXPECT_EQ(process_name(pid), "");
}

}  // namespace
}  // namespace topsman::posix
