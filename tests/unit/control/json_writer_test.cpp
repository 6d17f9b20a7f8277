#include "supervisor/control/json_writer.hpp"

#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

#include <limits>

namespace topsman::control {
namespace {

TEST(JsonWriterTest, NestsAndSeparates) {
    JsonWriter w;
    w.begin_object().member("a", std::uint64_t{1}).key("b").begin_array();
    w.value("x").value(true).begin_object().end_object().end_array();
    w.member("c", std::int64_t{-2}).end_object();
    EXPECT_EQ(w.text(), R"({"a":1,"b":["x",true,{}],"c":-2})");
}

TEST(JsonWriterTest, SecondsArePlainNumbers) {
    JsonWriter w;
    w.begin_array().seconds(12.5).seconds(0).seconds(1e17);
    w.seconds(std::numeric_limits<double>::infinity()).end_array();
    EXPECT_EQ(w.text(), "[12.500,0.000,100000000000000000.000,null]");
}

TEST(JsonWriterTest, WhateverTheBytesItIsJson) {
    std::string all;
    for (int i = 0; i < 256; ++i) {
        all += static_cast<char>(i);
    }
    JsonWriter w;
    w.begin_object().member(all, std::string_view(all)).end_object();
    boost::system::error_code error;
    (void)boost::json::parse(w.text(), error);
    EXPECT_FALSE(error) << error.message() << w.text();
}

TEST(JsonWriterTest, ACutNeverBreaksAnEscapeOrACharacter) {
    const std::string text = "a\"ü\n\x01";
    for (std::size_t limit = 0; limit < 16; ++limit) {
        const Escaped escaped = escape_json(text, limit);
        EXPECT_LE(escaped.text.size(), limit);
        boost::system::error_code error;
        (void)boost::json::parse('"' + escaped.text + '"', error);
        EXPECT_FALSE(error) << limit;
        EXPECT_EQ(escaped.whole, limit >= 13) << limit;
    }
}

}  // namespace
}  // namespace topsman::control
