// Jobs whose submitter waits for the result: whoever dies, it gets the right one, or hears why
// there is none; and who has gone leaves nothing.

#include "asked_queue.hpp"
#include "expect.hpp"
#include "meeting.hpp"
#include "shm/base/check.hpp"
#include "shm/sweep.hpp"

#include <cstring>

namespace topsman::torture {
namespace {

using shm::Answer;
using shm::AnswerState;
using shm::JobId;
using shm::JobQueue;
using shm::JobState;
using shm::JobWord;
using shm::TakenJob;

using asked::answer;
using asked::ask;
using asked::is_result_of;
using asked::queue_of;
using asked::Result;
using asked::result_of;
using asked::still_asks;
using asked::value_of;
using asked::withdraw;

using asked::kAwaited;
using asked::kFromPeers;
using asked::kRounds;
using asked::kSleeper;
using asked::kValues;
using asked::kVictims;

constexpr std::uint64_t kDeadline = 5;
constexpr std::uint32_t kLastAttempt = kAskedQueue.max_attempts;

/// What was said and done, outside of the queue.
struct Notes {
    JobId victims;  ///< that it has asked for, or shall look at
    JobId peers[kAskedQueue.capacity];
    JobId awaited;  ///< that the sleeping one has asked for
    Result read;    ///< by the victim
    std::uint32_t has_read;
    std::uint32_t executed[kValues];
    char wrong[100];
};

void complain(Notes& notes, const char* sentence) {
    std::snprintf(notes.wrong, sizeof notes.wrong, "%s", sentence);
}

class ResultOperation : public Operation {
  public:
    /// Without a sweep everything must be whole, too.
    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        for (const Owner owner : {kVictim, kPeer, kSleeper}) {
            queue.join(owner);
        }
        new (arena.scratch.data()) Notes{};
        prepare(arena, queue, arena.in_scratch<Notes>());
        let_sleep(arena, kSleeper, asked::askers_of(queue));
    }

    std::string verify(Arena& arena, Fate fate) override {
        JobQueue queue = queue_of(arena);
        Notes notes = arena.in_scratch<Notes>();
        if (notes.wrong[0] != '\0') {
            return notes.wrong;
        }
        if (asked::sleeps_on(arena, queue, kSleeper, notes.awaited)) {
            return "there is an answer, and who waits for it sleeps";
        }
        while (execute_one(queue, notes)) {
        }
        if (std::string wrong = check(queue, notes, fate); !wrong.empty()) {
            return wrong;
        }
        for (const JobId id : {notes.awaited, notes.victims}) {
            drop_dead_letter(queue, id);
        }
        withdraw(queue, kSleeper, notes.awaited);
        withdraw(queue, kVictim, notes.victims);
        return asked::what_is_left(queue, kPeer);
    }

  protected:
    virtual void prepare(const Arena& /*arena*/, JobQueue& /*queue*/, Notes& /*notes*/) {}

    /// Once all that was ready has been executed.
    virtual std::string check(JobQueue& queue, const Notes& notes, Fate fate) = 0;

    static bool execute_one(JobQueue& queue, Notes& notes) {
        const auto job = queue.take(kPeer);
        if (job) {
            ++notes.executed[value_of(*job)];
            CHECK(answer(queue, *job));
        }
        return job.has_value();
    }

    /// Each place is asked for anew, by others, answered and read.
    static void use_all_places(JobQueue& queue, Notes& notes) {
        for (std::uint32_t i = 0; i < kRounds; ++i) {
            const JobId mine = ask(queue, kPeer, kFromPeers + i);
            if (mine == 0) {
                complain(notes, "there is no room for the peers' jobs");
                return;
            }
            while (execute_one(queue, notes)) {
            }
            const Answer got = queue.look_for(mine);
            if (got.state != AnswerState::Done || !is_result_of(got.result, kFromPeers + i)) {
                complain(notes, "a peer's question has no answer, or another's");
            }
            withdraw(queue, kPeer, mine);
        }
    }

    static std::string awaited_answer(const JobQueue& queue, const Notes& notes) {
        return asked::awaited_answer(queue, notes.awaited);
    }

  private:
    static void drop_dead_letter(JobQueue& queue, JobId id) {
        if (id != 0 && queue.look_for(id).state == AnswerState::DeadLetter) {
            CHECK(queue.drop(id));
        }
    }
};

/// The victim asks. Meanwhile another one's death is swept, which rings whatever is ready, and
/// peers execute it.
class Ask : public ResultOperation {
  public:
    explicit Ask(bool lives_on) : lives_on_(lives_on) {}

    [[nodiscard]] std::string name() const override {
        return lives_on_ ? "job ask" : "job ask, and die";
    }

    [[nodiscard]] bool lives_on() const override { return lives_on_; }

    void run(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        arena.in_scratch<Notes>().victims = ask(queue, kVictim, kVictims);
    }

    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        constexpr Owner kDead{4, 1};
        queue.join(kDead);
        (void)queue.sweep(kDead);
        use_all_places(queue, arena.in_scratch<Notes>());
    }

    std::string check(JobQueue& queue, const Notes& notes, Fate fate) override {
        const std::uint32_t times = notes.executed[kVictims];
        if (times > 1 || (fate.is_done && times != 1)) {
            return "the victim's job was executed " + std::to_string(times) + " times";
        }
        // Only one who was not swept still has an answer.
        const bool lives = lives_on_ && fate.is_done && fate.peers_ran &&
                           still_asks(queue, kVictim, notes.victims);
        return lives && queue.look_for(notes.victims).state != AnswerState::Done
                   ? "the victim's question has no answer"
                   : "";
    }

  private:
    bool lives_on_;
};

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

