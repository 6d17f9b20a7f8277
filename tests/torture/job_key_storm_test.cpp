// Producers that submit the same few keys again and again, and consumers, killed at random: of each
// key there is one job at a time, and what was said to be new is executed.

#include "endless_storm.hpp"
#include "shm/base/check.hpp"
#include "shm/sweep.hpp"

#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <sched.h>

namespace topsman::torture {
namespace {

using shm::JobQueue;
using shm::JobState;
using shm::JobWord;
using shm::Owner;

constexpr std::uint32_t kWorkers = 6;  // odd lanes submit, even ones take
constexpr std::uint64_t kMostKills = 2'000;
constexpr std::uint64_t kMostEach = 20'000'000;  // most of which come to nothing
constexpr std::uint64_t kKeys = 5;
// Room for them all, and for each producer's while it is refused.
constexpr shm::QueueShape kShape{
    .capacity = 12, .item_size = 32, .max_attempts = 30, .priorities = 1, .has_keys = true};

/// Outside of the segment.
struct Ledger {
    std::atomic<bool> is_over;
    std::atomic<std::uint64_t> twins;  ///< another job with a key that one has
    std::atomic<std::uint64_t> refused;
    std::atomic<std::uint64_t> holder[kKeys];  ///< the job that is executed, + 1
    std::atomic<std::uint64_t> progress[kWorkers + 1];
    std::atomic<std::uint8_t> accepted[kWorkers + 1][kMostEach];
    std::atomic<std::uint8_t> executed[kWorkers + 1][kMostEach];
};

Ledger*& ledger = EndlessStormTest<Ledger>::ledger;
constexpr auto is_over = EndlessStormTest<Ledger>::is_over;

struct Item {
    std::uint64_t lane;
    std::uint64_t number;
    std::uint64_t key;
};

shm::JobKey key_of(std::uint64_t key) {
    return shm::JobKey(std::as_bytes(std::span(&key, 1)));
}

void produce(JobQueue& queue, Owner me) {
    std::atomic<std::uint64_t>& next = ledger->progress[me.lane];
    while (!is_over() && next.load() < kMostEach) {
        const std::uint64_t number = next.load();
        const Item item{me.lane, number, number * 7 / 3 % kKeys};
        const auto submitted =
            queue.submit_once_until(me, key_of(item.key), std::as_bytes(std::span(&item, 1)), {},
                                    shm::kNoDeadline, is_over);
        if (submitted && submitted->is_new) {
            ledger->accepted[me.lane][number].store(1);
        } else if (submitted) {
            ledger->refused.fetch_add(1);
            (void)::sched_yield();  // there is nothing to do before somebody has executed it
        }
        next.store(number + 1);
    }
}

Item item_of(const shm::TakenJob& job) {
    Item item{};
    CHECK(job.item.size() == sizeof(item));
    std::memcpy(&item, job.item.data(), sizeof(item));
    CHECK(item.lane <= kWorkers && item.number < kMostEach && item.key < kKeys);
    return item;
}

/// From before it is noted until after it was, there is no other job with its key. One who dies in
/// between leaves the note, and the job to another taker.
void execute(const shm::TakenJob& job) {
    const Item item = item_of(job);
    const std::uint64_t me = shm::job_id(job.number, job.word) + 1;
    const std::uint64_t before = ledger->holder[item.key].exchange(me);
    ledger->twins.fetch_add(before != 0 && before != me ? 1 : 0);
    ledger->executed[item.lane][item.number].fetch_add(1);
    (void)::sched_yield();
    const std::uint64_t after = ledger->holder[item.key].exchange(0);
    ledger->twins.fetch_add(after != me ? 1 : 0);
}

void consume(JobQueue& queue, Owner me) {
    while (const auto job = queue.take_until(me, shm::kNoDeadline, is_over)) {
        execute(*job);
        ledger->progress[me.lane].fetch_add(1);
        CHECK(queue.ack(*job));
    }
}

class JobKeyStormTest : public EndlessStormTest<Ledger> {
  protected:
    JobKeyStormTest() : EndlessStormTest("keys") {}
};

TEST_F(JobKeyStormTest, OfAKeyThereIsOneJobAtATimeWhoeverIsKilled) {
    shm::Segment segment =
        shm::Segment::create({.name = name_, .lanes = kWorkers, .queues = {{"jobs", kShape}}})
            .value();
    storm(segment, kMostKills, [&](Owner me) {
        JobQueue queue = segment.queue(0);
        queue.join(me);
        me.lane % 2 != 0 ? produce(queue, me) : consume(queue, me);
    });

    JobQueue queue = segment.queue(0);
    for (std::uint32_t i = 0; i < kShape.capacity; ++i) {
        const std::uint64_t word = queue.record(i).word.load();
        if (JobWord::unpack(word).state == JobState::Dead) {
            EXPECT_TRUE(queue.retry((word >> 32U << 32U) | i));
        }
    }
    const Owner last{1, 0};
    while (const auto job = queue.take(last)) {
        execute(*job);
        EXPECT_TRUE(queue.ack(*job));
    }
    std::uint64_t accepted = 0;
    std::uint64_t lost = 0;
    for (std::uint32_t lane = 1; lane <= kWorkers; lane += 2) {
        for (std::uint64_t i = 0; i < kMostEach; ++i) {
            accepted += ledger->accepted[lane][i].load();
            lost += ledger->accepted[lane][i].load() != 0 && ledger->executed[lane][i].load() == 0
                        ? 1U
                        : 0U;
        }
    }
    std::printf("    %" PRIu64 " kills, %" PRIu64 " jobs new, %" PRIu64 " were there, %" PRIu64
                " lost, %" PRIu64 " twins\n",
                kMostKills, accepted, ledger->refused.load(), lost, ledger->twins.load());
    EXPECT_GT(accepted, kMostKills / 4);
    EXPECT_GT(ledger->refused.load(), kMostKills / 4);
    EXPECT_EQ(lost, 0U);
    EXPECT_EQ(ledger->twins.load(), 0U);
    for (std::uint64_t key = 0; key < kShape.capacity; ++key) {
        const auto submitted = queue.submit_once(last, key_of(key), {});
        EXPECT_TRUE(submitted && submitted->is_new) << "its capacity is whole, and each key free";
    }
}

}  // namespace
}  // namespace topsman::torture
