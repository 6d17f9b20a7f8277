#include "config/names.hpp"

#include <gtest/gtest.h>

namespace topsman::config {
namespace {

TEST(Names, StartWithALetterAndHaveAtMost32Characters) {
    for (const std::string& good :
         std::vector<std::string>{"a", "Web-2", "a_b", std::string(32, 'x')}) {
        EXPECT_TRUE(is_name(good)) << good;
    }
    for (const std::string& bad :
         std::vector<std::string>{"", "1a", "-a", "a b", "a.b", "\xC3\xA9", std::string(33, 'x')}) {
        EXPECT_FALSE(is_name(bad)) << bad;
    }
}

TEST(Names, TheNearestKnownWordIsWithinTwoEdits) {
    const std::vector<std::string> known = {"command", "listeners", "environment", "restart"};
    EXPECT_EQ(nearest("comand", known), "command");
    EXPECT_EQ(nearest("ocmmand", known), "command");
    EXPECT_EQ(nearest("Listener", known), "listeners");
    EXPECT_EQ(nearest("env", known), "environment");
    EXPECT_EQ(nearest("frobnicate", known), "");
    EXPECT_EQ(nearest("", known), "");
    EXPECT_EQ(nearest(std::string(100'000, 'a'), known), "");
}

TEST(Names, AreListedAsInASentence) {
    EXPECT_EQ(listed(std::vector<std::string>{}), "");
    EXPECT_EQ(listed(std::vector<std::string>{"a"}), "a");
    EXPECT_EQ(listed(std::vector<std::string>{"a", "b"}), "a and b");
    EXPECT_EQ(listed(std::vector<std::string>{"a", "b", "c"}, "or"), "a, b or c");
}

TEST(Names, TextFromAFileCannotCommandATerminal) {
    EXPECT_EQ(shown("plain \xC3\xA9"), "plain \xC3\xA9");
    EXPECT_EQ(shown("\x1B[2J\n"), "\\x1B[2J\\x0A");
    EXPECT_EQ(shown("\xC2\x9B"
                    "2J"),
              "\\x9B2J");
    EXPECT_EQ(shown(std::string(100, 'a')), std::string(60, 'a') + "...");
    EXPECT_EQ(shown(std::string(59, 'a') + "\xC3\xA9"
                                           "b"),
              std::string(59, 'a') + "\xC3\xA9...");
}

}  // namespace
}  // namespace topsman::config
