// Who submits a job may wait for its result.

#include "shm/job_queue.hpp"
#include "shm_test_helper.hpp"

#include <chrono>
#include <string>
#include <thread>

namespace topsman::shm {
namespace {

constexpr Owner kAsker{1, 1};
constexpr Owner kConsumer{2, 7};
constexpr Owner kMaster{0, 0};

bool never_over() noexcept {
    return false;
}

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

class JobResultsTest : public testing::Test {
  protected:
    JobResultsTest() {
        queue_.join(kAsker);
        queue_.join(kConsumer);
    }

    JobId ask(const std::string& text, Owner by = kAsker, const JobTerms& terms = {}) {
        return queue_.ask(by, bytes_of(text), terms).value();
    }

    TakenJob take() { return queue_.take(kConsumer).value(); }

    bool ack(const TakenJob& job, const std::string& result) {
        return queue_.ack(job.number, job.word, bytes_of(result));
    }

    /// "not yet", "= RESULT", "dead after 2", "late after 0", "dropped"
    std::string answer(JobId id) { return text_of(queue_.look_for(id)); }

    static std::string text_of(const Answer& answer) {
        switch (answer.state) {
            case AnswerState::NotYet:
                return "not yet";
            case AnswerState::Done:
                return "= " + std::string(reinterpret_cast<const char*>(answer.result.data()),
                                          answer.result.size());
            case AnswerState::DeadLetter:
                return "dead after " + std::to_string(answer.attempts);
            case AnswerState::TooLate:
                return "late after " + std::to_string(answer.attempts);
            case AnswerState::Dropped:
                break;
        }
        return "dropped";
    }

    void become_dead_letter() {
        for (std::uint32_t i = 0; i < kShape.max_attempts; ++i) {
            (void)queue_.nack(take());
        }
    }

    /// All places are free, and nobody asks for anything.
    void expect_nothing_is_left() {
        for (std::uint32_t i = 0; i < kShape.capacity; ++i) {
            EXPECT_EQ(queue_.results().asker(i).load(), 0U) << i;
        }
        std::uint32_t room = 0;
        while (queue_.submit(kAsker, {})) {
            ++room;
        }
        EXPECT_EQ(room, kShape.capacity);
    }

