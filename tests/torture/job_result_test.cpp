// Jobs whose submitter waits for the result, as it sees them: whoever dies, it gets the right one,
// or hears why there is none; and who has gone leaves nothing.

#include "expect.hpp"
#include "job_result_operation.hpp"
#include "shm/base/check.hpp"
#include "shm/sweep.hpp"

#include <cstring>

namespace topsman::torture::asked {
namespace {

using shm::JobState;
using shm::JobWord;
using shm::TakenJob;

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
        reinterpret_cast<shm::LaneSet&>(askers_of(queue)).insert(kVictim.lane);
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

TEST(TortureTest, JobResultWithdrawnTwice) {
    SKIP_WITHOUT_PTRACE();
    WithdrawTwice operation;
    expect_survives(operation);
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
}  // namespace topsman::torture::asked
