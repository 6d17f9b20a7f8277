#include "shm/base/log_linear.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace topsman {
namespace {

using L = LogLinear;

TEST(LogLinearTest, EveryNumberIsInTheBucketThatSaysSo) {
    std::uint32_t before = 0;
    for (std::uint64_t value = 0; value < 5'000; ++value) {
        const std::uint32_t bucket = L::bucket_of(value);
        ASSERT_TRUE(bucket == before || bucket == before + 1) << value;
        ASSERT_GE(L::highest_of(bucket), value);
        ASSERT_TRUE(bucket == 0 || L::highest_of(bucket - 1) < value) << value;
        before = bucket;
    }
}

TEST(LogLinearTest, NoBucketIsWiderThanASixteenthOfItsNumbers) {
    for (std::uint32_t bucket = 1; bucket < L::kBuckets; ++bucket) {
        const std::uint64_t lowest = L::highest_of(bucket - 1) + 1;
        ASSERT_EQ(L::bucket_of(lowest), bucket);
        ASSERT_EQ(L::bucket_of(L::highest_of(bucket)), bucket);
        ASSERT_LE((L::highest_of(bucket) - lowest) * 16, lowest);
    }
    EXPECT_EQ(L::highest_of(31), 31U) << "small numbers are exact";
}

TEST(LogLinearTest, TheScaleHoldsEveryNumber) {
    EXPECT_EQ(L::bucket_of(0), 0U);
    EXPECT_EQ(L::bucket_of(~std::uint64_t{0}), L::kBuckets - 1);
    EXPECT_EQ(L::highest_of(L::kBuckets - 1), ~std::uint64_t{0});
}

TEST(LogLinearTest, PercentilesAreThoseOfTheSortedNumbers) {
    LogLinearCounts counts;
    for (std::uint64_t value = 1; value <= 1'000; ++value) {
        counts.add(L::bucket_of(value * 1'000), 1);
    }
    EXPECT_EQ(counts.count(), 1'000U);
    for (const double percent : {0.1, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
        const auto exact = static_cast<std::uint64_t>(std::lround(percent * 10)) * 1'000;
        EXPECT_EQ(counts.percentile(percent), L::highest_of(L::bucket_of(exact))) << percent;
    }
    EXPECT_EQ(counts.max(), L::highest_of(L::bucket_of(1'000'000)));
}

TEST(LogLinearTest, TheRankIsExactWhereTheNumbersAre) {
    LogLinearCounts counts;
    counts.add(3, 999);
    counts.add(20, 1);
    EXPECT_EQ(counts.percentile(99.9), 3U);
    EXPECT_EQ(counts.percentile(99.91), 20U);
    EXPECT_EQ(counts.max(), 20U);
}

TEST(LogLinearTest, NothingAndNonsenseHaveAnAnswer) {
    EXPECT_EQ(LogLinearCounts().percentile(99), 0U);
    EXPECT_EQ(LogLinearCounts().max(), 0U);
    LogLinearCounts counts;
    counts.add(7, 1);
    counts.add(9, 1);
    EXPECT_EQ(counts.percentile(-1), 7U);
    EXPECT_EQ(counts.percentile(std::numeric_limits<double>::quiet_NaN()), 7U);
    EXPECT_EQ(counts.percentile(1e300), 9U);
    counts.add(7, ~std::uint64_t{0});  // as somebody may write it: the sum wraps
    EXPECT_LE(counts.percentile(50), 9U);
}

}  // namespace
}  // namespace topsman
