// The job queue: whoever dies in it, what was submitted is executed once more rather than never,
// and its capacity is whole.

#include "expect.hpp"
#include "job_operation.hpp"

namespace topsman::torture {
namespace {

class JobSubmit : public JobOperation {
  public:
    JobSubmit() : JobOperation(kVictims) {}

    [[nodiscard]] std::string name() const override { return "job submit"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        (void)submit(queue, kVictim, kVictims);
    }

    std::string check(JobQueue& /*queue*/, const Ledger& ledger, Fate fate) override {
        if (ledger[kVictims] > 1 || (fate.is_done && ledger[kVictims] != 1)) {
            return "it was executed " + std::to_string(ledger[kVictims]) + " times";
        }
        return ledger[0] == (fate.peers_ran ? kPeersRounds : 0) ? "" : "a job is not whole";
    }
};

/// By the master in its own lane, for a script. Its successor gives the half written one back.
class JobSubmitForAScript : public JobSubmit {
  public:
    [[nodiscard]] std::string name() const override { return "job submit, by the master"; }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        (void)submit(queue, Owner{}, kVictims);
    }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }
};

/// One that is taken before all that were there.
class JobSubmitUrgent : public JobSubmit {
  public:
    [[nodiscard]] std::string name() const override { return "job submit, urgent"; }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        const std::uint32_t value = kVictims;
        (void)queue.submit(kVictim, std::as_bytes(std::span(&value, 1)), {.priority = 1});
    }

    std::string verify(Arena& arena, Fate fate) override {
        JobQueue queue = arena.segment.queue(0);
        bool is_ready = false;
        for (std::uint32_t i = 0; i < queue.shape().capacity; ++i) {
            is_ready =
                is_ready || (queue.record(i).priority.load() == 1 &&
                             JobWord::unpack(queue.record(i).word.load()).state == JobState::Ready);
        }
        if (is_ready) {
            Ledger& ledger = arena.in_scratch<Ledger>();
            const std::uint32_t before = ledger[kVictims];
            if (!execute_one(queue, ledger) || ledger[kVictims] != before + 1) {
                return "another job was taken before it";
            }
        }
        return JobSubmit::verify(arena, fate);
    }
};

class JobTake : public JobOperation {
  public:
    JobTake() : JobOperation(kVictims) {}

    [[nodiscard]] std::string name() const override { return "job take"; }

    static constexpr std::uint32_t kOutOfReach = 1'000;

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        (void)queue.take(kVictim);
    }

    /// A taker that stands still keeps the others from its own job only.
    void peers(const Arena& arena) override {
        JobOperation::peers(arena);
        JobQueue queue = arena.segment.queue(0);
        auto& ledger = arena.in_scratch<Ledger>();
        while (execute_one(queue, ledger)) {
        }
        ledger[0] = count(queue, JobState::Ready) == 0 ? 0 : kOutOfReach;
    }

    // Whatever it has taken is executed by others once it is swept: none is special.
    std::string check(JobQueue& queue, const Ledger& ledger, Fate /*fate*/) override {
        if (ledger[0] == kOutOfReach) {
            return "a job was ready, and nobody could take it";
        }
        return dead_letters(queue) == 0 ? "" : "one attempt made a dead letter";
    }
};

/// The ring's first entry is stale: its job runs, and is in the ring a second time.
class JobTakeStale : public JobTake {
  public:
    [[nodiscard]] std::string name() const override { return "job take past a stale entry"; }

    void prepare(const Arena& arena, JobQueue& queue) override {
        auto& first = const_cast<shm::JobRecord&>(queue.record(0));
        first.place.store(12'345);
        (void)queue.sweep(Owner{});  // rings it once more, at the end
        CHECK(submit(queue, kPeer, kFromPeers - 2));
        const TakenJob job = take_as(queue, kPeer);
        CHECK(queue.ack(job));
        arena.in_scratch<Ledger>()[value_of(job)] = 1;
        for (std::uint32_t i = 1; i < kFirst; ++i) {  // now the stale one comes first
            const TakenJob other = take_as(queue, kPeer);
            CHECK(queue.ack(other));
            arena.in_scratch<Ledger>()[value_of(other)] = 1;
        }
        arena.in_scratch<Ledger>()[kFromPeers - 2] = 0;
    }

    std::string verify(Arena& arena, Fate fate) override {
        // The one that was submitted last is executed once, and does not count among the first.
        auto& ledger = arena.in_scratch<Ledger>();
        JobQueue queue = arena.segment.queue(0);
        while (execute_one(queue, ledger)) {
        }
        if (ledger[kFromPeers - 2] != 1) {
            return "the job behind it was executed " + std::to_string(ledger[kFromPeers - 2]) +
                   " times";
        }
        ledger[kFromPeers - 2] = 0;
        return JobTake::verify(arena, fate);
    }
};

/// The ring's first entry is of a job that a dead worker had taken, and that is swept meanwhile.
class JobTakePast : public JobOperation {
  public:
    JobTakePast() : JobOperation(kVictims) {}

