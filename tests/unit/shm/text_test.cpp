#include "shm/text.hpp"

#include <gtest/gtest.h>

namespace topsman::shm {
namespace {

TEST(TextTest, WhatIsPrintableStaysAsItIs) {
    EXPECT_EQ(printable_line("stock: 17 left, größer, 日本, 🐄"), "stock: 17 left, größer, 日本, 🐄");
}

TEST(TextTest, ItIsOneLine) {
    EXPECT_EQ(printable_line("first\nsecond\tthird\r\n"), "first second third");
}

TEST(TextTest, ATerminalHasNothingToObey) {
    EXPECT_EQ(printable_line("\x1b[31mred\x7f\xc2\x9b"), "?[31mred??");
}

TEST(TextTest, IllegalUtf8IsShownAsQuestionMarks) {
    EXPECT_EQ(printable_line("a\xff\xc3"), "a??");
    EXPECT_EQ(printable_line("\xc0\xaf"), "??");            // overlong
    EXPECT_EQ(printable_line("\xed\xa0\x80"), "???");       // a surrogate
    EXPECT_EQ(printable_line("\xf5\x80\x80\x80"), "????");  // above U+10FFFF
}

TEST(TextTest, APrefixNeverCutsACharacter) {
    EXPECT_EQ(utf8_prefix("größe", 3), 2U);
    EXPECT_EQ(utf8_prefix("größe", 4), 4U);
    EXPECT_EQ(utf8_prefix("kurz", 10), 4U);
    EXPECT_EQ(utf8_prefix("\x80\x80\x80", 2), 0U);
}

}  // namespace
}  // namespace topsman::shm
