#include "shm/scoreboard.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace topsman::shm {
namespace {

TEST(ScoreboardTest, TextIsCutToFitAndAlwaysTerminated) {
    char text[6];
    put_text(text, "größer");
    EXPECT_STREQ(text, "grö");
}

TEST(ScoreboardTest, TextLeavesNothingOfALongerOneBehind) {
    char text[8];
    put_text(text, "longer");
    put_text(text, "a");
    EXPECT_EQ(std::string_view(text, sizeof(text)), std::string_view("a\0\0\0\0\0\0\0", 8));
}

TEST(ScoreboardTest, TextEndsAtANul) {
    char text[8];
    put_text(text, std::string_view("ab\0cd", 5));
    EXPECT_STREQ(text, "ab");
}

TEST(ScoreboardTest, ARecordComesBackWhole) {
    auto board = std::make_unique<Scoreboard>();
    WorkerRecord record{};
    record.worker = 42;
    record.state = WorkerState::Serving;
    put_text(record.status, "busy");
    board->workers[7].store(record);
    WorkerRecord copy{};
    ASSERT_TRUE(board->workers[7].load(copy));
    EXPECT_EQ(copy.worker, 42U);
    EXPECT_EQ(copy.state, WorkerState::Serving);
    EXPECT_STREQ(copy.status, "busy");
}

}  // namespace
}  // namespace topsman::shm
