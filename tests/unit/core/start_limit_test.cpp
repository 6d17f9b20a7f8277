#include "supervisor/core/start_limit.hpp"

#include <gtest/gtest.h>

namespace topsman::core {
namespace {

using namespace std::chrono_literals;

TEST(StartLimit, IsReachedByBurstFailuresWithinTheInterval) {
    StartLimit limit;
    const config::StartLimit rule{3, 10s, config::BreakerAction::Degrade};
    const TimePoint start{1h};
    EXPECT_FALSE(limit.record(rule, start));
    EXPECT_FALSE(limit.record(rule, start + 1s));
    EXPECT_TRUE(limit.record(rule, start + 10s));
}

TEST(StartLimit, ForgetsWhatIsOlderThanTheInterval) {
    StartLimit limit;
    const config::StartLimit rule{3, 10s, config::BreakerAction::Degrade};
    const TimePoint start{1h};
    for (int i = 0; i < 100; ++i) {
        EXPECT_FALSE(limit.record(rule, start + i * 6s)) << i;
    }
}

TEST(StartLimit, ABurstOfZeroIsNoLimitAndRemembersNothing) {
    StartLimit limit;
    for (int i = 0; i < 100; ++i) {
        EXPECT_FALSE(limit.record(config::StartLimit{}, TimePoint{1h}));
    }
    EXPECT_EQ(limit.size(), 0U);
}

TEST(StartLimit, RemembersNoMoreThanTheBurst) {
    StartLimit limit;
    const config::StartLimit rule{4, 10s, config::BreakerAction::Degrade};
    for (int i = 0; i < 100; ++i) {
        limit.record(rule, TimePoint{1h});
    }
    EXPECT_EQ(limit.size(), 4U);
}

}  // namespace
}  // namespace topsman::core
