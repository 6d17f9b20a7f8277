#include "shm/semaphore.hpp"

#include "shm/bounded_counter.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <thread>
#include <vector>

namespace topsman::shm {
namespace {

constexpr Owner kFirst{1, 5};
constexpr Owner kSecond{2, 9};

/// In memory of its own, with a few lanes.
struct Place {
    SharedArrayStorage storage;
    SharedObject object;
    std::array<Lane, 5> lanes;
};

class SemaphoreTest : public testing::Test {
  protected:
    SemaphoreTest() { semaphore_.init(3); }

    std::unique_ptr<Place> place_ = std::make_unique<Place>();
    Semaphore semaphore_{place_->storage};
};

TEST_F(SemaphoreTest, AsManyAsThereArePermits) {
    std::vector<std::uint32_t> permits;
    for (int i = 0; i < 3; ++i) {
        permits.push_back(semaphore_.try_acquire(i == 0 ? kFirst : kSecond).value());
    }
    EXPECT_FALSE(semaphore_.try_acquire(kFirst));
    EXPECT_FALSE(semaphore_.acquire(place_->lanes, kFirst, Deadline{}));
    EXPECT_EQ(semaphore_.taken(), 3U);
    EXPECT_FALSE(semaphore_.release(place_->lanes, kFirst, permits[1])) << "it is another's";
    EXPECT_TRUE(semaphore_.release(place_->lanes, kSecond, permits[1]));
    EXPECT_FALSE(semaphore_.release(place_->lanes, kSecond, permits[1])) << "given back twice";
    EXPECT_FALSE(semaphore_.release(place_->lanes, kSecond, 5'000));
    EXPECT_EQ(semaphore_.try_acquire(kFirst).value(), permits[1]);
}

TEST_F(SemaphoreTest, TheSweepGivesBackTheDeadsAndNobodyElses) {
    ASSERT_TRUE(semaphore_.try_acquire(kFirst) && semaphore_.try_acquire(kSecond));
    ASSERT_TRUE(semaphore_.try_acquire(Owner{kFirst.lane, kFirst.generation + 1}));
    semaphore_.sweep(kFirst);
    semaphore_.sweep(kFirst);
    EXPECT_EQ(semaphore_.taken(), 2U);
}

TEST_F(SemaphoreTest, FewerPermitsAreNotGivenAgainOnceTheyAreBack) {
    std::vector<std::uint32_t> permits;
    for (int i = 0; i < 3; ++i) {
        permits.push_back(semaphore_.try_acquire(kFirst).value());
    }
    semaphore_.set_permits(1);
    for (const std::uint32_t permit : permits) {
        EXPECT_TRUE(semaphore_.release(place_->lanes, kFirst, permit));
    }
    EXPECT_TRUE(semaphore_.try_acquire(kFirst));
    EXPECT_FALSE(semaphore_.try_acquire(kFirst));
}

TEST_F(SemaphoreTest, HostileNumbersOfPermitsReachNothingElse) {
    semaphore_.set_permits(UINT32_MAX);
    EXPECT_EQ(semaphore_.permits(), Semaphore::kMostPermits);
    std::uint32_t had = 0;
    while (semaphore_.try_acquire(kFirst)) {
        ++had;
    }
    EXPECT_EQ(had, Semaphore::kMostPermits);
    semaphore_.set_permits(0);
    EXPECT_FALSE(semaphore_.try_acquire(kFirst));
}

TEST(SemaphoreThreadsTest, NeverMoreThanThePermitsAndNobodyIsForgotten) {
    const auto place = std::make_unique<Place>();
    Semaphore(place->storage).init(2);
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            const Owner owner{i + 1, 1};
            for (int n = 0; n < 3'000; ++n) {
                const auto permit =
                    Semaphore(place->storage).acquire(place->lanes, owner, kNoDeadline);
                const int now = inside.fetch_add(1) + 1;
                int before = most.load();
                while (before < now && !most.compare_exchange_weak(before, now)) {
                }
                if (n % 16 == 0) {
                    std::this_thread::yield();
                }
                inside.fetch_sub(1);
                ASSERT_TRUE(Semaphore(place->storage).release(place->lanes, owner, *permit));
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_LE(most.load(), 2);
    EXPECT_EQ(Semaphore(place->storage).taken(), 0U);
}

TEST(BoundedCounterTest, ItStaysBetweenNothingAndItsLimit) {
    const auto place = std::make_unique<Place>();
    BoundedCounter counter(place->object);
    counter.init(10);
    EXPECT_TRUE(counter.try_add(10));
    EXPECT_FALSE(counter.try_add(1));
    EXPECT_FALSE(counter.try_add(UINT64_MAX));
    EXPECT_TRUE(counter.subtract(place->lanes, 4));
    EXPECT_FALSE(counter.subtract(place->lanes, 7));
    EXPECT_EQ(counter.value(), 6U);
    EXPECT_FALSE(counter.add(place->lanes, 1, 5, Deadline{}));
    EXPECT_TRUE(counter.add(place->lanes, 1, 4, Deadline{}));
    place->object.word[0].store(99);
    EXPECT_FALSE(counter.try_add(1)) << "hostile: more than the limit";
}

TEST(BoundedCounterThreadsTest, WhoWaitsForRoomGetsIt) {
    const auto place = std::make_unique<Place>();
    BoundedCounter(place->object).init(3);
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            BoundedCounter counter(place->object);
            for (int n = 0; n < 3'000; ++n) {
                const std::uint64_t many = 1 + i % 3;
                ASSERT_TRUE(counter.add(place->lanes, i + 1, many, kNoDeadline));
                ASSERT_LE(counter.value(), 3U);
                ASSERT_TRUE(counter.subtract(place->lanes, many));
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(BoundedCounter(place->object).value(), 0U);
}

}  // namespace
}  // namespace topsman::shm