    [[nodiscard]] std::string name() const override { return "job take past one of the dead"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void prepare(const Arena& /*arena*/, JobQueue& queue) override {
        queue.join(kDead);
        auto& word = const_cast<shm::JobRecord&>(queue.record(0)).word;
        JobWord first = JobWord::unpack(word.load());
        CHECK(first.state == JobState::Ready);
        first.state = JobState::Running;
        first.lane = kDead.lane;
        first.generation = kDead.generation;
        first.attempts = 1;
        word.store(first.pack());
    }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        if (const auto job = queue.take(kVictim)) {
            (void)queue.ack(*job);
        }
    }

    void peers(const Arena& arena) override { (void)arena.segment.queue(0).sweep(kDead); }

    std::string verify(Arena& arena, Fate /*fate*/) override {
        JobQueue queue = arena.segment.queue(0);
        (void)queue.sweep(kDead);
        Ledger ledger{};
        while (execute_one(queue, ledger)) {
        }
        std::uint32_t missing = 0;
        for (std::uint32_t value = 1; value <= kFirst; ++value) {
            if (ledger[value] > 1) {
                return "job " + std::to_string(value) + " was executed twice";
            }
            missing += ledger[value] == 0 ? 1U : 0U;
        }
        if (missing > 1) {  // one was the victim's
            return "a job is ready, and in the ring no more";
        }
        return is_whole(queue) ? "" : "its capacity is not whole";
    }

    std::string check(JobQueue& /*queue*/, const Ledger& /*ledger*/, Fate /*fate*/) override {
        return "";
    }

  private:
    static constexpr Owner kDead{kSleepySubmitter, 1};
};

class JobTakeAck : public JobOperation {
  public:
    JobTakeAck() : JobOperation(1) {}

    [[nodiscard]] std::string name() const override { return "job take and ack"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        if (const auto job = queue.take(kVictim)) {
            (void)queue.ack(*job);
        }
    }

    std::string verify(Arena& arena, Fate fate) override {
        // Frozen before its claim it finds another one later, or none: then that one is special.
        auto& ledger = arena.in_scratch<Ledger>();
        if (!fate.peers_ran) {
            return JobOperation::verify(arena, fate);
        }
        JobQueue queue = arena.segment.queue(0);
        while (execute_one(queue, ledger)) {
        }
        return one_is_missing_at_most(ledger, is_whole(queue));
    }

    std::string check(JobQueue& /*queue*/, const Ledger& ledger, Fate fate) override {
        if (fate.is_done && ledger[1] != 0) {
            return "it is executed again after its ack";
        }
        return ledger[1] <= 1 ? "" : "it is executed twice more";
    }
};

/// An ack that comes when the job's place is another job's already.
class JobLateAck : public JobOperation {
  public:
    JobLateAck() : JobOperation(kVictims) {}

    [[nodiscard]] std::string name() const override { return "job late ack"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void prepare(const Arena& arena, JobQueue& queue) override {
        late_ = take_as(queue, kVictim);
        CHECK(queue.ack(late_));
        JobQueue another = arena.segment.queue(0);    // which looks from the first place on
        const auto next = submit(another, kPeer, 1);  // the first one again, which is missing now
        CHECK(next && static_cast<std::uint32_t>(*next) == late_.number);
    }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        CHECK(!queue.ack(late_));
    }

    std::string check(JobQueue& /*queue*/, const Ledger& /*ledger*/, Fate /*fate*/) override {
        return "";
    }

