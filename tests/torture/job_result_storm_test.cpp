// Askers that wait for the results of their jobs, or do not, and consumers, killed at random: each
// answer is that of its job, nobody waits for ever, and who has gone leaves nothing.

#include "endless_storm.hpp"
#include "shm/base/check.hpp"

#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace topsman::torture {
namespace {

using shm::Answer;
using shm::AnswerState;
using shm::JobQueue;
using shm::JobState;
using shm::JobWord;
using shm::Owner;

constexpr std::uint32_t kWorkers = 6;  // odd lanes ask, even ones answer
constexpr std::uint64_t kMostKills = 2'000;
constexpr shm::QueueShape kShape{.capacity = 5,
                                 .item_size = 16,
                                 .max_attempts = 4,
                                 .priorities = 1,
                                 .has_keys = false,
                                 .result_size = 80};

/// Outside of the segment.
struct Ledger {
    std::atomic<bool> is_over;
    std::atomic<std::uint64_t> right;   ///< answers
    std::atomic<std::uint64_t> wrong;   ///< of another job, or half of one
    std::atomic<std::uint64_t> failed;  ///< dead letters
    std::atomic<std::uint64_t> lost;    ///< it was dropped, and nobody drops here
    std::atomic<std::uint64_t> left;    ///< not waited for
    std::atomic<std::uint64_t> progress[kWorkers + 1];
};

struct Item {
    std::uint64_t lane;
    std::uint64_t number;
};

using Result = std::array<Item, kShape.result_size / sizeof(Item)>;

class JobResultStormTest : public EndlessStormTest<Ledger> {
  protected:
    JobResultStormTest() : EndlessStormTest("results") {}

    static void note(const Answer& answer, const Item& item) {
        Result result{};
        result.fill(item);
        switch (answer.state) {
            case AnswerState::Done: {
                const bool is_right =
                    answer.result.size() == sizeof(result) &&
                    std::memcmp(answer.result.data(), result.data(), sizeof(result)) == 0;
                (is_right ? ledger->right : ledger->wrong).fetch_add(1);
                break;
            }
            case AnswerState::DeadLetter:
                ledger->failed.fetch_add(1);
                break;
            case AnswerState::NotYet:
                ledger->left.fetch_add(1);
                break;
            case AnswerState::TooLate:
            case AnswerState::Dropped:
                ledger->lost.fetch_add(1);
        }
    }

    /// Every third one it does not wait for.
    static void ask(JobQueue& queue, Owner me) {
        std::atomic<std::uint64_t>& next = ledger->progress[me.lane];
        while (!is_over()) {
            const Item item{me.lane, next.load()};
            const auto id = queue.ask_until(me, std::as_bytes(std::span(&item, 1)), {},
                                            shm::kNoDeadline, is_over);
            if (!id) {
                return;
            }
            const shm::Deadline until = item.number % 3 == 0 ? shm::Deadline{} : shm::kNoDeadline;
            note(queue.wait_for(me, *id, until, is_over), item);
            queue.withdraw(me, *id);
            (void)queue.drop(*id);  // if it is a dead letter
            next.store(item.number + 1);
        }
    }

    /// Every fiftieth one it does not manage.
    static void answer(JobQueue& queue, Owner me) {
        while (const auto job = queue.take_until(me, shm::kNoDeadline, is_over)) {
            Item item{};
            CHECK(job->item.size() == sizeof(item));
            std::memcpy(&item, job->item.data(), sizeof(item));
            ledger->progress[me.lane].fetch_add(1);
            if (item.number % 50 == 49) {
                if (queue.nack(*job) == shm::NackResult::DeadLetter) {
                    forget_dead_letters(queue);
                }
                continue;
            }
            Result result{};
            result.fill(item);
            CHECK(queue.ack(job->number, job->word, std::as_bytes(std::span(result))));
        }
    }

    /// Else they are what all places are full of some time.
    static void forget_dead_letters(JobQueue& queue) {
        for (std::uint32_t i = 0; i < kShape.capacity; ++i) {
            const std::uint64_t word = queue.record(i).word.load();
            if (JobWord::unpack(word).state == JobState::Dead &&
                queue.results().asker(i).load() == 0) {
                (void)queue.drop(shm::job_id(i, word));
            }
        }
    }
};

TEST_F(JobResultStormTest, EachAnswerIsThatOfItsJobWhoeverIsKilled) {
    shm::Segment segment =
        shm::Segment::create({.name = name_, .lanes = kWorkers, .queues = {{"asked", kShape}}})
            .value();
    storm(segment, kMostKills, [&](Owner me) {
        JobQueue queue = segment.queue(0);
        queue.join(me);
        forget_dead_letters(queue);
        me.lane % 2 != 0 ? ask(queue, me) : answer(queue, me);
    });

    JobQueue queue = segment.queue(0);
    const Owner last{1, 0};
    while (const auto job = queue.take(last)) {
        EXPECT_TRUE(queue.ack(*job));
    }
    forget_dead_letters(queue);
    std::printf("    %" PRIu64 " answers, %" PRIu64 " dead letters, %" PRIu64
                " not waited for, %" PRIu64 " wrong, %" PRIu64 " lost\n",
                ledger->right.load(), ledger->failed.load(), ledger->left.load(),
                ledger->wrong.load(), ledger->lost.load());
    EXPECT_GT(ledger->right.load(), kMostKills / 4);
    EXPECT_GT(ledger->failed.load(), 0U);
    EXPECT_GT(ledger->left.load(), 0U);
    EXPECT_EQ(ledger->wrong.load(), 0U);
    EXPECT_EQ(ledger->lost.load(), 0U);
    for (std::uint32_t i = 0; i < kShape.capacity; ++i) {
        EXPECT_EQ(queue.results().asker(i).load(), 0U) << "nobody asks any more";
        EXPECT_TRUE(queue.submit(last, {})) << "its capacity is whole";
    }
}

}  // namespace
}  // namespace topsman::torture
