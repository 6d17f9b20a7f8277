// Producers and consumers of one queue, killed at random while they work and while they wait,
// beside a ledger outside: nothing that was acknowledged is lost.

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

constexpr std::uint32_t kWorkers = 8;  // odd lanes submit, even ones take
constexpr std::uint64_t kMostKills = 5'000;
constexpr std::uint64_t kMostEach = 4'000'000;
constexpr shm::QueueShape kShape{.capacity = 100, .item_size = 64, .max_attempts = 3};

/// Outside of the segment: what producers know to be accepted and consumers have executed.
struct Ledger {
    std::atomic<bool> is_over;
    std::atomic<std::uint64_t> progress[kWorkers + 1];
    std::atomic<std::uint8_t> accepted[kWorkers + 1][kMostEach];
    std::atomic<std::uint8_t> executed[kWorkers + 1][kMostEach];
};

Ledger*& ledger = EndlessStormTest<Ledger>::ledger;
constexpr auto is_over = EndlessStormTest<Ledger>::is_over;

struct Item {
    std::uint64_t lane;
    std::uint64_t number;
    std::uint64_t sum[6];  // that it is whole
};

Item item_of(std::uint64_t lane, std::uint64_t number) {
    Item item{lane, number, {}};
    for (std::uint64_t& word : item.sum) {
        word = lane ^ number;
    }
    return item;
}

void produce(JobQueue& queue, Owner me) {
    std::atomic<std::uint64_t>& next = ledger->progress[me.lane];
    while (!is_over() && next.load() < kMostEach) {
        const std::uint64_t number = next.load();
        const Item item = item_of(me.lane, number);
        const auto id = queue.submit_until(me, std::as_bytes(std::span(&item, 1)), {},
                                           shm::kNoDeadline, is_over);
        if (id) {
            ledger->accepted[me.lane][number].store(1);
        }
        next.store(number + 1);
    }
}

bool execute(const shm::TakenJob& job) {
    Item item{};
    CHECK(job.item.size() == sizeof(item));
    std::memcpy(&item, job.item.data(), sizeof(item));
    const Item whole = item_of(item.lane, item.number);
    CHECK(std::memcmp(&item, &whole, sizeof(item)) == 0);
    return ledger->executed[item.lane][item.number].fetch_add(1) == 0;
}

void consume(JobQueue& queue, Owner me) {
    while (const auto job = queue.take_until(me, shm::kNoDeadline, is_over)) {
        (void)execute(*job);
        ledger->progress[me.lane].fetch_add(1);
        (void)::sched_yield();  // so that some die with a job in their hands
        CHECK(queue.ack(*job));
    }
}

class JobStormTest : public EndlessStormTest<Ledger> {
  protected:
    JobStormTest() : EndlessStormTest("jobs") {}
};

TEST_F(JobStormTest, NothingThatWasAcceptedIsLostWhoeverIsKilled) {
    shm::Segment segment =
        shm::Segment::create({.name = name_, .lanes = kWorkers, .queues = {{"jobs", kShape}}})
            .value();
    storm(segment, kMostKills, [&](Owner me) {
        JobQueue queue = segment.queue(0);
        queue.join(me);
        me.lane % 2 != 0 ? produce(queue, me) : consume(queue, me);
    });

    JobQueue queue = segment.queue(0);
    std::uint64_t dead_letters = 0;
    for (std::uint32_t i = 0; i < kShape.capacity; ++i) {
        const std::uint64_t word = queue.record(i).word.load();
        if (JobWord::unpack(word).state == JobState::Dead) {
            ++dead_letters;
            EXPECT_TRUE(queue.retry((word >> 32U << 32U) | i));
        }
    }
    const Owner last{1, 0};
    while (const auto job = queue.take(last)) {
        (void)execute(*job);
        EXPECT_TRUE(queue.ack(*job));
    }
    std::uint64_t accepted = 0;
    std::uint64_t lost = 0;
    std::uint64_t again = 0;
    for (std::uint32_t lane = 1; lane <= kWorkers; lane += 2) {
        for (std::uint64_t i = 0; i < kMostEach; ++i) {
            const std::uint8_t times = ledger->executed[lane][i].load();
            accepted += ledger->accepted[lane][i].load();
            lost += ledger->accepted[lane][i].load() != 0 && times == 0 ? 1U : 0U;
            again += times > 1 ? times - 1U : 0U;
        }
    }
    std::printf("    %" PRIu64 " kills, %" PRIu64 " jobs accepted, %" PRIu64 " lost, %" PRIu64
                " executed again, %" PRIu64 " dead letters\n",
                kMostKills, accepted, lost, again, dead_letters);
    EXPECT_GT(accepted, kMostKills);
    EXPECT_EQ(lost, 0U);
    EXPECT_LE(again, kMostKills) << "a death repeats one job at most";
    for (int round = 0; round < 3; ++round) {
        std::uint32_t there = 0;
        while (queue.submit(last, {})) {
            ++there;
        }
        EXPECT_EQ(there, kShape.capacity) << "its capacity is whole";
        while (const auto job = queue.take(last)) {
            EXPECT_TRUE(queue.ack(*job));
        }
    }
}

}  // namespace
}  // namespace topsman::torture
