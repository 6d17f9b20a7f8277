// Jobs whose submitter waits for the result, as the one sees them who executes them: it answers, or
// fails for the last time, and may be dead before anybody has heard of it.

#include "expect.hpp"
#include "job_result_operation.hpp"
#include "shm/base/check.hpp"
#include "shm/sweep.hpp"

namespace topsman::torture::asked {
namespace {

using shm::TakenJob;

constexpr std::uint64_t kDeadline = 5;
constexpr std::uint32_t kLastAttempt = kAskedQueue.max_attempts;

/// The victim takes the job that another one waits for, and ends it.
class AnswerIt : public ResultOperation {
  public:
    [[nodiscard]] std::string name() const override { return "job ack with a result"; }

    void prepare(const Arena& /*arena*/, JobQueue& queue, Notes& notes) override {
        notes.awaited = ask(queue, kSleeper, kAwaited);
    }

    void run(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        if (const auto job = queue.take(kVictim)) {
            (void)answer(queue, *job);
        }
    }

    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        use_all_places(queue, arena.in_scratch<Notes>());
    }

    std::string check(JobQueue& queue, const Notes& notes, Fate /*fate*/) override {
        return awaited_answer(queue, notes);
    }
};

/// Who waits goes while the victim is at it: it withdraws, or dies.
class AnswerNobody : public AnswerIt {
  public:
    explicit AnswerNobody(bool dies) : dies_(dies) {}

    [[nodiscard]] std::string name() const override {
        return dies_ ? "job ack for one who dies" : "job ack for one who withdraws";
    }

    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        Notes& notes = arena.in_scratch<Notes>();
        if (dies_) {
            (void)queue.sweep(kSleeper);
        } else {
            queue.withdraw(kSleeper, notes.awaited);
        }
        use_all_places(queue, notes);
    }

    std::string check(JobQueue& queue, const Notes& notes, Fate fate) override {
        return fate.peers_ran ? "" : awaited_answer(queue, notes);
    }

  private:
    bool dies_;
};

/// It acks once more, and otherwise, what it has acked and its asker has not read.
class AnswerTwice : public ResultOperation {
  public:
    [[nodiscard]] std::string name() const override { return "job ack with a result, twice"; }

    void prepare(const Arena& /*arena*/, JobQueue& queue, Notes& notes) override {
        notes.victims = ask(queue, kVictim, kVictims);
        old_ = queue.take(kVictim).value();
        CHECK(answer(queue, old_));
    }

    void run(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        const Result other = result_of(kAwaited);
        if (queue.ack(old_.number, old_.word, std::as_bytes(std::span(&other, 1)))) {
            complain(arena.in_scratch<Notes>(), "a job has ended twice");
        }
    }

    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        use_all_places(queue, arena.in_scratch<Notes>());
    }

    std::string check(JobQueue& queue, const Notes& notes, Fate /*fate*/) override {
        return still_asks(queue, kVictim, notes.victims) &&
                       !is_result_of(queue.look_for(notes.victims).result, kVictims)
                   ? "the answer has changed"
                   : "";
    }

  private:
    TakenJob old_;
};

/// The victim fails with the job for the last time: who waits hears of it.
class FailForTheLastTime : public ResultOperation {
  public:
    explicit FailForTheLastTime(bool is_late) : is_late_(is_late) {}

    [[nodiscard]] std::string name() const override {
        return is_late_ ? "job too late, of one who waits" : "job nack, of one who waits";
    }

    void prepare(const Arena& /*arena*/, JobQueue& queue, Notes& notes) override {
        const std::uint32_t value = kAwaited;
        const shm::JobTerms terms{
            .now_ns = 1, .deadline_ns = is_late_ ? kDeadline : 0, .priority = 0};
        notes.awaited = queue.ask(kSleeper, std::as_bytes(std::span(&value, 1)), terms).value();
        for (std::uint32_t i = 1; !is_late_ && i < kLastAttempt; ++i) {
            (void)queue.nack(queue.take(kPeer).value());
        }
    }

    void run(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        if (const auto job = queue.take(kVictim, clock)) {
            (void)queue.nack(*job);
        }
    }

    std::string check(JobQueue& queue, const Notes& notes, Fate /*fate*/) override {
        const Answer got = queue.look_for(notes.awaited);
        if (is_late_) {
            // The verifier takes it too late, too.
            const bool is_right = got.state == AnswerState::TooLate && got.attempts == 0;
            if (is_right) {
                CHECK(queue.drop(notes.awaited));
            }
            return is_right ? "" : "who waits does not know that it was too late";
        }
        return (got.state == AnswerState::DeadLetter && got.attempts == kLastAttempt) ||
                       awaited_answer(queue, notes).empty()
                   ? ""
                   : "who waits does not know of the dead letter";
    }

  private:
    static std::uint64_t clock() noexcept { return kDeadline; }

    bool is_late_;
};

/// Somebody forgets the dead letter that another one waits for.
class DropAwaited : public FailForTheLastTime {
  public:
    DropAwaited() : FailForTheLastTime(false) {}

    [[nodiscard]] std::string name() const override { return "job drop, of one who waits"; }

    void prepare(const Arena& arena, JobQueue& queue, Notes& notes) override {
        FailForTheLastTime::prepare(arena, queue, notes);
        (void)queue.nack(queue.take(kPeer).value());
    }

    void run(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        (void)queue.drop(arena.in_scratch<Notes>().awaited);
    }

    /// Its place is used by jobs that nobody asks about.
    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        Notes& notes = arena.in_scratch<Notes>();
        (void)queue.drop(notes.awaited);
        for (std::uint32_t i = 0; i < kRounds; ++i) {
            const std::uint32_t value = kFromPeers + i;
            CHECK(queue.submit(kPeer, std::as_bytes(std::span(&value, 1))));
            CHECK(execute_one(queue, notes));
        }
    }

    std::string check(JobQueue& queue, const Notes& notes, Fate fate) override {
        const AnswerState state = queue.look_for(notes.awaited).state;
        const bool may_be_there = !fate.is_done && !fate.peers_ran;
        return state == AnswerState::Dropped || (may_be_there && state == AnswerState::DeadLetter)
                   ? ""
                   : "who waits does not know that it was dropped";
    }
};

TEST(TortureTest, JobAnswer) {
    SKIP_WITHOUT_PTRACE();
    AnswerIt operation;
    expect_survives(operation);
}

TEST(TortureTest, JobAnswerTwice) {
    SKIP_WITHOUT_PTRACE();
    AnswerTwice operation;
    expect_survives(operation);
}

TEST(TortureTest, JobAnswerForNobody) {
    SKIP_WITHOUT_PTRACE();
    for (const bool dies : {false, true}) {
        AnswerNobody operation(dies);
        expect_survives(operation);
    }
}

TEST(TortureTest, JobFailureOfOneWhoWaits) {
    SKIP_WITHOUT_PTRACE();
    for (const bool is_late : {false, true}) {
        FailForTheLastTime operation(is_late);
        expect_survives(operation);
    }
    DropAwaited drop;
    expect_survives(drop);
}

}  // namespace
}  // namespace topsman::torture::asked
