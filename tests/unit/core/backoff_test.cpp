#include "supervisor/core/backoff.hpp"

#include "supervisor/core/jitter.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace topsman::core {
namespace {

using namespace std::chrono_literals;

config::Backoff plain() {
    config::Backoff backoff;
    backoff.jitter = 0;
    return backoff;
}

TEST(Backoff, TheFirstFailureIsTriedAgainAtOnceThenItDoubles) {
    EXPECT_EQ(backoff_delay(plain(), 0, 0), 0ms);
    EXPECT_EQ(backoff_delay(plain(), 1, 0), 0ms);
    EXPECT_EQ(backoff_delay(plain(), 2, 0), 100ms);
    EXPECT_EQ(backoff_delay(plain(), 3, 0), 200ms);
    EXPECT_EQ(backoff_delay(plain(), 6, 0), 1600ms);
}

TEST(Backoff, NeverWaitsLongerThanMax) {
    EXPECT_EQ(backoff_delay(plain(), 12, 0), 30s);
    EXPECT_EQ(backoff_delay(plain(), std::numeric_limits<std::uint32_t>::max(), 0), 30s);
    config::Backoff jittered;
    EXPECT_EQ(backoff_delay(jittered, 40, 0.99), 30s);
}

TEST(Backoff, JitterSpreadsToBothSides) {
    config::Backoff backoff;
    backoff.jitter = 0.5;
    EXPECT_EQ(backoff_delay(backoff, 3, -1), 100ms);
    EXPECT_EQ(backoff_delay(backoff, 3, 0.5), 250ms);
}

TEST(Backoff, AnInitialOfNothingIsNoWaitAtAll) {
    config::Backoff backoff = plain();
    backoff.initial = 0ms;
    EXPECT_EQ(backoff_delay(backoff, 5000, 0), 0ms);
}

TEST(Backoff, ADurationOfTheFileCannotOverflowTheClock) {
    EXPECT_GT(clock_duration(config::Duration::max()), 24h * 365);
    EXPECT_LT(clock_duration(config::Duration::max()), Duration::max() / 4);
    EXPECT_EQ(clock_duration(config::Duration(-5)), 0ms);
}

TEST(Jitter, IsTheSameForTheSameSeedAndStaysInItsRange) {
    Jitter one(7);
    Jitter same(7);
    Jitter other(8);
    bool differs = false;
    double least = 1;
    double most = -1;
    for (int i = 0; i < 1000; ++i) {
        const double number = one.next();
        EXPECT_EQ(number, same.next());
        differs = differs || number != other.next();
        least = std::min(least, number);
        most = std::max(most, number);
    }
    EXPECT_TRUE(differs);
    EXPECT_GE(least, -1.0);
    EXPECT_LT(most, 1.0);
    EXPECT_LT(least, -0.9);
    EXPECT_GT(most, 0.9);
}

}  // namespace
}  // namespace topsman::core
