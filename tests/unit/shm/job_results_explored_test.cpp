// Asking for results, answering, withdrawing and sweeping, in every interleaving of two processes,
// of which one may die before any of its steps.

#define shm_explored shm_explored_results  // NOLINT: not what another test's file has
#include "explored_queue.hpp"

namespace topsman::shm {
namespace {

constexpr QueueShape kShape{.capacity = 1,
                            .item_size = 8,
                            .max_attempts = 2,
                            .priorities = 1,
                            .has_keys = false,
                            .result_size = 8};
constexpr Owner kAsker{1, 1};
constexpr Owner kConsumer{2, 1};
constexpr Owner kThird{3, 1};

class JobResultsExploredTest : public ExploredQueue {
  protected:
    JobResultsExploredTest() : ExploredQueue(kShape) {}

    static std::uint64_t number_in(std::span<const std::byte> bytes) {
        std::uint64_t value = 0;
        std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(value)));
        return value;
    }

    static std::span<const std::byte> bytes_of(const std::uint64_t& value) {
        return std::as_bytes(std::span(&value, 1));
    }

    JobId ask(Owner by, std::uint64_t value) { return queue().ask(by, bytes_of(value)).value(); }

    /// The result of n is 10 n.
    bool answer(Owner by, const TakenJob& job) {
        (void)by;
        const std::uint64_t result = 10 * number_in(job.item);
        return queue().ack(job.number, job.word, bytes_of(result));
    }

    bool take_and_answer(Owner by) {
        const auto job = queue().take(by);
        return job && answer(by, *job);
    }

    /// Looks once, and withdraws whatever it saw.
    void look_and_withdraw(Owner me, JobId id, std::uint64_t expected) {
        const Answer seen = queue().look_for(id);
        if (seen.state == AnswerState::Done && number_in(seen.result) != expected) {
            wrong_ = "another's result, or half of one";
        }
        queue().withdraw(me, id);
    }

    /// What is awaited sleeps in the lane's word.
    void wait_and_withdraw(Owner me, JobId id) {
        looks = 0;  // to look more often before it sleeps changes nothing
        const Answer seen = queue().wait_for(
            me, id, kNoDeadline, +[]() noexcept { return false; });
        has_seen_ = seen.state;
        queue().withdraw(me, id);
    }

    /// Whoever has died: the place is free once all that is ready was executed.
    std::string end() {
        if (!wrong_.empty()) {
            return wrong_;
        }
        JobQueue last = queue();
        last.join(kVerifier);
        while (take_and_answer(kVerifier)) {
        }
        for (std::uint32_t i = 0; i < kShape.capacity; ++i) {
            const JobWord word = JobWord::unpack(last.record(i).word.load());
            if (word.state == JobState::Dead) {
                (void)last.drop(job_id(i, last.record(i).word.load()));
            } else if (last.results().asker(i).load() != 0) {
                return "somebody asks who has gone";
            } else if (word.state != JobState::Free) {
                return "a place is not free, in state " +
                       std::to_string(static_cast<int>(word.state));
            }
        }
        return last.submit(kVerifier, {}) ? "" : "there is no room";
    }

    explorer::Explored explore(const std::function<void()>& begin, const Processes& processes,
                               const std::vector<bool>& may_die,
                               const std::function<std::string(std::size_t dead)>& also = {}) {
        // The set of those who sleep, the job, its cell, and the lanes.
        return explore_in(
            between(&queue().control().askers, all().data() + all().size()),
            [&] {
                wrong_.clear();
                has_seen_ = AnswerState::NotYet;
                begin();
            },
            processes, may_die,
            [&](std::size_t dead, bool somebody_sleeps) {
                if (somebody_sleeps) {
                    return std::string("one sleeps for ever");
                }
                const std::string wrong = also ? also(dead) : "";
                return wrong.empty() ? end() : wrong;
            });
    }

    AnswerState has_seen_ = AnswerState::NotYet;
    std::string wrong_;
};

TEST_F(JobResultsExploredTest, OneWithdrawsWhileTheOtherAnswers) {
    JobId id = 0;
    std::optional<TakenJob> held;
    expect_right(explore(
        [&] {
            id = ask(kAsker, 7);
            held = queue().take(kConsumer);
        },
        {[&] { look_and_withdraw(kAsker, id, 70); }, [&] { (void)answer(kConsumer, *held); }},
        {true, true}));
}

TEST_F(JobResultsExploredTest, OneSleepsUntilTheOtherHasAnswered) {
    JobId id = 0;
    std::optional<TakenJob> held;
    expect_right(explore(
        [&] {
            id = ask(kAsker, 7);
            held = queue().take(kConsumer);
            (void)queue().nack(*held);
            held = queue().take(kConsumer);  // for the last time
        },
        {[&] { wait_and_withdraw(kAsker, id); }, [&] { (void)answer(kConsumer, *held); }},
        {true, true},
        [&](std::size_t dead) {
            const bool has_answer = has_seen_ == AnswerState::Done ||
                                    (dead == 1 && has_seen_ == AnswerState::DeadLetter);
            return dead == 0 || has_answer ? "" : "who has waited has no answer";
        }));
}

TEST_F(JobResultsExploredTest, OneSleepsUntilTheOtherHasGivenUp) {
    JobId id = 0;
    std::optional<TakenJob> held;
    expect_right(explore(
        [&] {
            id = ask(kAsker, 7);
            (void)queue().nack(*queue().take(kConsumer));
            held = queue().take(kConsumer);
        },
        {[&] { wait_and_withdraw(kAsker, id); }, [&] { (void)queue().nack(*held); }}, {true, true},
        [&](std::size_t dead) {
            return dead == 0 || has_seen_ == AnswerState::DeadLetter
                       ? ""
                       : "who has waited does not know of the dead letter";
        }));
}

/// The place is used for another's question while the consumer of the first is still at it.
TEST_F(JobResultsExploredTest, OneAnswersAJobThatWasAskedForByTheDeadWhileTheyAreSwept) {
    std::optional<TakenJob> held;
    expect_right(explore(
        [&] {
            (void)ask(kThird, 7);
            held = queue().take(kConsumer);
        },
        {[&] { (void)queue().sweep(kThird); }, [&] { (void)answer(kConsumer, *held); }},
        {false, true}));
}

TEST_F(JobResultsExploredTest, OneAnswersAndThePlaceIsAskedForAnew) {
    JobId id = 0;
    std::optional<TakenJob> held;
    expect_right(explore(
        [&] {
            id = ask(kAsker, 7);
            held = queue().take(kConsumer);
        },
        {[&] {
             look_and_withdraw(kAsker, id, 70);
             const std::uint64_t value = 8;
             if (const auto next = queue().ask(kAsker, bytes_of(value))) {
                 (void)take_and_answer(kAsker);
                 look_and_withdraw(kAsker, *next, 80);
             }
         },
         [&] { (void)answer(kConsumer, *held); }},
        {true, true}));
}

TEST_F(JobResultsExploredTest, OneReadsWhileAnothersDeathIsSwept) {
    JobId id = 0;
    expect_right(explore(
        [&] {
            id = ask(kAsker, 7);
            (void)take_and_answer(kConsumer);
        },
        {[&] { look_and_withdraw(kAsker, id, 70); }, [&] { (void)queue().sweep(kThird); }},
        {true, false}));
}

}  // namespace
}  // namespace topsman::shm