  private:
    TakenJob late_;
};

class JobNack : public JobOperation {
  public:
    explicit JobNack(bool is_last) : JobOperation(is_last ? 1 : kVictims), is_last_(is_last) {}

    [[nodiscard]] std::string name() const override {
        return is_last_ ? "job nack, the last" : "job nack";
    }

    [[nodiscard]] bool lives_on() const override { return true; }

    void prepare(const Arena& /*arena*/, JobQueue& queue) override {
        job_ = take_as(queue, kVictim);
        if (is_last_) {
            for (std::uint32_t i = 1; i < queue.shape().max_attempts; ++i) {
                // The same one again, which is behind the others then.
                JobWord word = JobWord::unpack(queue.record(job_.number).word.load());
                ++word.attempts;
                const_cast<shm::JobRecord&>(queue.record(job_.number)).word.store(word.pack());
                job_.word = word.pack();
            }
        }
    }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        (void)queue.nack(job_);
    }

    std::string check(JobQueue& queue, const Ledger& ledger, Fate /*fate*/) override {
        if (!is_last_) {
            return dead_letters(queue) == 0 ? "" : "one attempt made a dead letter";
        }
        if (ledger[1] != 0 || dead_letters(queue) != 1) {
            return "it is not a dead letter";
        }
        const auto& record = queue.record(job_.number);
        const JobId id = (record.word.load() >> 32U << 32U) | job_.number;
        if (!queue.retry(id)) {
            return "the dead letter cannot be tried again";
        }
        Ledger again{};
        return execute_one(queue, again) && again[1] == 1 ? "" : "the dead letter is lost";
    }

  private:
    TakenJob job_;
    bool is_last_;
};

/// What the master does itself; when it dies a new one sweeps.
class MastersJobOperation : public JobOperation {
  public:
    MastersJobOperation() : JobOperation(1) {}

    [[nodiscard]] bool lives_on() const override { return true; }

    void prepare(const Arena& /*arena*/, JobQueue& queue) override {
        for (std::uint32_t i = 0; i < queue.shape().max_attempts; ++i) {
            TakenJob job = take_as(queue, kPeer);
            while (value_of(job) != 1) {
                // Behind the one that shall be the dead letter, without an attempt less.
                JobWord word = JobWord::unpack(job.word);
                word = JobWord{JobState::Running, word.lane, word.generation, 0, word.version};
                const_cast<shm::JobRecord&>(queue.record(job.number)).word.store(word.pack());
                job.word = word.pack();
                (void)queue.nack(job);
                job = take_as(queue, kPeer);
            }
            (void)queue.nack(job);
            id_ = (job.word >> 32U << 32U) | job.number;
        }
        CHECK(dead_letters(queue) == 1);
    }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }

  protected:
    JobId id_ = 0;
};

class DeadLetterRetry : public MastersJobOperation {
  public:
    [[nodiscard]] std::string name() const override { return "dead letter retry"; }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        (void)queue.retry(id_);
    }

    std::string check(JobQueue& queue, const Ledger& ledger, Fate fate) override {
        if (ledger[1] + dead_letters(queue) != 1 || (fate.is_done && ledger[1] != 1)) {
            return "it was executed " + std::to_string(ledger[1]) + " times";
        }
        return dead_letters(queue) == 0 || queue.drop(id_) ? "" : "it cannot be dropped";
    }
};

class DeadLetterDrop : public MastersJobOperation {
  public:
    [[nodiscard]] std::string name() const override { return "dead letter drop"; }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        (void)queue.drop(id_);
    }

    std::string check(JobQueue& queue, const Ledger& ledger, Fate fate) override {
        if (ledger[1] != 0 || (fate.is_done && dead_letters(queue) != 0)) {
            return "it is not gone";
        }
        return dead_letters(queue) == 0 || queue.drop(id_) ? "" : "it cannot be dropped";
    }
};

/// The sweep, of a lane that has left everything half done.
class JobSweep : public JobOperation {
  public:
    JobSweep() : JobOperation(kVictims) {}

