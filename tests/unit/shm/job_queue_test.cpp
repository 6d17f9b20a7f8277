#include "shm/job_queue.hpp"

#include "shm/fence.hpp"
#include "shm_test_helper.hpp"

#include <cstring>
#include <map>
#include <set>
#include <thread>

namespace topsman::shm {
namespace {

class JobQueueTest : public testing::Test {
  protected:
    JobQueueTest() {
        queue_.join(kMe);
        queue_.join(kOther);
    }

    std::optional<JobId> submit(std::uint64_t value, Owner by = kMe) {
        return queue_.submit(by, std::as_bytes(std::span(&value, 1)));
    }

    static std::uint64_t value_of(const TakenJob& job) {
        std::uint64_t value = 0;
        EXPECT_EQ(job.item.size(), sizeof(value));
        std::memcpy(&value, job.item.data(), sizeof(value));
        return value;
    }

    /// Takes and acks all there is.
    std::vector<std::uint64_t> drain() {
        std::vector<std::uint64_t> values;
        while (const auto job = queue_.take(kMe)) {
            values.push_back(value_of(*job));
            EXPECT_TRUE(queue_.ack(*job));
        }
        return values;
    }

    std::size_t fill() {
        std::size_t count = 0;
        while (submit(count)) {
            ++count;
        }
        return count;
    }

    JobState state(JobId id) {
        return JobWord::unpack(queue_.record(static_cast<std::uint32_t>(id)).word.load()).state;
    }

    void expect_whole() {
        (void)drain();
        for (int round = 0; round < 3; ++round) {
            EXPECT_EQ(fill(), kShape.capacity);
            EXPECT_EQ(drain().size(), kShape.capacity);
        }
    }

