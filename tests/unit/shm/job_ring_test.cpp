#include "shm/job_ring.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>

namespace topsman::shm {
namespace {

class JobRingTest : public testing::Test {
  protected:
    /// The numbers that are in it, in their order.
    std::vector<std::uint32_t> numbers() {
        std::vector<std::uint32_t> found;
        std::uint32_t number = 0;
        for (std::uint64_t at = ring_.head(); ring_.first(at, number, steps_); ++at) {
            found.push_back(number);
        }
        return found;
    }

    std::uint32_t pop() {
        std::uint32_t number = 0;
        std::uint64_t at = ring_.head();
        EXPECT_TRUE(ring_.first(at, number, steps_));
        EXPECT_TRUE(ring_.holds(at, number));
        ring_.pass(at + 1);
        EXPECT_FALSE(ring_.holds(at, number)) << "it was passed";
        return number;
    }

    bool push(std::uint32_t number) { return ring_.push(number, place_, passed_); }

    RingEnds ends_{};
    std::array<std::atomic<std::uint64_t>, 8> slots_{};
    std::atomic<std::uint64_t> place_ = 0;
    std::atomic<std::uint64_t> passed_ = 0;
    std::uint64_t steps_ = 10'000;
    JobRing ring_{ends_, slots_.data(), slots_.size()};
};

TEST_F(JobRingTest, FirstInFirstOutOverManyTurns) {
    std::uint32_t next = 0;
    for (std::uint32_t i = 0; i < 100; ++i) {
        ASSERT_TRUE(push(i));
        EXPECT_TRUE(ring_.holds(place_, i));
        EXPECT_FALSE(ring_.holds(place_, i + 1));
        if (i % 3 == 2) {
            for (int n = 0; n < 3; ++n) {
                ASSERT_EQ(pop(), next++);
            }
        }
    }
}

TEST_F(JobRingTest, AFullOneRefuses) {
    for (std::uint32_t i = 0; i < 8; ++i) {
        ASSERT_TRUE(push(i));
    }
    EXPECT_FALSE(push(8));
    EXPECT_EQ(pop(), 0U);
    EXPECT_TRUE(push(8));
    EXPECT_EQ(numbers(), (std::vector<std::uint32_t>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST_F(JobRingTest, EndsThatLagAreWalkedOn) {
    for (std::uint32_t i = 0; i < 20; ++i) {
        ASSERT_TRUE(push(i));
        if (i < 17) {
            pop();
        }
    }
    // As a process leaves them that was stopped for long between an exchange and its store.
    ends_.head.store(3);
    ends_.tail.store(5);
    EXPECT_EQ(numbers(), (std::vector<std::uint32_t>{12, 13, 14, 15, 16, 17, 18, 19}))
        << "those that were passed are stale: their jobs say so";
    ASSERT_TRUE(push(20));
    EXPECT_EQ(numbers().back(), 20U);
}

TEST_F(JobRingTest, EndsThatLagByManyTurnsAreFoundInAFewSteps) {
    for (std::uint32_t i = 0; i < 1'005; ++i) {
        ASSERT_TRUE(push(i));
        if (i < 1'000) {
            pop();
        }
    }
    ends_.head.store(3);
    ends_.tail.store(5);
    ASSERT_TRUE(push(1'005));
    EXPECT_EQ(ends_.tail.load(), 1'006U);
    steps_ = 4 * ring_.size();  // as many as a taker makes
    EXPECT_EQ(numbers(),
              (std::vector<std::uint32_t>{998, 999, 1'000, 1'001, 1'002, 1'003, 1'004, 1'005}));
}

TEST_F(JobRingTest, TheHeadNeverGoesBack) {
    for (std::uint32_t i = 0; i < 6; ++i) {
        ASSERT_TRUE(push(i));
    }
    ring_.pass(4);
    ring_.pass(2);
    EXPECT_EQ(ring_.head(), 4U);
    EXPECT_EQ(numbers(), (std::vector<std::uint32_t>{4, 5}));
    EXPECT_FALSE(ring_.holds(JobRing::kNowhere, 5));
}

TEST_F(JobRingTest, HasTwiceAsManySlotsAsThereAreJobs) {
    EXPECT_EQ(JobRing::slots_for(1), 16U) << "a line at least";
    EXPECT_EQ(JobRing::slots_for(64), 128U);
    EXPECT_EQ(JobRing::slots_for(65), 256U);
}

TEST_F(JobRingTest, HostileWordsEndEveryWalk) {
    for (const std::uint64_t word :
         {~std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0} << 24U}) {
        for (const std::uint64_t end :
             {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{1} << 40U}) {
            for (auto& slot : slots_) {
                slot.store(word);
            }
            ends_.head.store(end);
            ends_.tail.store(end);
            std::uint32_t number = 0;
            std::uint64_t at = ring_.head();
            (void)ring_.first(at, number, steps_);
            passed_.store(0);
            (void)push(1);
            (void)ring_.holds(end, 1);
        }
    }
}

}  // namespace
}  // namespace topsman::shm
