#include "shm/block_pool.hpp"

#include "shm/base/check.hpp"
#include "shm_test_helper.hpp"

#include <algorithm>
#include <thread>
#include <vector>

namespace topsman::shm {
namespace {

constexpr std::uint32_t kThreadCount = 4;

class BlockPoolTest : public testing::Test {
  protected:
    static Segment::Options options(const TestName& name) {
        Segment::Options options = name.options(kThreadCount + 2);
        options.blocks = {{{100, 4}, {1'000, 2}}};
        return options;
    }

    [[nodiscard]] BlockRef must_allocate(std::uint64_t length, Owner owner = kMe) {
        const auto ref = pool_.allocate(length, owner);
        CHECK(ref);
        return *ref;
    }

    [[nodiscard]] std::uint64_t free_blocks() const {
        return pool_.usage(0).free + pool_.usage(1).free;
    }

    TestName name_;
    Segment segment_ = Segment::create(options(name_)).value();
    BlockPool pool_ = segment_.blocks();
};

TEST_F(BlockPoolTest, TheSmallestClassThatFitsIsUsedThenTheNext) {
    for (int i = 0; i < 4; ++i) {
        EXPECT_EQ(pool_.memory(must_allocate(100)).size(), 100U);
    }
    EXPECT_EQ(pool_.memory(must_allocate(1)).size(), 1'000U);
    EXPECT_EQ(pool_.memory(must_allocate(101)).size(), 1'000U);
    EXPECT_FALSE(pool_.allocate(1, kMe));
    EXPECT_FALSE(pool_.allocate(1'001, kMe));
    EXPECT_EQ(pool_.largest(), 1'000U);
}

TEST_F(BlockPoolTest, BlocksDoNotOverlapAndLieInTheSegment) {
    std::vector<std::span<std::byte>> all;
    while (const auto ref = pool_.allocate(1, kMe)) {
        all.push_back(pool_.memory(*ref));
    }
    ASSERT_EQ(all.size(), 6U);
    std::sort(all.begin(), all.end(), [](auto a, auto b) { return a.data() < b.data(); });
    for (std::size_t i = 0; i + 1 < all.size(); ++i) {
        EXPECT_LE(all[i].data() + all[i].size(), all[i + 1].data());
    }
    const auto* begin = static_cast<const std::byte*>(segment_.address());
    EXPECT_GE(all.front().data(), begin + 4'096);
    EXPECT_LE(all.back().data() + all.back().size(), begin + segment_.size());
}

TEST_F(BlockPoolTest, OnlyTheOwnerReleasesAndOnlyOnce) {
    const BlockRef ref = must_allocate(10);
    EXPECT_EQ(pool_.length(ref), 10U);
    EXPECT_FALSE(pool_.release(ref, kOther));
    EXPECT_TRUE(pool_.release(ref, kMe));
    EXPECT_FALSE(pool_.release(ref, kMe));
    EXPECT_EQ(free_blocks(), 6U);
}

TEST_F(BlockPoolTest, WhatIsPassedIsTakenOnce) {
    const BlockRef ref = must_allocate(10);
    EXPECT_FALSE(pool_.take(ref, kOther));  // not given up yet
    EXPECT_TRUE(pool_.pass(ref, kMe));
    EXPECT_FALSE(pool_.share(ref, kMe));  // not its owner any more
    const auto taken = pool_.take(ref, kOther);
    ASSERT_TRUE(taken);
    EXPECT_EQ(pool_.length(*taken), 10U);
    EXPECT_FALSE(pool_.take(ref, kMe));
    EXPECT_FALSE(pool_.release(ref, kMe));
    EXPECT_TRUE(pool_.release(*taken, kOther));
}

TEST_F(BlockPoolTest, AnOldReferenceIsNotTheNextUseOfTheBlock) {
    const BlockRef old = must_allocate(1'000);
    ASSERT_TRUE(pool_.release(old, kMe));
    const BlockRef next = must_allocate(1'000);
    ASSERT_EQ(next.block, old.block);
    ASSERT_TRUE(pool_.pass(next, kMe));
    EXPECT_FALSE(pool_.take(old, kOther));
    ASSERT_TRUE(pool_.take(next, kMe));
}

TEST_F(BlockPoolTest, ASharedBlockLastsUntilItsLastReaderHasGone) {
    const BlockRef ref = must_allocate(10);
    EXPECT_FALSE(pool_.open(ref, kOther.lane));  // not shared yet
    EXPECT_TRUE(pool_.share(ref, kMe));
    EXPECT_TRUE(pool_.open(ref, kOther.lane));
    EXPECT_TRUE(pool_.open(ref, 3));
    EXPECT_TRUE(pool_.release(ref, kMe));
    EXPECT_FALSE(pool_.open(ref, 4));  // too late: its owner has closed it
    EXPECT_EQ(free_blocks(), 5U);
    pool_.close(ref, kOther.lane);
    EXPECT_EQ(free_blocks(), 5U);
    pool_.close(ref, 3);
    EXPECT_EQ(free_blocks(), 6U);
}

TEST_F(BlockPoolTest, TheSweepTakesBackAllThatTheDeadHeld) {
    (void)must_allocate(10);
    ASSERT_TRUE(pool_.pass(must_allocate(10), kMe));
    const BlockRef unread = must_allocate(10);
    ASSERT_TRUE(pool_.share(unread, kMe));
    const BlockRef read = must_allocate(10);
    ASSERT_TRUE(pool_.share(read, kMe));
    ASSERT_TRUE(pool_.open(read, kOther.lane));
    const BlockRef living = must_allocate(500, kOther);
    pool_.sweep(kMe);
    EXPECT_EQ(pool_.usage(0).free, 3U);
    EXPECT_EQ(pool_.memory(read).size(), 100U);
    pool_.sweep(kOther);
    EXPECT_EQ(free_blocks(), 6U);
    EXPECT_FALSE(pool_.release(living, kOther));
}

TEST_F(BlockPoolTest, TheSweepOfAnotherGenerationTakesNothing) {
    const BlockRef ref = must_allocate(10);
    pool_.sweep({kMe.lane, kMe.generation + 1});
    EXPECT_TRUE(pool_.release(ref, kMe));
}

TEST_F(BlockPoolTest, NonsenseIsRefusedAndQuarantined) {
    for (const std::uint32_t block : {6U, 7U, 0xffff'ffffU}) {
        const BlockRef ref{block, 1};
        EXPECT_TRUE(pool_.memory(ref).empty());
        EXPECT_EQ(pool_.length(ref), 0U);
        EXPECT_FALSE(pool_.take(ref, kMe) || pool_.pass(ref, kMe) || pool_.share(ref, kMe) ||
                     pool_.open(ref, 1) || pool_.release(ref, kMe));
        pool_.close(ref, 1);
    }
    EXPECT_FALSE(pool_.open(must_allocate(10), 5'000));
}

TEST(BlockPoolQuarantineTest, AnIllegalWordIsCountedAndNeverGivenOut) {
    std::vector<BlockRow> rows(2);
    std::vector<LaneSet> readers(2);
    std::vector<std::byte> memory(256);
    BlockPool pool({{{100, 2}}}, 4, rows, readers, memory.data());
    const std::uint64_t illegal[] = {
        ~std::uint64_t{0},
        BlockWord{BlockState{5}, 1, kMe}.pack(),
        BlockWord{BlockState::Owned, 1, {0, 0}}.pack(),
        BlockWord{BlockState::Passed, 1, {5, 1}}.pack(),
    };
    for (const std::uint64_t word : illegal) {
        rows[0].word.store(word);
        rows[0].length.store(~std::uint64_t{0});
        EXPECT_EQ(pool.length({0, 1}), 100U);
        pool.sweep(kMe);
        EXPECT_EQ(pool.usage(0).illegal, 1U) << word;
        const auto only = pool.allocate(1, kMe);
        EXPECT_EQ(only ? only->block : 99, 1U);
        EXPECT_FALSE(pool.allocate(1, kMe));
        EXPECT_TRUE(pool.release(*only, kMe));
    }
}

TEST_F(BlockPoolTest, AnAdoptedSegmentHasTheSameBlocksOrDoesNotFit) {
    EXPECT_EQ(Segment::adopt(options(name_)).value().blocks().blocks(), 6U);
    Segment::Options none = name_.options(kThreadCount + 2);
    EXPECT_EQ(Segment::adopt(none).value().blocks().blocks(), 6U) << "those that are there stay";
    none.blocks = {{{100, 5}}};
    const auto other = Segment::adopt(none);
    ASSERT_FALSE(other);
    EXPECT_NE(other.error().message.find(
                  "its blocks are not those of the configuration (shared.blocks.100B)"),
              std::string::npos)
        << other.error().message;
}

/// Every block has one owner at a time, and readers read what the owner wrote: ThreadSanitizer sees
/// each access that is not ordered by the words.
TEST_F(BlockPoolTest, ThreadsWriteWhatTheyOwnAndReadWhatIsShared) {
    std::atomic<std::uint64_t> passed = 0;  // block + 1, version: one ticket under way
    std::atomic<std::uint64_t> shared = 0;
    const auto pack = [](BlockRef ref) {
        return (std::uint64_t{ref.block + 1} << 32U) | ref.version;
    };
    const auto unpack = [](std::uint64_t ticket) {
        return BlockRef{static_cast<std::uint32_t>(ticket >> 32U) - 1,
                        static_cast<std::uint32_t>(ticket)};
    };
    const auto body = [&](std::uint32_t lane) {
        const Owner me{lane, 1};
        for (int i = 0; i < 5'000; ++i) {
            if (const auto ref = pool_.allocate(64, me)) {
                const auto memory = pool_.memory(*ref);
                std::fill_n(memory.begin(), 64, static_cast<std::byte>(lane));
                if (i % 2 == 0) {
                    ASSERT_TRUE(pool_.pass(*ref, me));
                    const std::uint64_t before = passed.exchange(pack(*ref));
                    const auto taken = before == 0 ? std::nullopt : pool_.take(unpack(before), me);
                    ASSERT_TRUE(taken || before == 0);
                    if (taken) {
                        const auto got = pool_.memory(*taken);
                        ASSERT_EQ(got[0], got[63]);
                        std::fill_n(got.begin(), 64, std::byte{0});
                        ASSERT_TRUE(pool_.release(*taken, me));
                    }
                } else {
                    ASSERT_TRUE(pool_.share(*ref, me));
                    shared.store(pack(*ref));
                    ASSERT_TRUE(pool_.release(*ref, me));
                }
            }
            const std::uint64_t ticket = shared.load();
            if (ticket != 0 && pool_.open(unpack(ticket), lane)) {
                const auto memory = pool_.memory(unpack(ticket));
                ASSERT_EQ(memory[0], memory[63]);
                pool_.close(unpack(ticket), lane);
            }
        }
    };
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < kThreadCount; ++i) {
        threads.emplace_back(body, i + 1);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (std::uint32_t i = 0; i < kThreadCount; ++i) {
        pool_.sweep({i + 1, 1});  // the last ticket under way
    }
    EXPECT_EQ(free_blocks(), 6U);
}

}  // namespace
}  // namespace topsman::shm