    static constexpr QueueShape kShape{.capacity = 70, .item_size = 100, .max_attempts = 3};
    std::byte* memory_ = static_cast<std::byte*>(shared_memory(queue_bytes(kShape)));
    std::span<Lane> lanes_{static_cast<Lane*>(shared_memory(sizeof(Lane) * 32)), 32};
    JobQueue queue_{memory_, kShape, lanes_};
};

TEST_F(JobQueueTest, JobsComeInTheOrderInWhichTheyWereSubmitted) {
    for (std::uint64_t round = 0; round < 10; ++round) {
        for (std::uint64_t i = 0; i < 50; ++i) {
            ASSERT_TRUE(submit(i));
        }
        const auto values = drain();
        ASSERT_EQ(values.size(), 50U);
        EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
    }
}

TEST_F(JobQueueTest, ItTakesAsManyAsItsCapacityAndThenRefuses) {
    EXPECT_EQ(fill(), kShape.capacity);
    EXPECT_FALSE(submit(0));
    const auto job = queue_.take(kMe);
    EXPECT_FALSE(submit(0)) << "a job that runs takes room";
    EXPECT_TRUE(queue_.ack(*job));
    EXPECT_TRUE(submit(0));
    EXPECT_FALSE(submit(0));
    expect_whole();
}

TEST_F(JobQueueTest, ItemsMayBeEmptyOrAsLongAsTheShapeSays) {
    const std::vector<std::byte> longest(kShape.item_size, std::byte{7});
    ASSERT_TRUE(queue_.submit(kMe, {}));
    ASSERT_TRUE(queue_.submit(kMe, longest));
    EXPECT_TRUE(queue_.take(kMe)->item.empty());
    const auto job = queue_.take(kMe);
    EXPECT_TRUE(std::equal(longest.begin(), longest.end(), job->item.begin(), job->item.end()));
}

TEST_F(JobQueueTest, WhatIsNackedComesAgainAndThenIsADeadLetter) {
    const auto id = submit(1);
    for (std::uint32_t attempt = 1; attempt <= kShape.max_attempts; ++attempt) {
        const auto job = queue_.take(kOther);
        ASSERT_TRUE(job);
        EXPECT_EQ(JobWord::unpack(job->word).attempts, attempt);
        EXPECT_EQ(queue_.nack(*job),
                  attempt < kShape.max_attempts ? NackResult::Again : NackResult::DeadLetter);
    }
    EXPECT_EQ(state(*id), JobState::Dead);
    EXPECT_FALSE(queue_.take(kMe));
    EXPECT_TRUE(queue_.retry(*id));
    EXPECT_FALSE(queue_.retry(*id));
    EXPECT_FALSE(queue_.drop(*id)) << "it is no dead letter now";
    const auto job = queue_.take(kMe);
    ASSERT_TRUE(job);
    EXPECT_EQ(JobWord::unpack(job->word).attempts, 1U) << "the count starts again";
    EXPECT_TRUE(queue_.ack(*job));
    expect_whole();
}

TEST_F(JobQueueTest, WhatIsPutOffComesWhenItIsDueAndNotBefore) {
    static std::uint64_t now = 0;
    const auto take = [this] { return queue_.take(kMe, []() noexcept { return now; }); };
    now = 1'000'000'000;
    ASSERT_TRUE(submit(1));
    ASSERT_TRUE(submit(2));
    ASSERT_TRUE(submit(3));
    EXPECT_EQ(queue_.nack(*take(), now + 200'000'000), NackResult::Later);  // 1
    EXPECT_EQ(queue_.nack(*take(), now + 100'000'000), NackResult::Later);  // 2
    EXPECT_EQ(value_of(*take()), 3U);
    EXPECT_FALSE(take());
    now += 99'000'000;
    EXPECT_FALSE(take());
    now += 1'000'000;
    const auto second = take();
    ASSERT_TRUE(second);
    EXPECT_EQ(value_of(*second), 2U);
    EXPECT_EQ(JobWord::unpack(second->word).attempts, 2U) << "it counts as an attempt";
    EXPECT_FALSE(take());
    now += 100'000'000;
    const auto first = take();
    ASSERT_TRUE(first);
    EXPECT_EQ(value_of(*first), 1U);
    // Put off once more, when nothing was due any more; and a late word changes nothing.
    EXPECT_EQ(queue_.nack(*first, now + 1), NackResult::Later);
    EXPECT_EQ(queue_.nack(*first, now + 500'000'000), NackResult::NotYours);
    EXPECT_FALSE(queue_.ack(*first));
    now += 1'000'000;
    const auto last = take();
    ASSERT_TRUE(last);
    EXPECT_EQ(queue_.nack(*last, now + 1), NackResult::DeadLetter) << "after max_attempts";
    now += 1'000'000;
    EXPECT_FALSE(take());
}

TEST_F(JobQueueTest, WhatIsNotTakenInTimeBecomesADeadLetter) {
    static std::uint64_t now = 0;
    const auto take = [this] { return queue_.take(kMe, []() noexcept { return now; }); };
    const auto submit_for = [this](std::uint64_t value, std::uint64_t deadline) {
        return queue_.submit(kMe, std::as_bytes(std::span(&value, 1)), {.deadline_ns = deadline});
    };
    now = 100;
    const auto late = submit_for(1, 200);
    ASSERT_TRUE(submit_for(2, 300));
    ASSERT_TRUE(submit(3));
    now = 200;
    const auto second = take();
    ASSERT_TRUE(second);
    EXPECT_EQ(value_of(*second), 2U) << "in time";
    EXPECT_EQ(state(*late), JobState::Dead);
    now = 400;
    EXPECT_EQ(queue_.nack(*second), NackResult::Again);
    const auto third = take();
    ASSERT_TRUE(third);
    EXPECT_EQ(value_of(*third), 3U) << "without a deadline";
    EXPECT_FALSE(take()) << "its deadline counts at the next attempt too";
    EXPECT_TRUE(queue_.ack(*third));
    // Whom an operator tries again has no deadline any more.
    EXPECT_TRUE(queue_.retry(*late));
    for (std::uint32_t attempt = 1; attempt <= 2; ++attempt) {
        const auto again = take();
        ASSERT_TRUE(again);
        EXPECT_EQ(value_of(*again), 1U);
        EXPECT_EQ(JobWord::unpack(again->word).attempts, attempt);
        EXPECT_EQ(queue_.nack(*again), NackResult::Again);
    }
    EXPECT_TRUE(queue_.ack(*take()));
    EXPECT_TRUE(queue_.drop(job_id(second->number, second->word)));
    expect_whole();
}

TEST_F(JobQueueTest, TheHighestPriorityIsTakenFirst) {
    constexpr QueueShape kUrgent{
        .capacity = 70, .item_size = 100, .max_attempts = 3, .priorities = kMaxPriorities};
    auto* memory = static_cast<std::byte*>(shared_memory(queue_bytes(kUrgent)));
    JobQueue queue(memory, kUrgent, lanes_);
    queue.join(kMe);
    const auto submit_as = [&queue](std::uint64_t value, std::uint32_t priority) {
        return queue.submit(kMe, std::as_bytes(std::span(&value, 1)), {.priority = priority});
    };
    for (std::uint32_t i = 0; i < 70; ++i) {
        ASSERT_TRUE(submit_as(i, i % kMaxPriorities));
    }
    std::uint64_t last = 7;
    for (std::uint32_t i = 0; i < 70; ++i) {
        const auto job = queue.take(kMe);
        ASSERT_TRUE(job);
        const std::uint64_t value = value_of(*job);
        if (value % kMaxPriorities == last % kMaxPriorities) {
            EXPECT_GE(value, last) << "in their order";
        } else {
            EXPECT_EQ(value % kMaxPriorities + 1, last % kMaxPriorities);
        }
        last = value;
        EXPECT_TRUE(queue.ack(*job));
    }
    // It keeps its priority when it comes again, also from the dead.
    ASSERT_TRUE(submit_as(1, 5));
    ASSERT_TRUE(submit_as(2, 5));
    ASSERT_TRUE(submit_as(3, 0));
    EXPECT_EQ(queue.nack(*queue.take(kMe)), NackResult::Again);
    queue.join(kOther);
    (void)queue.take(kOther);
    (void)queue.sweep(kOther);
    const auto first = queue.take(kMe);
    const auto second = queue.take(kMe);
    EXPECT_EQ(value_of(*first) + value_of(*second), 3U);
    EXPECT_EQ(value_of(*queue.take(kMe)), 3U);
}

TEST_F(JobQueueTest, WhoSleepsWakesUpForAJobThatWasPutOff) {
    ASSERT_TRUE(submit(1));
    const auto job = queue_.take(kOther);
    std::optional<TakenJob> taken;
    {
        const auto in_time = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        std::jthread sleeper(
            [&] { taken = queue_.take_until(kMe, in_time, []() noexcept { return false; }); });
        while (!queue_.control().takers.has(kMe.lane)) {
            std::this_thread::yield();
        }
        EXPECT_EQ(queue_.nack(*job, JobQueue::monotonic_ns() + 5'000'000), NackResult::Later);
    }
    ASSERT_TRUE(taken);
    EXPECT_EQ(value_of(*taken), 1U);
    EXPECT_FALSE(queue_.take_until(kMe, {}, []() noexcept { return false; }))
        << "a time-out is one";
}

TEST_F(JobQueueTest, TheSweepRepairsWhatOneLeftWhoDiedWhenPuttingOff) {
    ASSERT_TRUE(submit(1));
    const auto job = queue_.take(kMe);
    EXPECT_EQ(queue_.nack(*job, 1), NackResult::Later);
    // As if the hints had not been written any more.
    const_cast<QueueControl&>(queue_.control()).due.store(0);
    reinterpret_cast<std::atomic<std::uint64_t>*>(memory_ + sizeof(QueueControl) + kCacheLine)
        ->store(0);
    EXPECT_FALSE(queue_.take(kMe));
    (void)queue_.sweep(kOther);
    EXPECT_EQ(drain(), std::vector<std::uint64_t>{1});
    EXPECT_EQ(queue_.control().illegal.load(), 0U);
}

TEST_F(JobQueueTest, ADroppedDeadLetterIsRoomAgain) {
    const auto id = submit(1);
    for (std::uint32_t i = 0; i < kShape.max_attempts; ++i) {
        (void)queue_.nack(*queue_.take(kMe));
    }
    EXPECT_EQ(fill(), kShape.capacity - 1) << "a dead letter takes room";
    EXPECT_FALSE(queue_.drop(*id ^ (std::uint64_t{1} << 32U))) << "another item's number";
    EXPECT_FALSE(queue_.drop(*id | 0xffffU));
    EXPECT_TRUE(queue_.drop(*id));
    EXPECT_FALSE(queue_.drop(*id));
    EXPECT_TRUE(submit(1));
    expect_whole();
}

TEST_F(JobQueueTest, ALateAckOrNackChangesNothing) {
    (void)submit(1);
    const auto job = queue_.take(kMe);
    EXPECT_TRUE(queue_.ack(*job));
    EXPECT_FALSE(queue_.ack(*job));
    EXPECT_EQ(queue_.nack(*job), NackResult::NotYours);
    // The same place, taken by the same lane: still another job.
    JobQueue another(memory_, kShape, lanes_);  // which looks from the first place on
    (void)another.submit(kMe, std::as_bytes(std::span("another", 8)));
    const auto next = queue_.take(kMe);
    ASSERT_EQ(next->number, job->number);
    EXPECT_FALSE(queue_.ack(*job));
    (void)queue_.nack(*next);
    const auto again = queue_.take(kMe);
    EXPECT_FALSE(queue_.ack(*next)) << "an earlier attempt";
    EXPECT_TRUE(queue_.ack(*again));
    expect_whole();
}

TEST_F(JobQueueTest, TheSweepGivesBackWhatTheDeadHeld) {
    (void)submit(1);
    (void)submit(2);
    const auto dead = queue_.take(kOther);
    const auto mine = queue_.take(kMe);
    const QueueSweep found = queue_.sweep(kOther);
    EXPECT_EQ(found.again, 1U);
    EXPECT_EQ(found.dead_letters, 0U);
    EXPECT_FALSE(queue_.ack(*dead)) << "it is not the dead one's any more";
    EXPECT_TRUE(queue_.ack(*mine)) << "the living keep what they have";
    EXPECT_EQ(drain(), std::vector<std::uint64_t>{1});
    EXPECT_EQ(queue_.sweep(kOther).again, 0U);
    expect_whole();
}

TEST_F(JobQueueTest, AJobThatKillsItsTakersBecomesADeadLetter) {
    const auto id = submit(1);
    for (std::uint32_t i = 0; i < kShape.max_attempts; ++i) {
        queue_.join(kOther);
        ASSERT_TRUE(queue_.take(kOther));
        EXPECT_EQ(queue_.sweep(kOther).dead_letters, i + 1 == kShape.max_attempts ? 1U : 0U);
    }
    EXPECT_FALSE(queue_.take(kMe));
    EXPECT_EQ(state(*id), JobState::Dead);
}

TEST_F(JobQueueTest, WhoNeverJoinedNeedsNoSweep) {
    EXPECT_FALSE(queue_.control().users.contains(5));
    queue_.join(Owner{5, 1});
    EXPECT_TRUE(queue_.control().users.contains(5));
    (void)queue_.sweep(Owner{5, 1});
    EXPECT_FALSE(queue_.control().users.contains(5));
}

TEST_F(JobQueueTest, AJobThatFoundNoRoomInTheRingIsFoundAllTheSame) {
    // As a ring looks whose entries were all doubled.
    auto* slots = reinterpret_cast<std::atomic<std::uint64_t>*>(memory_ + sizeof(QueueControl) +
                                                                2 * kCacheLine);
    for (std::uint64_t i = 0; i < JobRing::slots_for(kShape.capacity); ++i) {
        slots[i].store(1);
    }
    const_cast<QueueControl&>(queue_.control()).ends[0].tail.store(256);
    for (std::uint64_t i = 0; i < 5; ++i) {
        ASSERT_TRUE(submit(i));
    }
    const auto values = drain();
    EXPECT_EQ(std::set<std::uint64_t>(values.begin(), values.end()),
              (std::set<std::uint64_t>{0, 1, 2, 3, 4}));
    expect_whole();
}

TEST_F(JobQueueTest, TheRingsHeadFollowsWhoTakes) {
    for (std::uint64_t i = 0; i < 5'000; ++i) {
        ASSERT_TRUE(submit(i));
        const auto job = queue_.take(i % 2 == 0 ? kMe : kOther);
        ASSERT_TRUE(job && queue_.ack(*job));
        ASSERT_EQ(queue_.control().unringed.load(), 0U);
    }
    EXPECT_GE(queue_.control().ends[0].head.load(), 5'000U - 16);
    EXPECT_FALSE(queue_.take(kMe));
    EXPECT_EQ(queue_.control().ends[0].head.load(), 5'000U) << "at rest nothing is left to walk";
}

TEST_F(JobQueueTest, WhatWasTakenInARowIsNotInTheRingAnyMore) {
    // Large enough that who takes in a row does not move the head each time.
    constexpr QueueShape kLarge{.capacity = 1'024, .item_size = 8, .max_attempts = 3};
    auto* memory = static_cast<std::byte*>(shared_memory(queue_bytes(kLarge)));
    JobQueue queue(memory, kLarge, lanes_);
    queue.join(kMe);
    for (std::uint64_t i = 0; i < 5; ++i) {
        ASSERT_TRUE(queue.submit(kMe, std::as_bytes(std::span(&i, 1))));
    }
    const auto job = queue.take(kMe);
    ASSERT_TRUE(queue.take(kMe));
    EXPECT_EQ(queue.control().ends[0].head.load(), 0U);
    // Put off, and made ready in time by one who has died before it was in the ring again.
    JobQueue others(memory, kLarge, lanes_);
    others.join(kOther);
    ASSERT_EQ(queue.nack(*job, JobQueue::monotonic_ns() + 3'600'000'000'000U), NackResult::Later);
    auto& word = const_cast<JobRecord&>(queue.record(job->number)).word;
    JobWord ready = JobWord::unpack(word.load());
    ready.state = JobState::Ready;
    word.store(ready.pack());
    (void)queue.sweep(kOther);
    std::size_t there = 0;
    while (queue.take(kMe)) {
        ++there;
    }
    EXPECT_EQ(there, 4U) << "three that were never taken, and that one";
}

/// Two who go on at the same moment, one of them from its last look before it sleeps.
struct LastLook {
    static inline std::atomic<std::uint32_t> arrived;
    static inline std::uint32_t round;
    static inline std::uint32_t looks;
    static inline std::uint32_t last;

    static void meet(std::uint32_t meeting, std::uint32_t pause) {
        arrived.fetch_add(1);
        for (std::uint32_t i = 0; arrived.load() < 2 * meeting; ++i) {
            if (i > 1'000) {
                std::this_thread::yield();
            }
        }
        // Who came last is ahead by the time that the news takes: other rounds, other leads.
        for (std::uint32_t i = 0; i < pause; ++i) {
            std::atomic_signal_fence(std::memory_order_seq_cst);
        }
    }

    static bool is_over() noexcept {
        if (++looks == last) {
            meet(round, round / 64 % 64);
        }
        return false;
    }
};

/// An ack is a store with a light fence behind it, and who waits for room a heavy one: either it
/// sees the ack, or it is seen and woken.
TEST_F(JobQueueTest, AnAckWakesWhoIsAboutToSleepUntilThereIsRoom) {
    constexpr std::uint32_t kRounds = 20'000;
    constexpr std::chrono::seconds kLost{5};
    constexpr QueueShape kOne{.capacity = 1, .item_size = 8, .max_attempts = 3};
    auto* memory = static_cast<std::byte*>(shared_memory(queue_bytes(kOne)));
    join_fences();
    JobQueue queue(memory, kOne, lanes_);
    ASSERT_TRUE(queue.submit(kMe, {}));
    // Without any patience there are three more looks: in the set, at the end, and by the caller.
    const Deadline long_ago(std::chrono::nanoseconds(1));
    std::thread([&] {
        EXPECT_FALSE(queue.submit_until(kMe, {}, {}, long_ago, &LastLook::is_over));
    }).join();
    LastLook::last = LastLook::looks - 3;
    const std::jthread taker([&] {
        JobQueue mine(memory, kOne, lanes_);
        for (std::uint32_t round = 1; round <= kRounds; ++round) {
            const auto job = mine.take_until(kOther, kNoDeadline, []() noexcept { return false; });
            LastLook::meet(round, round % 64 * 4);
            EXPECT_TRUE(mine.ack(*job));
        }
    });
    std::uint32_t lost = 0;
    for (LastLook::round = 1; LastLook::round <= kRounds;) {
        // Newcomers: whoever has often looked in vain looks less than at first.
        std::thread([&] {
            for (int i = 0; i < 8; ++i, ++LastLook::round) {
                LastLook::looks = 0;
                const Deadline deadline = Deadline::clock::now() + kLost;
                EXPECT_TRUE(queue.submit_until(kMe, {}, {}, deadline, &LastLook::is_over));
                lost += Deadline::clock::now() < deadline ? 0U : 1U;
            }
        }).join();
    }
    EXPECT_EQ(lost, 0U);
}

TEST_F(JobQueueTest, ThreadsShareIt) {
    constexpr std::uint64_t kThreads = 2;
    constexpr std::uint64_t kEach = 5'000;
    std::vector<std::vector<std::uint64_t>> taken(kThreads);
    std::atomic<std::uint64_t> acked = 0;
    {
        std::vector<std::jthread> threads;
        for (std::uint64_t t = 0; t < kThreads; ++t) {
            threads.emplace_back([this, t] {
                const Owner me{static_cast<std::uint32_t>(10 + t), 1};
                queue_.join(me);
                for (std::uint64_t i = 0; i < kEach;) {
                    if (submit(t * kEach + i, me)) {
                        ++i;
                    } else {
                        std::this_thread::yield();
                    }
                }
            });
            threads.emplace_back([this, t, &taken, &acked] {
                const Owner me{static_cast<std::uint32_t>(20 + t), 1};
                queue_.join(me);
                while (acked.load() < kThreads * kEach) {
                    const auto job = queue_.take(me);
                    if (!job) {
                        std::this_thread::yield();
                        continue;
                    }
                    taken[t].push_back(value_of(*job));
                    // Now and then it fails at first.
                    if (JobWord::unpack(job->word).attempts == 1 && taken[t].back() % 16 == 0) {
                        const bool is_now = taken[t].back() % 32 == 0;
                        taken[t].pop_back();
                        EXPECT_EQ(queue_.nack(*job, is_now ? 0 : JobQueue::monotonic_ns() + 1),
                                  is_now ? NackResult::Again : NackResult::Later);
                    } else {
                        EXPECT_TRUE(queue_.ack(*job));
                        ++acked;
                    }
                }
            });
        }
        // The sweep of one that holds nothing disturbs nobody.
        threads.emplace_back([this, &acked] {
            while (acked.load() < kThreads * kEach) {
                queue_.join(kOther);
                (void)queue_.sweep(kOther);
                std::this_thread::yield();
            }
        });
    }
    std::map<std::uint64_t, int> times;
    for (const auto& values : taken) {
        for (const std::uint64_t value : values) {
            ++times[value];
        }
    }
    EXPECT_EQ(times.size(), kThreads * kEach);
    for (const auto& [value, count] : times) {
        ASSERT_EQ(count, 1) << value;
    }
    expect_whole();
}

}  // namespace
}  // namespace topsman::shm
