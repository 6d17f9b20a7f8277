#include "config/units.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace topsman::config {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(Units, DurationsHaveAUnit) {
    EXPECT_EQ(parse_duration("250ms").value(), Duration(250));
    EXPECT_EQ(parse_duration("30s").value(), seconds(30));
    EXPECT_EQ(parse_duration("5m").value(), minutes(5));
    EXPECT_EQ(parse_duration("1h").value(), hours(1));
    EXPECT_EQ(parse_duration("2d").value(), hours(48));
    EXPECT_EQ(parse_duration("0s").value(), Duration(0));
    EXPECT_EQ(parse_duration("366d").value(), hours(24 * 366));
}

TEST(Units, AWrongDurationSaysWhatToWrite) {
    EXPECT_THAT(parse_duration("30").error().message, HasSubstr("write 30s for seconds"));
    EXPECT_THAT(parse_duration("5 sec").error().message, HasSubstr("the units are"));
    EXPECT_THAT(parse_duration("5sec").error().message, HasSubstr("write 5s"));
    EXPECT_THAT(parse_duration("10min").error().message, HasSubstr("write 10m"));
    EXPECT_THAT(parse_duration("10msec").error().message, HasSubstr("write 10ms"));
    EXPECT_THAT(parse_duration("1.5s").error().message, HasSubstr("1500ms"));
    EXPECT_THAT(parse_duration("-1s").error().message, HasSubstr("is no duration"));
    EXPECT_THAT(parse_duration("").error().message, HasSubstr("is no duration"));
    EXPECT_THAT(parse_duration("367d").error().message, HasSubstr("366 days"));
    EXPECT_THAT(parse_duration("99999999999999999999s").error().message, HasSubstr("no duration"));
    EXPECT_THAT(parse_duration("18446744073709551615h").error().message, HasSubstr("366 days"));
}

TEST(Units, SizesAreBinary) {
    EXPECT_EQ(parse_size("64KiB").value(), 65'536);
    EXPECT_EQ(parse_size("512MiB").value(), 512 << 20);
    EXPECT_EQ(parse_size("100B").value(), 100);
    EXPECT_EQ(parse_size("0").value(), 0);
    EXPECT_THAT(parse_size("64KB").error().message, HasSubstr("write 64KiB"));
    EXPECT_THAT(parse_size("64k").error().message, HasSubstr("write 64KiB"));
    EXPECT_THAT(parse_size("64").error().message, HasSubstr("write 64B for bytes"));
    EXPECT_THAT(parse_size("much").error().message, HasSubstr("like 64KiB"));
    EXPECT_THAT(parse_size("99999999TiB").error().message, HasSubstr("2^62"));
}

TEST(Units, CountsAreDigitsOnly) {
    EXPECT_EQ(parse_count("4").value(), 4U);
    EXPECT_EQ(parse_count("4294967295").value(), 4294967295U);
    for (const char* wrong : {"", "-1", "+1", "4.0", "0x10", "1_000", "four", "4 "}) {
        EXPECT_THAT(parse_count(wrong).error().message, HasSubstr("no whole number")) << wrong;
    }
    EXPECT_THAT(parse_count("4294967296").error().message, HasSubstr("too large"));
}

TEST(Units, RealNumbersArePlain) {
    EXPECT_DOUBLE_EQ(parse_real("0.25").value(), 0.25);
    EXPECT_DOUBLE_EQ(parse_real("2").value(), 2);
    for (const char* wrong : {"", ".", "-1", "1e3", "nan", "inf", "1.2.3", "half"}) {
        EXPECT_TRUE(parse_real(wrong).has_error()) << wrong;
    }
}

TEST(Units, SignalsGoByNameOrNumber) {
    EXPECT_EQ(parse_signal("SIGTERM").value(), 15);
    EXPECT_EQ(parse_signal("TERM").value(), 15);
    EXPECT_EQ(parse_signal("15").value(), 15);
    EXPECT_EQ(parse_signal("RTMIN+3").value(), parse_signal("SIGRTMIN").value() + 3);
    EXPECT_THAT(parse_signal("term").error().message, HasSubstr("did you mean TERM?"));
    EXPECT_THAT(parse_signal("SIGTREM").error().message, HasSubstr("did you mean SIGTERM?"));
    EXPECT_THAT(parse_signal("0").error().message, HasSubstr("1 to 64"));
    EXPECT_THAT(parse_signal("65").error().message, HasSubstr("1 to 64"));
    EXPECT_TRUE(parse_signal("RTMIN+99").has_error());
    EXPECT_EQ(signal_name(15), "SIGTERM");
    EXPECT_EQ(parse_signal(signal_name(6)).value(), 6);
}

TEST(Units, ModesAreOctalWithALeadingZero) {
    EXPECT_EQ(parse_mode("0660").value(), 0660U);
    EXPECT_EQ(parse_mode("022").value(), 022U);
    for (const char* wrong : {"660", "0o660", "0888", "01777", "rw-rw----", "", "0"}) {
        EXPECT_THAT(parse_mode(wrong).error().message, HasSubstr("\"0660\"")) << wrong;
    }
}

TEST(Units, OnlyTrueAndFalseAreBooleans) {
    EXPECT_TRUE(parse_bool("true").value());
    EXPECT_FALSE(parse_bool("false").value());
    EXPECT_THAT(parse_bool("yes").error().message, HasSubstr("write true"));
    EXPECT_THAT(parse_bool("off").error().message, HasSubstr("write false"));
    EXPECT_THAT(parse_bool("maybe").error().message, HasSubstr("neither true nor false"));
}

TEST(Units, ADurationIsShownAsItWouldBeWritten) {
    for (const char* text : {"250ms", "30s", "5m", "1h", "2d", "0s", "1500ms"}) {
        EXPECT_EQ(duration_text(parse_duration(text).value()), text);
    }
}

}  // namespace
}  // namespace topsman::config
