#include "supervisor/control/text.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace topsman::control {
namespace {

using namespace std::chrono_literals;

TEST(TextTest, ControlCharactersNeverReachATerminal) {
    EXPECT_EQ(printable("web\x1b[2J\nnext\x7f"), "web [2J next ");
    EXPECT_EQ(printable("\xc2\x9b"
                        "31m"),
              " 31m")
        << "U+009B is ESC [ for some terminals";
}

TEST(TextTest, OnlyWholeUtf8CharactersPass) {
    EXPECT_EQ(printable("grün 日本 😀"), "grün 日本 😀");
    EXPECT_EQ(printable("a\xff\xc3"), "a??");
    EXPECT_EQ(printable("\xc0\xaf"), "??") << "overlong";
    EXPECT_EQ(printable("\xed\xa0\x80"), "???") << "surrogate";
    EXPECT_EQ(printable("\xf5\x80\x80\x80"), "????") << "above U+10FFFF";
}

TEST(TextTest, AnArrayWithoutNulIsReadToItsEnd) {
    const char text[4] = {'a', 'b', 'c', 'd'};
    EXPECT_EQ(printable(text), "abcd");
}

TEST(TextTest, CutsAtCharactersAndSaysSo) {
    EXPECT_EQ(cut("grüne", 5), "grüne");
    EXPECT_EQ(cut("grüne", 4), "grü…");
    EXPECT_EQ(width(cut("日本日本", 3)), 3U);
    EXPECT_EQ(cut("abc", 1), "…");
    EXPECT_EQ(cut("abc", 0), "");
}

TEST(TextTest, DurationsAreShort) {
    EXPECT_EQ(format_duration(0.04), "0.0s");
    EXPECT_EQ(format_duration(4.25), "4.2s");
    EXPECT_EQ(format_duration(9.96), "9s");
    EXPECT_EQ(format_duration(42.9), "42s");
    EXPECT_EQ(format_duration(192), "3m12s");
    EXPECT_EQ(format_duration(11'520), "3h12m");
    EXPECT_EQ(format_duration(1'047'600), "12d3h");
    EXPECT_EQ(format_duration(-1), "?");
    EXPECT_EQ(format_duration(std::nan("")), "?");
    EXPECT_EQ(format_duration(1e300), "?");
}

TEST(TextTest, SizesAreShort) {
    EXPECT_EQ(format_size(0), "0");
    EXPECT_EQ(format_size(512), "512B");
    EXPECT_EQ(format_size(12'897'485), "12.3M");
    EXPECT_EQ(format_size(std::uint64_t{1'023} * 1'024), "1.0M") << "never five digits wide";
    EXPECT_EQ(format_size(~std::uint64_t{0}), "16.0E");
}

TEST(TextTest, ExactSizesAreAsTheConfigurationSaysThem) {
    EXPECT_EQ(exact_size(16'384), "16KiB");
    EXPECT_EQ(exact_size(1'048'576), "1MiB");
    EXPECT_EQ(exact_size(std::uint64_t{1} << 42U), "4096GiB");
    EXPECT_EQ(exact_size(1'000), "1000B");
    EXPECT_EQ(exact_size(0), "0B");
}

TEST(TextTest, RatesAreShort) {
    EXPECT_EQ(format_rate(0), "0");
    EXPECT_EQ(format_rate(0.31), "0.3");
    EXPECT_EQ(format_rate(1'204.4), "1204");
}

TEST(TextTest, ADurationIsANumberAndAUnit) {
    EXPECT_EQ(parse_duration("250ms"), 250ms);
    EXPECT_EQ(parse_duration("30s"), 30s);
    EXPECT_EQ(parse_duration("30"), 30s);
    EXPECT_EQ(parse_duration("5m"), 5min);
    EXPECT_EQ(parse_duration("2h"), 2h);
    for (const char* wrong :
         {"", "s", "1.5s", "-1s", "5 m", "5d", "99999999999999999999s", "18446744073709551615h"}) {
        EXPECT_FALSE(parse_duration(wrong)) << wrong;
    }
}

}  // namespace
}  // namespace topsman::control