/// The victim has its answer, or not yet; it looks, copies and withdraws.
class ReadAnswer : public ResultOperation {
  public:
    explicit ReadAnswer(bool is_there) : is_there_(is_there) {}

    [[nodiscard]] std::string name() const override {
        return is_there_ ? "job result read" : "job result not waited for";
    }

    void prepare(const Arena& /*arena*/, JobQueue& queue, Notes& notes) override {
        notes.victims = ask(queue, kVictim, kVictims);
        if (is_there_) {
            CHECK(execute_one(queue, notes));
        }
    }

    void run(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        Notes& notes = arena.in_scratch<Notes>();
        const Answer got = queue.look_for(notes.victims);
        if (got.state == AnswerState::Done) {
            std::memcpy(&notes.read, got.result.data(),
                        std::min(got.result.size(), sizeof(Result)));
            notes.has_read = 1;
        }
        queue.withdraw(kVictim, notes.victims);
    }

    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        use_all_places(queue, arena.in_scratch<Notes>());
    }

    std::string check(JobQueue& /*queue*/, const Notes& notes, Fate fate) override {
        if (notes.executed[kVictims] != 1) {
            return "the victim's job was executed " + std::to_string(notes.executed[kVictims]) +
                   " times";
        }
        if (fate.is_done && is_there_ && notes.has_read == 0) {
            return "the victim has not seen its answer";
        }
        return fate.is_done && notes.has_read != 0 &&
                       !is_result_of(std::as_bytes(std::span(&notes.read, 1)), kVictims)
                   ? "the victim has read another's answer"
                   : "";
    }

  private:
    bool is_there_;
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

/// It withdraws once more what it has withdrawn, and the place is another's meanwhile.
class WithdrawTwice : public ResultOperation {
  public:
    [[nodiscard]] std::string name() const override { return "job result withdrawn twice"; }

    void prepare(const Arena& /*arena*/, JobQueue& queue, Notes& notes) override {
        old_ = ask(queue, kVictim, kVictims);
        CHECK(execute_one(queue, notes));
        queue.withdraw(kVictim, old_);
        while (notes.awaited == 0 ||
               static_cast<std::uint32_t>(notes.awaited) != static_cast<std::uint32_t>(old_)) {
            withdraw(queue, kSleeper, notes.awaited);
            while (execute_one(queue, notes)) {
            }
            notes.awaited = ask(queue, kSleeper, kAwaited);
        }
    }

    void run(const Arena& arena) override { queue_of(arena).withdraw(kVictim, old_); }

    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        use_all_places(queue, arena.in_scratch<Notes>());
    }

    std::string check(JobQueue& queue, const Notes& notes, Fate /*fate*/) override {
        return awaited_answer(queue, notes);
    }

  private:
    JobId old_ = 0;
};

/// The master sweeps one who has asked four times, and held what another one waits for.
class ResultSweep : public ResultOperation {
  public:
    [[nodiscard]] std::string name() const override { return "job results sweep"; }

    void prepare(const Arena& /*arena*/, JobQueue& queue, Notes& notes) override {
        (void)ask(queue, kVictim, kVictims);  // executed, and not read
        CHECK(execute_one(queue, notes));
        const JobId stale = ask(queue, kVictim, kVictims);  // the same, and no longer asked for
        CHECK(execute_one(queue, notes));
        queue.results().asker(static_cast<std::uint32_t>(stale)).store(0);
        notes.awaited = ask(queue, kSleeper, kAwaited);
        const TakenJob held = queue.take(kVictim).value();
        (void)held;
        (void)ask(queue, kVictim, kVictims);  // waits
        const JobId half = ask(queue, kVictim, kVictims);
        // A half written one: only its asker is there.
        const auto number = static_cast<std::uint32_t>(half);
        auto& word = const_cast<shm::JobRecord&>(queue.record(number)).word;
        word.store(JobWord{JobState::Writing, kVictim.lane, kVictim.generation, 0,
                           static_cast<std::uint32_t>(half >> 32U)}
                       .pack());
        reinterpret_cast<shm::LaneSet&>(asked::askers_of(queue)).insert(kVictim.lane);
    }

    void run(const Arena& arena) override { (void)queue_of(arena).sweep(kVictim); }

    /// They ask in each place that is free, and read the results later.
    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        Notes& notes = arena.in_scratch<Notes>();
        for (JobId& asked : notes.peers) {
            asked = ask(queue, kPeer, kFromPeers);
        }
        while (execute_one(queue, notes)) {
        }
    }

    std::string check(JobQueue& queue, const Notes& notes, Fate fate) override {
        if (fate.is_done && queue.control().askers.has(kVictim.lane)) {
            return "the dead one goes on waiting";
        }
        for (const JobId asked : notes.peers) {
            if (asked != 0 && !is_result_of(queue.look_for(asked).result, kFromPeers)) {
                return "a peer's question has no answer, or another's";
            }
            withdraw(queue, kPeer, asked);
        }
        return awaited_answer(queue, notes);
    }
};

TEST(TortureTest, JobAsk) {
    SKIP_WITHOUT_PTRACE();
    for (const bool lives_on : {false, true}) {
        Ask operation(lives_on);
        expect_survives(operation);
    }
}

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

TEST(TortureTest, JobResultWithdrawnTwice) {
    SKIP_WITHOUT_PTRACE();
    WithdrawTwice operation;
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

TEST(TortureTest, JobResultRead) {
    SKIP_WITHOUT_PTRACE();
    for (const bool is_there : {false, true}) {
        ReadAnswer operation(is_there);
        expect_survives(operation);
    }
}

TEST(TortureTest, JobResultSweep) {
    SKIP_WITHOUT_PTRACE();
    ResultSweep operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
