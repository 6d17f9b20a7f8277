#include "supervisor/posix/memory_room.hpp"

#include <gtest/gtest.h>

namespace topsman::posix {
namespace {

TEST(MemoryRoom, IsWhatTheKernelSays) {
    EXPECT_EQ(parse_available("MemTotal:       16318088 kB\nMemFree:          5 kB\n"
                              "MemAvailable:   10485760 kB\n"),
              10'737'418'240U);
    EXPECT_EQ(parse_available("NotMemAvailable: 3 kB\n"), std::nullopt);
    EXPECT_EQ(parse_available("MemAvailable: many\n"), std::nullopt);
    EXPECT_EQ(parse_available(""), std::nullopt);
}

TEST(MemoryRoom, OfAGroupIsWhatIsLeftOfItsLimit) {
    EXPECT_EQ(parse_group_room("1000\n", "400\n"), 600U);
    EXPECT_EQ(parse_group_room("1000\n", "1400\n"), 0U) << "it is over its limit";
    EXPECT_EQ(parse_group_room("max\n", "400\n"), std::nullopt);
    EXPECT_EQ(parse_group_room("", ""), std::nullopt) << "there are no such files";
}

TEST(MemoryRoom, TheGroupIsTheUnifiedOne) {
    EXPECT_EQ(parse_group("4:memory:/a\n0::/system.slice/x.service\n"), "/system.slice/x.service");
    EXPECT_EQ(parse_group("4:memory:/a\n"), "");
}

TEST(MemoryRoom, ThereIsSomeHere) {
    const auto room = available_memory();
    ASSERT_TRUE(room.has_value());
    EXPECT_GT(*room, 0U);
}

}  // namespace
}  // namespace topsman::posix
