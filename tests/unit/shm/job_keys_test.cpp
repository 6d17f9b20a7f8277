// Of jobs with the same key there is one at a time.

#include "shm/job_queue.hpp"
#include "shm_test_helper.hpp"

#include <cstring>
#include <string>
#include <thread>

namespace topsman::shm {
namespace {

JobKey key_of(const std::string& text) {
    return JobKey(std::as_bytes(std::span(text)));
}

class JobKeysTest : public testing::Test {
  protected:
    JobKeysTest() {
        queue_.join(kMe);
        queue_.join(kOther);
    }

    /// "new 5", "there 5", "full": the number is the job's place.
    std::string submit(const std::string& key, Owner by = kMe, const JobTerms& terms = {}) {
        const auto submitted =
            queue_.submit_once(by, key_of(key), std::as_bytes(std::span(key)), terms);
        if (!submitted) {
            return "full";
        }
        last_ = submitted->id;
        return submitted->is_new ? "new" : "there";
    }

    std::uint32_t free() {
        std::uint32_t jobs = 0;
        for (std::uint32_t i = 0; i < kShape.capacity; ++i) {
            jobs += JobWord::unpack(queue_.record(i).word.load()).state == JobState::Free ? 1U : 0U;
        }
        return jobs;
    }

    static constexpr QueueShape kShape{
        .capacity = 70, .item_size = 100, .max_attempts = 2, .priorities = 1, .has_keys = true};
    std::byte* memory_ = static_cast<std::byte*>(shared_memory(queue_bytes(kShape)));
    std::span<Lane> lanes_{static_cast<Lane*>(shared_memory(sizeof(Lane) * 32)), 32};
    JobQueue queue_{memory_, kShape, lanes_};
    JobId last_ = 0;
};

TEST_F(JobKeysTest, ASecondJobWithTheSameKeyIsTheFirst) {
    EXPECT_EQ(submit("cat.jpg"), "new");
    const JobId cat = last_;
    EXPECT_EQ(submit("cat.jpg", kOther), "there");
    EXPECT_EQ(last_, cat);
    EXPECT_EQ(submit("dog.jpg"), "new");
    EXPECT_EQ(free(), kShape.capacity - 2);
    EXPECT_EQ(queue_.find(key_of("cat.jpg")), cat);
    EXPECT_FALSE(queue_.find(key_of("cow.jpg")));
}

TEST_F(JobKeysTest, AKeyIsFreeWhenItsJobHasBeenAcknowledgedAndNotBefore) {
    EXPECT_EQ(submit("a"), "new");
    const auto first = queue_.take(kOther);
    EXPECT_EQ(submit("a"), "there") << "it runs";
    EXPECT_EQ(queue_.nack(*first, JobQueue::monotonic_ns() + 1'000'000'000'000), NackResult::Later);
    EXPECT_EQ(submit("a"), "there") << "it waits for its time";
    EXPECT_FALSE(queue_.take(kMe));
    EXPECT_EQ(submit("b"), "new");
    const auto other = queue_.take(kMe);
    EXPECT_TRUE(queue_.ack(*other));
    EXPECT_EQ(submit("b"), "new");
}

TEST_F(JobKeysTest, ADeadLetterHasItsKeyUntilItIsDropped) {
    EXPECT_EQ(submit("a"), "new");
    const JobId id = last_;
    for (std::uint32_t i = 0; i < kShape.max_attempts; ++i) {
        (void)queue_.nack(*queue_.take(kMe));
    }
    EXPECT_EQ(submit("a"), "there");
    EXPECT_EQ(last_, id);
    EXPECT_TRUE(queue_.retry(id));
    EXPECT_EQ(submit("a"), "there");
    for (std::uint32_t i = 0; i < kShape.max_attempts; ++i) {
        (void)queue_.nack(*queue_.take(kMe));
    }
    EXPECT_TRUE(queue_.drop(id));
    EXPECT_EQ(submit("a"), "new");
}

TEST_F(JobKeysTest, WhatTheDeadHadTakenKeepsItsKey) {
    EXPECT_EQ(submit("a"), "new");
    const JobId id = last_;
    (void)queue_.take(kOther);
    EXPECT_EQ(queue_.sweep(kOther).again, 1U);
    EXPECT_EQ(submit("a"), "there");
    EXPECT_EQ(last_, id);
}

TEST_F(JobKeysTest, JobsWithoutAKeyAreBesideThem) {
    EXPECT_EQ(submit("a"), "new");
    EXPECT_TRUE(queue_.submit(kMe, {}));
    EXPECT_TRUE(queue_.submit(kMe, {}));
    EXPECT_EQ(free(), kShape.capacity - 3);
    // A place that had a key has none with its next job.
    while (const auto job = queue_.take(kMe)) {
        EXPECT_TRUE(queue_.ack(*job));
    }
    for (std::uint32_t i = 0; i < kShape.capacity; ++i) {
        EXPECT_TRUE(queue_.submit(kMe, {}));
    }
    EXPECT_FALSE(queue_.find(key_of("a")));
    EXPECT_EQ(submit("a"), "full");
    EXPECT_TRUE(queue_.ack(*queue_.take(kMe)));
    EXPECT_EQ(submit("a"), "new");
}

TEST_F(JobKeysTest, KeysAreComparedWhole) {
    const std::string longest(JobKey::kMostBytes, 'x');
    EXPECT_EQ(submit(longest), "new");
    EXPECT_EQ(submit(longest.substr(1)), "new");
    EXPECT_EQ(submit(std::string("a\0", 2)), "new");
    EXPECT_EQ(submit("a"), "new") << "its length is a part of it";
    EXPECT_EQ(submit(longest), "there");
}

TEST_F(JobKeysTest, AsManyKeysAsThereAreJobs) {
    for (int round = 0; round < 40; ++round) {
        for (std::uint32_t i = 0; i < kShape.capacity; ++i) {
            ASSERT_EQ(submit(std::to_string(round * 1'000) + "." + std::to_string(i)), "new") << i;
        }
        ASSERT_EQ(submit("one more"), "full");
        ASSERT_EQ(submit(std::to_string(round * 1'000) + ".7"), "there") << "also when it is full";
        while (const auto job = queue_.take(kOther)) {
            ASSERT_TRUE(queue_.ack(*job));
        }
    }
}

/// Keys that were chosen to collide: there is room for so many at a time.
TEST_F(JobKeysTest, KeysOfOneBucketAreRefusedWhenThereIsNoMoreRoomForThem) {
    constexpr std::size_t kRoom = kBucketsOfKey * kNamesInBucket;
    const std::size_t mask = KeyTable::buckets_for(kShape.capacity) - 1;
    std::vector<std::string> keys;
    for (int i = 0; keys.size() <= kRoom; ++i) {
        if ((key_of(std::to_string(i)).hash() & mask) == 3) {
            keys.push_back(std::to_string(i));
        }
    }
    for (std::size_t i = 0; i < kRoom; ++i) {
        ASSERT_EQ(submit(keys[i]), "new") << i;
    }
    EXPECT_EQ(submit(keys[kRoom]), "full");
    EXPECT_EQ(free(), kShape.capacity - kRoom) << "what was refused is no job";
    EXPECT_EQ(submit("another bucket"), "new");
    EXPECT_TRUE(queue_.ack(*queue_.take(kMe)));
    EXPECT_EQ(submit(keys[kRoom]), "new");
    EXPECT_EQ(submit(keys[1]), "there");
}

/// Each word that says where keys are, spoilt in turn by a hostile process.
TEST_F(JobKeysTest, HostileWordsMakeNobodyReadOutOfBoundsOrHang) {
    auto* begin = reinterpret_cast<std::atomic<std::uint64_t>*>(
        const_cast<std::byte*>(queue_.item(0)) - sizeof(JobRecord));
    auto* end = reinterpret_cast<std::atomic<std::uint64_t>*>(memory_ + queue_bytes(kShape));
    ASSERT_EQ(submit("a"), "new");
    for (const std::uint64_t word : {~std::uint64_t{0}, std::uint64_t{kShape.capacity} + 1,
                                     std::uint64_t{1}, std::uint64_t{0x1'0000'0001}}) {
        for (auto* at = begin; at != end; at += 1) {
            const std::uint64_t before = at->exchange(word);
            (void)submit("a");
            (void)submit("b");
            at->store(before);
        }
    }
}

TEST_F(JobKeysTest, ThreadsNeverHaveTwoWithOneKey) {
    constexpr std::uint64_t kThreads = 4;
    constexpr std::uint64_t kEach = 3'000;
    std::atomic<std::uint64_t> news = 0;
    std::atomic<std::uint64_t> executed = 0;
    std::atomic<std::uint64_t> over = 0;
    std::array<std::atomic<JobId>, 3> holders{};
    std::atomic<std::uint64_t> twins = 0;
    const auto take_all = [&](Owner me) {
        while (const auto job = queue_.take(me)) {
            const auto key = static_cast<std::size_t>(job->item[0]) - '0';
            twins += holders[key].exchange(shm::job_id(job->number, job->word) + 1) != 0 ? 1U : 0U;
            std::this_thread::yield();
            holders[key].store(0);
            ++executed;
            EXPECT_TRUE(queue_.ack(*job));
        }
    };
    {
        std::vector<std::jthread> threads;
        for (std::uint64_t t = 0; t < kThreads; ++t) {
            threads.emplace_back([&, t] {
                const Owner me{static_cast<std::uint32_t>(10 + t), 1};
                queue_.join(me);
                for (std::uint64_t i = 0; i < kEach; ++i) {
                    const std::string key = std::to_string((i + t) % holders.size());
                    const auto submitted =
                        queue_.submit_once(me, key_of(key), std::as_bytes(std::span(key)));
                    ASSERT_TRUE(submitted);
                    news += submitted->is_new ? 1U : 0U;
                    if (i % 2 == 0) {
                        take_all(me);
                    }
                }
                ++over;
            });
        }
    }
    take_all(kMe);
    EXPECT_EQ(over.load(), kThreads);
    EXPECT_EQ(twins.load(), 0U);
    EXPECT_EQ(executed.load(), news.load());
    EXPECT_EQ(free(), kShape.capacity);
}

}  // namespace
}  // namespace topsman::shm