    static constexpr QueueShape kShape{.capacity = 5,
                                       .item_size = 100,
                                       .max_attempts = 2,
                                       .priorities = 1,
                                       .has_keys = true,
                                       .result_size = 20};
    std::byte* memory_ = static_cast<std::byte*>(shared_memory(queue_bytes(kShape)));
    std::span<Lane> lanes_{static_cast<Lane*>(shared_memory(sizeof(Lane) * 32)), 32};
    JobQueue queue_{memory_, kShape, lanes_};
};

TEST_F(JobResultsTest, TheResultOfAJobIsForWhoHasAskedForIt) {
    const JobId cat = ask("cat");
    const JobId dog = ask("dog");
    EXPECT_EQ(answer(cat), "not yet");
    const TakenJob first = take();
    EXPECT_EQ(answer(cat), "not yet") << "it runs";
    EXPECT_TRUE(ack(take(), "wow"));
    EXPECT_EQ(answer(cat), "not yet");
    EXPECT_EQ(answer(dog), "= wow");
    EXPECT_TRUE(ack(first, "meow"));
    EXPECT_EQ(answer(cat), "= meow");
    EXPECT_EQ(answer(cat), "= meow") << "until it is withdrawn";
    queue_.withdraw(kAsker, cat);
    queue_.withdraw(kAsker, cat);
    EXPECT_EQ(answer(cat), "dropped");
    EXPECT_EQ(answer(dog), "= wow");
    queue_.withdraw(kAsker, dog);
    expect_nothing_is_left();
}

TEST_F(JobResultsTest, AResultMayBeEmptyAndAsLongAsItIsSaid) {
    const JobId id = ask("a");
    EXPECT_TRUE(queue_.ack(take()));
    EXPECT_EQ(answer(id), "= ");
    const JobId longest = ask("b");
    EXPECT_TRUE(ack(take(), std::string(kShape.result_size, 'x')));
    EXPECT_EQ(answer(longest), "= " + std::string(kShape.result_size, 'x'));
    EXPECT_EQ(answer(id), "= ");
}

TEST_F(JobResultsTest, AResultThatNobodyHasAskedForIsNotKept) {
    (void)queue_.submit(kAsker, bytes_of("a"));
    EXPECT_TRUE(ack(take(), "nobody reads this"));
    (void)queue_.submit_once(kAsker, JobKey(bytes_of("key")), bytes_of("a"));
    EXPECT_TRUE(ack(take(), "nor this"));
    expect_nothing_is_left();
}

TEST_F(JobResultsTest, AJobEndsOnce) {
    const JobId id = ask("a");
    const TakenJob job = take();
    EXPECT_TRUE(ack(job, "first"));
    EXPECT_FALSE(ack(job, "second"));
    EXPECT_EQ(queue_.nack(job), NackResult::NotYours);
    EXPECT_EQ(answer(id), "= first");
}

TEST_F(JobResultsTest, WhoActsLateDoesNotWriteOverTheResultOfTheNextJobThere) {
    const JobId first = ask("a");
    const TakenJob old = take();
    EXPECT_TRUE(ack(old, "first"));
    queue_.withdraw(kAsker, first);
    while (queue_.submit(kAsker, {})) {
    }
    while (const auto job = queue_.take(kConsumer)) {
        EXPECT_TRUE(queue_.ack(*job));
    }
    std::optional<JobId> here;
    while ((here = queue_.ask(kAsker, {})) && static_cast<std::uint32_t>(*here) != old.number) {
    }
    ASSERT_TRUE(here);
    while (const auto job = queue_.take(kConsumer)) {
        EXPECT_TRUE(ack(*job, "of the next"));
    }
    EXPECT_FALSE(ack(old, "of the old"));
    queue_.withdraw(kAsker, first);
    EXPECT_EQ(answer(*here), "= of the next");
}

TEST_F(JobResultsTest, AResultNobodyReadsKeepsItsJobsPlace) {
    std::vector<JobId> asked;
    while (const auto id = queue_.ask(kAsker, {})) {
        asked.push_back(*id);
        EXPECT_TRUE(ack(take(), "x"));
    }
    EXPECT_EQ(asked.size(), kShape.capacity);
    EXPECT_FALSE(queue_.submit(kConsumer, {})) << "it is full of results";
    queue_.withdraw(kAsker, asked.back());
    EXPECT_TRUE(queue_.submit(kConsumer, {}));
    EXPECT_FALSE(queue_.submit(kConsumer, {}));
}

TEST_F(JobResultsTest, WhoWithdrawsBeforeTheEndLeavesAJobLikeAllOthers) {
    queue_.withdraw(kAsker, ask("waits"));
    const JobId runs = ask("runs");
    EXPECT_TRUE(ack(take(), "x"));
    const TakenJob job = take();
    queue_.withdraw(kAsker, runs);
    EXPECT_TRUE(ack(job, "y"));
    expect_nothing_is_left();
}

TEST_F(JobResultsTest, ADeadLetterAnswersToo) {
    const JobId id = ask("a");
    EXPECT_EQ(queue_.nack(take()), NackResult::Again);
    EXPECT_EQ(answer(id), "not yet");
    EXPECT_EQ(queue_.nack(take()), NackResult::DeadLetter);
    EXPECT_EQ(answer(id), "dead after 2");
    EXPECT_TRUE(queue_.drop(id));
    EXPECT_EQ(answer(id), "dropped");
    queue_.withdraw(kAsker, id);
    const JobId late = ask("b", kAsker, {.now_ns = 1, .deadline_ns = 5, .priority = 0});
    EXPECT_FALSE(queue_.take(
        kConsumer, +[]() noexcept { return std::uint64_t{5}; }));
    EXPECT_EQ(answer(late), "late after 0");
    EXPECT_TRUE(queue_.retry(late));
    EXPECT_TRUE(ack(take(), "after all"));
    EXPECT_EQ(answer(late), "= after all") << "the asker has waited on";
    queue_.withdraw(kAsker, late);
    expect_nothing_is_left();
}

TEST_F(JobResultsTest, ADeadLetterThatNobodyAsksForAnyMoreIsOneLikeAllOthers) {
    const JobId id = ask("a");
    become_dead_letter();
    queue_.withdraw(kAsker, id);
    EXPECT_TRUE(queue_.retry(id));
    EXPECT_TRUE(ack(take(), "for nobody"));
    expect_nothing_is_left();
}

TEST_F(JobResultsTest, WhatADeadAskerHasAskedForIsFreed) {
    (void)ask("unread");
    EXPECT_TRUE(ack(take(), "x"));
    (void)ask("dead letter");
    become_dead_letter();
    (void)ask("runs");
    const TakenJob runs = take();
    (void)ask("waits");
    const JobId of_another = ask("another's", kConsumer);
    queue_.sweep(kAsker);
    EXPECT_TRUE(ack(runs, "y")) << "it is still the consumer's";
    EXPECT_TRUE(ack(take(), "z")) << "and this one is executed";
    EXPECT_TRUE(ack(take(), "for who lives"));
    EXPECT_EQ(answer(of_another), "= for who lives");
    queue_.withdraw(kConsumer, of_another);
    std::uint32_t room = 0;
    while (queue_.submit(kAsker, {})) {
        ++room;
    }
    EXPECT_EQ(room, kShape.capacity - 1) << "all but the dead letter";
}

TEST_F(JobResultsTest, WhoAskedBeforeTheConsumerDiedGoesOnWaiting) {
    const JobId id = ask("a");
    (void)take();
    queue_.sweep(kConsumer);
    EXPECT_EQ(answer(id), "not yet");
    queue_.join(kConsumer);
    (void)take();
    queue_.sweep(kConsumer);
    EXPECT_EQ(answer(id), "dead after 2");
}

TEST_F(JobResultsTest, TheMasterAsksForScripts) {
    const JobId id = ask("a", kMaster);
    EXPECT_TRUE(ack(take(), "x"));
    (void)ask("b", kMaster);
    queue_.sweep(kConsumer);
    EXPECT_EQ(answer(id), "= x") << "another's death";
    queue_.sweep(kMaster);
    EXPECT_TRUE(ack(take(), "y"));
    expect_nothing_is_left();
}

TEST_F(JobResultsTest, WhoWaitsIsWokenByTheResult) {
    constexpr int kRounds = 300;
    std::thread consumer([&] {
        for (int i = 0; i < kRounds; ++i) {
            const auto job = queue_.take_until(kConsumer, kNoDeadline, never_over);
            ASSERT_TRUE(job);
            // Now and then the other one is asleep by now.
            for (int spin = 0; spin < (i % 3) * 20'000; ++spin) {
                asm volatile("" ::: "memory");
            }
            const std::string item(reinterpret_cast<const char*>(job->item.data()),
                                   job->item.size());
            EXPECT_TRUE(ack(*job, item + "!"));
        }
    });
    for (int i = 0; i < kRounds; ++i) {
        const auto id =
            queue_.ask_until(kAsker, bytes_of(std::to_string(i)), {}, kNoDeadline, never_over);
        const Answer got = queue_.wait_for(kAsker, *id, kNoDeadline, never_over);
        EXPECT_EQ(text_of(got), "= " + std::to_string(i) + "!");
        queue_.withdraw(kAsker, *id);
    }
    consumer.join();
    expect_nothing_is_left();
}

/// Two threads of one lane: a wake-up for one is a look for both.
TEST_F(JobResultsTest, ThreadsOfOneProcessWaitForTheirOwn) {
    constexpr int kRounds = 200;
    const auto ask_again_and_again = [&](char mine) {
        for (int i = 0; i < kRounds; ++i) {
            const std::string item = mine + std::to_string(i);
            const auto id = queue_.ask_until(kAsker, bytes_of(item), {}, kNoDeadline, never_over);
            EXPECT_EQ(text_of(queue_.wait_for(kAsker, *id, kNoDeadline, never_over)), "= " + item);
            queue_.withdraw(kAsker, *id);
        }
    };
    std::thread one(ask_again_and_again, 'a');
    std::thread two(ask_again_and_again, 'b');
    for (int i = 0; i < 2 * kRounds; ++i) {
        const auto job = queue_.take_until(kConsumer, kNoDeadline, never_over);
        EXPECT_TRUE(queue_.ack(job->number, job->word, job->item));
    }
    one.join();
    two.join();
    expect_nothing_is_left();
}

TEST_F(JobResultsTest, NobodyWaitsLongerThanTheDeadline) {
    const JobId id = ask("a");
    const Deadline soon = Deadline::clock::now() + std::chrono::milliseconds(5);
    EXPECT_EQ(text_of(queue_.wait_for(kAsker, id, soon, never_over)), "not yet");
    EXPECT_GE(Deadline::clock::now(), soon);
    EXPECT_EQ(text_of(queue_.wait_for(
                  kAsker, id, kNoDeadline, +[]() noexcept { return true; })),
              "not yet");
}

/// Askers, consumers and withdrawals at once: every answer is that of its own job.
TEST(JobResultsThreadsTest, EachAnswerIsThatOfItsJob) {
    constexpr QueueShape kSmall{.capacity = 4,
                                .item_size = 8,
                                .max_attempts = 3,
                                .priorities = 1,
                                .has_keys = false,
                                .result_size = 64};
    constexpr std::uint32_t kAskers = 2;
    constexpr std::uint32_t kConsumers = 2;
    constexpr std::uint64_t kEach = 2'000;
    std::span<Lane> lanes{static_cast<Lane*>(shared_memory(sizeof(Lane) * 32)), 32};
    auto* memory = static_cast<std::byte*>(shared_memory(queue_bytes(kSmall)));
    static std::atomic<bool> over;
    over.store(false);
    const auto is_over = +[]() noexcept { return over.load(); };
    std::vector<std::thread> threads;
    std::atomic<std::uint32_t> right = 0;
    std::vector<std::thread> askers;
    for (std::uint32_t lane = 1; lane <= kAskers; ++lane) {
        askers.emplace_back([&, me = Owner{lane, 1}] {
            JobQueue queue(memory, kSmall, lanes);
            queue.join(me);
            for (std::uint64_t i = 0; i < kEach; ++i) {
                const std::uint64_t value = i * kAskers + me.lane;
                const auto id = queue.ask_until(me, std::as_bytes(std::span(&value, 1)), {},
                                                kNoDeadline, is_over);
                if (i % 4 != 0) {
                    const Answer got = queue.wait_for(me, *id, kNoDeadline, is_over);
                    std::array<std::uint64_t, 8> words{};
                    std::memcpy(words.data(), got.result.data(),
                                std::min(got.result.size(), sizeof(words)));
                    right += got.state == AnswerState::Done &&
                                     std::all_of(words.begin(), words.end(),
                                                 [&](std::uint64_t word) { return word == value; })
                                 ? 1
                                 : 0;
                }
                queue.withdraw(me, *id);
            }
        });
    }
    for (std::uint32_t lane = 1; lane <= kConsumers; ++lane) {
        threads.emplace_back([&, me = Owner{kAskers + lane, 1}] {
            JobQueue queue(memory, kSmall, lanes);
            queue.join(me);
            while (const auto job = queue.take_until(me, kNoDeadline, is_over)) {
                std::array<std::uint64_t, 8> words{};
                std::memcpy(words.data(), job->item.data(), sizeof(std::uint64_t));
                words.fill(words[0]);
                EXPECT_TRUE(queue.ack(job->number, job->word, std::as_bytes(std::span(words))));
            }
        });
    }
    for (std::thread& thread : askers) {
        thread.join();
    }
    over.store(true);
    wake_everyone(lanes);
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(right.load(), kAskers * kEach * 3 / 4);
    // What was withdrawn is executed now, and frees its place.
    JobQueue last(memory, kSmall, lanes);
    while (const auto job = last.take({9, 1})) {
        EXPECT_TRUE(last.ack(*job));
    }
    std::uint32_t room = 0;
    while (last.submit({9, 1}, {})) {
        ++room;
    }
    EXPECT_EQ(room, kSmall.capacity);
}

}  // namespace
}  // namespace topsman::shm
