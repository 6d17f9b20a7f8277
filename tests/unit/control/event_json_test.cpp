#include "supervisor/control/event_json.hpp"

#include "shm/limits.hpp"

#include <boost/json.hpp>
#include <gtest/gtest.h>

namespace topsman::control {
namespace {

constexpr std::string_view kTime = "2026-11-21T09:20:51.123Z";

TEST(EventJsonTest, HasTheFieldsThatAreGivenAndNoOthers) {
    EXPECT_EQ(event_json(7, kTime,
                         {.event = "config.loaded",
                          .pool = {},
                          .slot = {},
                          .worker = {},
                          .pid = {},
                          .numbers = {},
                          .texts = {}}),
              R"({"seq":7,"time":"2026-11-21T09:20:51.123Z","event":"config.loaded"})");
    EXPECT_EQ(event_json(8, kTime,
                         {.event = "worker.exited",
                          .pool = "web",
                          .slot = 2,
                          .worker = 17,
                          .pid = 4711,
                          .numbers = {{"generation", 3}},
                          .texts = {{"reason", "killed by SIGKILL"}, {"next", ""}}}),
              R"({"seq":8,"time":"2026-11-21T09:20:51.123Z","event":"worker.exited","pool":"web",)"
              R"("slot":2,"worker":17,"pid":4711,"generation":3,"reason":"killed by SIGKILL"})");
}

TEST(EventJsonTest, WhateverTheTextsItIsShortEnoughAndJson) {
    const std::string awkward = "\"\\\n\x01ü日😀\xff";
    for (std::size_t length = 0; length < 600; length += 7) {
        std::string reason;
        while (reason.size() < length) {
            reason += awkward;
        }
        const std::string line =
            event_json(~std::uint64_t{0}, kTime,
                       {.event = "worker.exited",
                        .pool = "a-pool-whose-name-is-as-long-as-it-can-be-12345",
                        .slot = 4'294'967'295U,
                        .worker = ~std::uint64_t{0},
                        .pid = 4'194'304,
                        .numbers = {{"generation", 4'294'967'295}},
                        .texts = {{"reason", reason}, {"next", reason}, {"last_words", reason}}});
        EXPECT_LE(line.size(), shm::kEventBytes);
        boost::system::error_code error;
        const auto value = boost::json::parse(line, error);
        ASSERT_FALSE(error) << line;
        EXPECT_EQ(value.at("slot").to_number<std::uint32_t>(), 4'294'967'295U);
        EXPECT_EQ(length == 0, value.as_object().if_contains("reason") == nullptr);
    }
}

TEST(EventJsonTest, ACutTextEndsInAnEllipsis) {
    const std::string reason(1'000, 'x');
    const std::string line = event_json(1, kTime,
                                        {.event = "e",
                                         .pool = {},
                                         .slot = {},
                                         .worker = {},
                                         .pid = {},
                                         .numbers = {},
                                         .texts = {{"reason", reason}}});
    EXPECT_EQ(line.size(), shm::kEventBytes);
    EXPECT_NE(line.find("x…\"}"), std::string::npos);
}

TEST(EventJsonTest, TimeIsUtcWithMilliseconds) {
    using namespace std::chrono;
    EXPECT_EQ(rfc3339(system_clock::time_point(milliseconds(1'795'252'851'005))),
              "2026-11-21T09:20:51.005Z");
    EXPECT_EQ(rfc3339(system_clock::time_point(milliseconds(0))), "1970-01-01T00:00:00.000Z");
}

}  // namespace
}  // namespace topsman::control
