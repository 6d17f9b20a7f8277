#include "shm/barrier.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <thread>
#include <vector>

namespace topsman::shm {
namespace {

constexpr Owner kOne{1, 5};
constexpr Owner kTwo{2, 9};
using Passed = Barrier::Passed;

/// In memory of its own, with a few lanes.
struct BarrierPlace {
    SharedArrayStorage storage;
    std::array<Lane, 5> lanes;
};

class BarrierTest : public testing::Test {
  protected:
    BarrierTest() { barrier_.init(2); }

    [[nodiscard]] Passed visit(Owner owner) {
        return barrier_.arrive(place_->lanes, owner, Deadline{});
    }

    /// As somebody does who waits there.
    void sit(Owner owner, std::uint32_t seat) {
        place_->storage.word[64 + seat].store(owner.pack());
        place_->storage.word[0].fetch_or(std::uint64_t{1} << seat);
    }

    std::unique_ptr<BarrierPlace> place_ = std::make_unique<BarrierPlace>();
    Barrier barrier_{place_->storage};
};

TEST_F(BarrierTest, WhoComesAloneDoesNotCountAnyMoreWhenItHasLeft) {
    EXPECT_EQ(barrier_.parties(), 2U);
    EXPECT_EQ(visit(kOne), Passed::No);
    EXPECT_EQ(visit(kTwo), Passed::No);
    EXPECT_EQ(barrier_.arrived(), 0U);
}

TEST_F(BarrierTest, TheLastOneLetsAllGo) {
    sit(kOne, 7);
    EXPECT_EQ(barrier_.arrived(), 1U);
    EXPECT_EQ(visit(kTwo), Passed::AsTheLast);
    EXPECT_EQ(barrier_.arrived(), 0U);
}

TEST_F(BarrierTest, TheDeadDoNotCountAndNobodyElseIsForgotten) {
    barrier_.init(4);
    sit(kOne, 0);
    sit(kTwo, 1);
    sit(kOne, 63);
    barrier_.sweep(kOne);
    barrier_.sweep(kOne);
    EXPECT_EQ(barrier_.arrived(), 1U);
    barrier_.sweep(Owner{kTwo.lane, kTwo.generation + 1});
    EXPECT_EQ(barrier_.arrived(), 1U);
    sit(kOne, 0);
    sit(kOne, 63);
    EXPECT_EQ(visit(kOne), Passed::AsTheLast);
}

TEST_F(BarrierTest, ABarrierOfOneHoldsNobody) {
    barrier_.init(1);
    EXPECT_EQ(visit(kOne), Passed::AsTheLast);
    EXPECT_EQ(visit(kOne), Passed::AsTheLast);
}

TEST_F(BarrierTest, WithoutASeatNobodyIsCounted) {
    for (std::uint32_t seat = 0; seat < Barrier::kSeats; ++seat) {
        place_->storage.word[64 + seat].store(kTwo.pack());  // they have gone on, and sit there yet
    }
    EXPECT_EQ(visit(kOne), Passed::No);
    EXPECT_EQ(barrier_.arrived(), 0U);
    barrier_.sweep(kTwo);
    sit(kTwo, 0);
    EXPECT_EQ(visit(kOne), Passed::AsTheLast);
}

TEST_F(BarrierTest, HostileWordsReachNothingElse) {
    place_->storage.word[1].store(UINT64_MAX);
    EXPECT_EQ(barrier_.parties(), Barrier::kSeats);
    place_->storage.word[1].store(0);
    EXPECT_EQ(barrier_.parties(), 1U);
    place_->storage.word[0].store(UINT64_MAX);
    EXPECT_EQ(barrier_.arrived(), 64U);
    EXPECT_EQ(visit(kOne), Passed::AsTheLast);
}

TEST(BarrierThreadsTest, NobodyIsARoundAheadAndOneOfEachRoundIsTheLast) {
    constexpr int kRounds = 3'000;
    const auto place = std::make_unique<BarrierPlace>();
    Barrier(place->storage).init(3);
    std::array<std::atomic<int>, 3> rounds{};
    std::atomic<int> lasts{0};
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < 3; ++i) {
        threads.emplace_back([&, i] {
            const Owner owner{i + 1, 1};
            for (int round = 0; round < kRounds; ++round) {
                rounds[i].store(round);
                const Passed passed =
                    Barrier(place->storage).arrive(place->lanes, owner, kNoDeadline);
                ASSERT_NE(passed, Passed::No);
                lasts.fetch_add(passed == Passed::AsTheLast ? 1 : 0);
                for (const std::atomic<int>& other : rounds) {
                    ASSERT_GE(other.load(), round) << "it has not arrived yet";
                    ASSERT_LE(other.load(), round + 1);
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(lasts.load(), kRounds);
    EXPECT_EQ(Barrier(place->storage).arrived(), 0U);
}

TEST(BarrierThreadsTest, OfTwoOnTheirWayOutBothOrNoneHavePassed) {
    const auto place = std::make_unique<BarrierPlace>();
    Barrier(place->storage).init(2);
    std::array<std::atomic<int>, 2> passes{};
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < 2; ++i) {
        threads.emplace_back([&, i] {
            for (int round = 0; round < 20'000; ++round) {
                const Owner owner{i + 1, 1};
                if (Barrier(place->storage).arrive(place->lanes, owner, Deadline{}) != Passed::No) {
                    passes[i].fetch_add(1);
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(passes[0].load(), passes[1].load());
    EXPECT_EQ(Barrier(place->storage).arrived(), 0U);
}

}  // namespace
}  // namespace topsman::shm
