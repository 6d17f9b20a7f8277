#include "supervisor/posix/wait_state.hpp"

#include <gtest/gtest.h>

#include <string>

namespace topsman::posix {
namespace {

TEST(WaitStateTest, AnEpollSetIsItsEntries) {
    // As Linux 6.18 writes it.
    const std::string text =
        "pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t61\n"
        "tfd:       12 events:       19 data:                c  pos:0 ino:61af sdev:8\n"
        "tfd:        3 events: 4000201d data: 7f00deadbeef0003  pos:0 ino:1f sdev:8\n";
    const std::vector<EpollEntry> expected{{0x61af, 0x19}, {0x1f, 0x4000'201d}};
    EXPECT_EQ(parse_epoll(text), expected);
    EXPECT_EQ(parse_epoll(text.substr(0, text.size() - 1)), expected) << "without the last newline";
}

TEST(WaitStateTest, OtherDescriptorsAndCutLinesHaveNoEntries) {
    EXPECT_TRUE(parse_epoll("").empty());
    EXPECT_TRUE(parse_epoll("pos:\t0\nflags:\t02\nino:\t61\n").empty());
    EXPECT_TRUE(parse_epoll("tfd:        5 events:       19 data:     5  po").empty());
    EXPECT_TRUE(parse_epoll("tfd:        5 events:       zz data: 5  pos:0 ino:1 sdev:8").empty());
    EXPECT_TRUE(parse_epoll("tfd: 5 events: 19 data: 5  pos:0 ino:fffffffffffffffff").empty());
    EXPECT_TRUE(parse_epoll("no tfd: 5 events: 19 data: 5  pos:0 ino:1 sdev:8").empty());
}

TEST(WaitStateTest, ACallIsItsNumberAndItsArguments) {
    const auto call =
        parse_syscall("232 0x3 0x7ffd5a3c 0x400 0xffffffff 0x0 0x8 0x7ffd5a30 0x7f12c0de\n");
    ASSERT_TRUE(call);
    EXPECT_EQ(call->number, 232);
    EXPECT_EQ(call->arguments,
              (std::array<std::uint64_t, 6>{3, 0x7ffd'5a3c, 0x400, 0xffff'ffff, 0, 8}));
}

TEST(WaitStateTest, WhoRunsOrIsStoppedIsInNoCall) {
    EXPECT_EQ(parse_syscall("running\n"), std::nullopt);
    EXPECT_EQ(parse_syscall("-1 0x7ffd5a30 0x7f12c0de\n"), std::nullopt);
    EXPECT_EQ(parse_syscall(""), std::nullopt);
    EXPECT_EQ(parse_syscall("232 0x3 0x7ffd\n"), std::nullopt) << "cut off";
    EXPECT_EQ(parse_syscall("232 3 4 5 6 7 8 9 10\n"), std::nullopt);
}

TEST(WaitStateTest, ASocketIsItsInode) {
    EXPECT_EQ(parse_socket("socket:[61423]"), 61'423U);
    EXPECT_EQ(parse_socket("pipe:[61423]"), std::nullopt);
    EXPECT_EQ(parse_socket("socket:[61423"), std::nullopt);
    EXPECT_EQ(parse_socket("socket:[]"), std::nullopt);
    EXPECT_EQ(parse_socket(""), std::nullopt);
}

}  // namespace
}  // namespace topsman::posix
