#include "shm/event.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <thread>
#include <vector>

namespace topsman::shm {
namespace {

/// In memory of its own, with a few lanes.
struct EventPlace {
    SharedObject object;
    std::array<Lane, 5> lanes;
};

class EventTest : public testing::Test {
  protected:
    [[nodiscard]] bool is_ready() { return event_.wait(place_->lanes, 1, Deadline{}); }

    std::unique_ptr<EventPlace> place_ = std::make_unique<EventPlace>();
    Event event_{place_->object};
};

TEST_F(EventTest, AManualOneStaysSetUntilItIsReset) {
    event_.init(Reset::Manual);
    EXPECT_EQ(event_.kind(), Reset::Manual);
    EXPECT_FALSE(event_.is_set() || event_.try_wait() || is_ready());
    event_.set(place_->lanes);
    event_.set(place_->lanes);
    EXPECT_TRUE(event_.try_wait() && event_.try_wait() && is_ready() && event_.is_set());
    event_.reset();
    EXPECT_FALSE(event_.is_set() || event_.try_wait() || is_ready());
}

TEST_F(EventTest, AnAutomaticOneIsForOne) {
    event_.init(Reset::Auto);
    EXPECT_EQ(event_.kind(), Reset::Auto);
    event_.set(place_->lanes);
    event_.set(place_->lanes);
    EXPECT_TRUE(event_.is_set());
    EXPECT_TRUE(is_ready());
    EXPECT_FALSE(event_.is_set() || event_.try_wait() || is_ready());
}

TEST_F(EventTest, AnyWordIsAnEvent) {
    for (const std::uint64_t word : {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 2, UINT64_MAX - 3}) {
        place_->object.word[0].store(word);
        event_.set(place_->lanes);
        EXPECT_TRUE(event_.is_set() && is_ready());
        event_.reset();
        EXPECT_FALSE(event_.is_set());
    }
}

TEST(EventThreadsTest, WhoWaitsForAManualOneGoesOnThoughItIsResetAtOnce) {
    const auto place = std::make_unique<EventPlace>();
    Event(place->object).init(Reset::Manual);
    for (int round = 0; round < 300; ++round) {
        std::vector<std::thread> waiters;
        for (std::uint32_t lane = 1; lane <= 3; ++lane) {
            waiters.emplace_back([&, lane] {
                EXPECT_TRUE(Event(place->object).wait(place->lanes, lane, kNoDeadline));
            });
        }
        for (std::uint32_t lane = 1; lane <= 3; ++lane) {
            while (!place->object.parking.has(lane)) {
                std::this_thread::yield();
            }
        }
        Event(place->object).set(place->lanes);
        Event(place->object).reset();
        for (std::thread& waiter : waiters) {
            waiter.join();
        }
    }
}

TEST(EventThreadsTest, AnAutomaticOneLetsOneGoForEachTimeItWasSet) {
    constexpr int kRounds = 6'000;
    const auto place = std::make_unique<EventPlace>();
    Event(place->object).init(Reset::Auto);
    std::atomic<int> gone{0};
    std::vector<std::thread> waiters;
    for (std::uint32_t lane = 1; lane <= 3; ++lane) {
        waiters.emplace_back([&, lane] {
            for (int i = 0; i < kRounds / 3; ++i) {
                ASSERT_TRUE(Event(place->object).wait(place->lanes, lane, kNoDeadline));
                gone.fetch_add(1);
            }
        });
    }
    for (int set = 1; set <= kRounds; ++set) {
        Event(place->object).set(place->lanes);
        while (gone.load() < set) {
            std::this_thread::yield();
        }
        ASSERT_EQ(gone.load(), set);
    }
    for (std::thread& waiter : waiters) {
        waiter.join();
    }
    EXPECT_FALSE(Event(place->object).is_set());
}

}  // namespace
}  // namespace topsman::shm
