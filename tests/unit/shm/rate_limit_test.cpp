#include "shm/rate_limit.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace topsman::shm {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kNow = 77'777 * kMs;

class RateLimitTest : public testing::Test {
  protected:
    RateLimitTest() { limit_.init({.interval_ns = 10 * kMs, .burst = 3}); }

    std::unique_ptr<SharedObject> object_ = std::make_unique<SharedObject>();
    RateLimit limit_{*object_};
};

TEST_F(RateLimitTest, TheBurstComesAtOnceThenOneEveryInterval) {
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(limit_.available(kNow), 3U - static_cast<unsigned>(i));
        EXPECT_TRUE(limit_.allow(1, kNow));
    }
    for (std::uint64_t i = 1; i <= 5; ++i) {
        EXPECT_FALSE(limit_.allow(1, kNow + i * 10 * kMs - 1));
        EXPECT_EQ(limit_.allowed_at(1, kNow + i * 10 * kMs - 1), kNow + i * 10 * kMs);
        EXPECT_TRUE(limit_.allow(1, kNow + i * 10 * kMs));
    }
}

TEST_F(RateLimitTest, WhatIsNotUsedIsSavedUpToTheBurst) {
    EXPECT_TRUE(limit_.allow(3, kNow));
    EXPECT_EQ(limit_.available(kNow + 19 * kMs), 1U);
    EXPECT_EQ(limit_.available(kNow + 20 * kMs), 2U);
    EXPECT_EQ(limit_.available(kNow + 1'000'000 * kMs), 3U);
}

TEST_F(RateLimitTest, SeveralAreLetInTogetherOrNotAtAll) {
    EXPECT_TRUE(limit_.allow(2, kNow));
    EXPECT_FALSE(limit_.allow(2, kNow));
    EXPECT_EQ(limit_.available(kNow), 1U);
    EXPECT_EQ(limit_.allowed_at(2, kNow), kNow + 10 * kMs);
    EXPECT_FALSE(limit_.allow(4, kNow + 1'000'000 * kMs));
    EXPECT_EQ(limit_.allowed_at(4, kNow), UINT64_MAX);
}

TEST_F(RateLimitTest, AMachineThatHasJustBootedIsNoSpecialCase) {
    EXPECT_TRUE(limit_.allow(3, 5));
    EXPECT_FALSE(limit_.allow(1, 6));
    EXPECT_EQ(limit_.allowed_at(1, 6), 5 + 10 * kMs);
    EXPECT_EQ(limit_.allowed_at(1, 5 + 60 * kMs), 5 + 60 * kMs);
}

TEST_F(RateLimitTest, AnImpossibleWordClosesItForABurstAtMost) {
    object_->word[0].store(UINT64_MAX);
    EXPECT_FALSE(limit_.allow(1, kNow));
    EXPECT_EQ(limit_.allowed_at(1, kNow), kNow + 10 * kMs);
    object_->word[1].store(UINT64_MAX);
    (void)limit_.allow(1, kNow);
    EXPECT_LE(limit_.available(kNow), RateLimit::kMostBurst);
}

TEST_F(RateLimitTest, ANewRuleHoldsAtOnce) {
    EXPECT_TRUE(limit_.allow(3, kNow));
    limit_.set_rule({.interval_ns = kMs, .burst = 100});
    EXPECT_EQ(limit_.rule().burst, 100U);
    EXPECT_EQ(limit_.available(kNow), 70U);
}

TEST(RateLimitThreadsTest, NotOneTooManyIsLetIn) {
    const auto object = std::make_unique<SharedObject>();
    RateLimit(*object).init({.interval_ns = kMs, .burst = 1'000});
    std::atomic<int> allowed{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 1'000; ++n) {
                allowed += RateLimit(*object).allow(1, kNow) ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(allowed.load(), 1'000);
}

}  // namespace
}  // namespace topsman::shm
