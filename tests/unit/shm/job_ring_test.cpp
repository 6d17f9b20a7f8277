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
        JobRing::Entry entry{};
        for (std::uint64_t at = ring_.head(); ring_.first(at, entry, steps_); ++at) {
            found.push_back(entry.number());
        }
        return found;
    }

    std::uint32_t pop() {
        JobRing::Entry entry{};
        std::uint64_t at = ring_.head();
        EXPECT_TRUE(ring_.first(at, entry, steps_));
        EXPECT_TRUE(ring_.remove(entry));
        EXPECT_FALSE(ring_.remove(entry)) << "removed twice";
        ring_.set_head(at + 1);
        return entry.number();
    }

    RingEnds ends_{};
    std::array<std::atomic<std::uint64_t>, 8> slots_{};
    std::atomic<std::uint64_t> place_ = 0;
    std::uint64_t steps_ = 10'000;
    JobRing ring_{ends_, slots_.data(), slots_.size()};
};

TEST_F(JobRingTest, FirstInFirstOutOverManyTurns) {
    std::uint32_t next = 0;
    for (std::uint32_t i = 0; i < 100; ++i) {
        ASSERT_TRUE(ring_.push(i, place_));
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
        ASSERT_TRUE(ring_.push(i, place_));
    }
    EXPECT_FALSE(ring_.push(8, place_));
    EXPECT_EQ(pop(), 0U);
    EXPECT_TRUE(ring_.push(8, place_));
    EXPECT_EQ(numbers(), (std::vector<std::uint32_t>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST_F(JobRingTest, EndsThatLagAreWalkedOn) {
    for (std::uint32_t i = 0; i < 20; ++i) {
        ASSERT_TRUE(ring_.push(i, place_));
        if (i < 17) {
            pop();
        }
    }
    // As a process leaves them that was stopped for long between an exchange and its store.
    ends_.head.store(3);
    ends_.tail.store(5);
    EXPECT_EQ(numbers(), (std::vector<std::uint32_t>{17, 18, 19}));
    ASSERT_TRUE(ring_.push(20, place_));
    EXPECT_EQ(numbers(), (std::vector<std::uint32_t>{17, 18, 19, 20}));
}

TEST_F(JobRingTest, EndsThatLagByManyTurnsAreFoundInAFewSteps) {
    for (std::uint32_t i = 0; i < 1'005; ++i) {
        ASSERT_TRUE(ring_.push(i, place_));
        if (i < 1'000) {
            pop();
        }
    }
    ends_.head.store(3);
    ends_.tail.store(5);
    ASSERT_TRUE(ring_.push(1'005, place_));
    EXPECT_EQ(ends_.tail.load(), 1'006U);
    steps_ = 4 * ring_.size();  // as many as a taker makes
    EXPECT_EQ(numbers(), (std::vector<std::uint32_t>{1'000, 1'001, 1'002, 1'003, 1'004, 1'005}));
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
            JobRing::Entry entry{};
            std::uint64_t at = ring_.head();
            (void)ring_.first(at, entry, steps_);
            (void)ring_.push(1, place_);
            (void)ring_.holds(end, 1);
        }
    }
}

}  // namespace
}  // namespace topsman::shm