    [[nodiscard]] std::string name() const override { return "job queue sweep"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void prepare(const Arena& arena, JobQueue& queue) override {
        (void)take_as(queue, kVictim);  // 1: running
        const auto word_of = [&](std::uint32_t number) -> auto& {
            return const_cast<shm::JobRecord&>(queue.record(number)).word;
        };
        // 2: taken by the dead, who has not passed its entry: it is stale there.
        JobWord second = JobWord::unpack(word_of(1).load());
        second.state = JobState::Running;
        second.lane = kVictim.lane;
        second.generation = kVictim.generation;
        second.attempts = 1;
        word_of(1).store(second.pack());
        // A claim that came to nothing, and one whose bit was not set yet.
        word_of(5).store(JobWord{JobState::Writing, kVictim.lane, kVictim.generation, 0, 7}.pack());
        // A job that is ready, and was not ringed any more.
        CHECK(submit(queue, kPeer, 4));
        const TakenJob unringed = [&] {
            (void)0;
            TakenJob job = take_as(queue, kPeer);  // 3, and back
            (void)queue.nack(job);
            return take_as(queue, kPeer);  // 4
        }();
        JobWord ready = JobWord::unpack(unringed.word);
        ready = JobWord{JobState::Ready, 0, 0, 0, ready.version};
        word_of(unringed.number).store(ready.pack());
        arena.in_scratch<Ledger>()[4] = 0;
        // Freed, and its bit is still set.
        CHECK(submit(queue, kVictim, 5));
        for (;;) {
            const TakenJob job = take_as(queue, kPeer);
            if (value_of(job) != 5) {
                (void)queue.nack(job);
                continue;
            }
            word_of(job.number)
                .store(JobWord{JobState::Free, 0, 0, 0, JobWord::unpack(job.word).version}.pack());
            break;
        }
    }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        (void)queue.sweep(kVictim);
    }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }

    std::string verify(Arena& arena, Fate fate) override {
        // 4 is ready from the beginning, and not among the first.
        auto& ledger = arena.in_scratch<Ledger>();
        JobQueue queue = arena.segment.queue(0);
        while (execute_one(queue, ledger)) {
        }
        if (ledger[4] != 1) {
            return "what was not in the ring was executed " + std::to_string(ledger[4]) + " times";
        }
        ledger[4] = 0;
        return JobOperation::verify(arena, fate);
    }

    std::string check(JobQueue& queue, const Ledger& ledger, Fate /*fate*/) override {
        return ledger[5] == 0 && dead_letters(queue) == 0 ? "" : "what was acked was executed";
    }
};

TEST(TortureTest, JobSubmit) {
    SKIP_WITHOUT_PTRACE();
    JobSubmit operation;
    expect_survives(operation);
}

TEST(TortureTest, JobSubmitForAScript) {
    SKIP_WITHOUT_PTRACE();
    JobSubmitForAScript operation;
    expect_survives(operation);
}

TEST(TortureTest, JobSubmitUrgent) {
    SKIP_WITHOUT_PTRACE();
    JobSubmitUrgent operation;
    expect_survives(operation);
}

TEST(TortureTest, JobTake) {
    SKIP_WITHOUT_PTRACE();
    JobTake operation;
    expect_survives(operation);
}

TEST(TortureTest, JobTakeStale) {
    SKIP_WITHOUT_PTRACE();
    JobTakeStale operation;
    expect_survives(operation);
}

TEST(TortureTest, JobTakePast) {
    SKIP_WITHOUT_PTRACE();
    JobTakePast operation;
    expect_survives(operation);
}

TEST(TortureTest, JobTakeAck) {
    SKIP_WITHOUT_PTRACE();
    JobTakeAck operation;
    expect_survives(operation);
}

TEST(TortureTest, JobLateAck) {
    SKIP_WITHOUT_PTRACE();
    JobLateAck operation;
    expect_survives(operation);
}

TEST(TortureTest, JobNack) {
    SKIP_WITHOUT_PTRACE();
    for (const bool is_last : {false, true}) {
        JobNack operation(is_last);
        expect_survives(operation);
    }
}

TEST(TortureTest, DeadLetters) {
    SKIP_WITHOUT_PTRACE();
    DeadLetterRetry retry;
    expect_survives(retry);
    DeadLetterDrop drop;
    expect_survives(drop);
}

TEST(TortureTest, JobQueueSweep) {
    SKIP_WITHOUT_PTRACE();
    JobSweep operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
