#include "config/address.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace topsman::config {
namespace {

using testing::HasSubstr;

TEST(Address, HasThreeForms) {
    EXPECT_EQ(parse_address("0.0.0.0:8080")->text(), "0.0.0.0:8080");
    EXPECT_EQ(parse_address("[::]:80")->text(), "[::]:80");
    EXPECT_EQ(parse_address("[fe80::1%eth0]:80")->text(), "[fe80::1%eth0]:80");
    EXPECT_EQ(parse_address("unix:/run/a.sock")->path, "/run/a.sock");
    EXPECT_EQ(parse_address("127.0.0.1:0")->port, 0);
}

TEST(Address, EqualOnesHaveEqualTexts) {
    EXPECT_EQ(parse_address("localhost:80")->text(), parse_address("127.0.0.1:080")->text());
    EXPECT_EQ(parse_address("[0:0::1]:80")->text(), parse_address("[::1]:80")->text());
}

TEST(Address, AWrongOneSaysWhatToWrite) {
    EXPECT_THAT(parse_address("8080").error().message, HasSubstr("write \"0.0.0.0:8080\""));
    EXPECT_THAT(parse_address(":8080").error().message, HasSubstr("write \"0.0.0.0:8080\""));
    EXPECT_THAT(parse_address("*:80").error().message, HasSubstr("write \"0.0.0.0:80\""));
    EXPECT_THAT(parse_address("::1:80").error().message,
                HasSubstr("write IPv6 addresses in brackets"));
    EXPECT_THAT(parse_address("[::x]:80").error().message, HasSubstr("write \"[::]:80\""));
    EXPECT_TRUE(parse_address("[fe80::1%]:80").has_error());
    EXPECT_TRUE(parse_address("[fe80::1%a b]:80").has_error());
    EXPECT_THAT(parse_address("/run/a").error().message, HasSubstr("write \"unix:/run/a\""));
    EXPECT_THAT(parse_address("example.org:80").error().message,
                HasSubstr("names are not looked up"));
    EXPECT_THAT(parse_address("127.0.0.1").error().message, HasSubstr("has no port"));
    EXPECT_THAT(parse_address("127.0.0.1:65536").error().message, HasSubstr("0 to 65535"));
    EXPECT_THAT(parse_address("127.0.0.1:-1").error().message, HasSubstr("0 to 65535"));
    EXPECT_THAT(parse_address("unix:").error().message, HasSubstr("names no file"));
    EXPECT_THAT(parse_address("unix:@abstract").error().message, HasSubstr("names no file"));
    EXPECT_THAT(parse_address("unix:/" + std::string(107, 'x')).error().message,
                HasSubstr("at most 107 bytes"));
    EXPECT_TRUE(parse_address("").has_error());
}

}  // namespace
}  // namespace topsman::config
