// The job queue: whoever dies in it, what was submitted is executed once more rather than never,
// and its capacity is whole.

#include "expect.hpp"
#include "shm/base/check.hpp"
#include "shm/sweep.hpp"

#include <array>
#include <cstring>
#include <optional>

namespace topsman::torture {
namespace {

using shm::JobId;
using shm::JobQueue;
using shm::JobState;
using shm::JobWord;
using shm::TakenJob;

constexpr std::uint32_t kFirst = 3;         // jobs that are there before: the values 1 to 3
constexpr std::uint32_t kVictims = 9;       // the value that the victim submits
constexpr std::uint32_t kFromPeers = 10;    // and those that its peers submit: from here on
constexpr std::uint32_t kPeersRounds = 25;  // more than the ring has slots
constexpr std::uint32_t kValues = kFromPeers + kPeersRounds;

/// How often each value was executed.
using Ledger = std::array<std::uint32_t, kValues>;

/// One lane's thread sleeps until a job is ready, and one until there is room.
constexpr std::uint32_t kSleepyTaker = 3;
constexpr std::uint32_t kSleepySubmitter = 4;

class JobOperation : public Operation {
  public:
    void setup(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        queue.join(kVictim);
        queue.join(kPeer);
        for (std::uint32_t value = 1; value <= kFirst; ++value) {
            CHECK(submit(queue, kPeer, value));
        }
        new (arena.scratch.data()) Ledger{};
        prepare(arena, queue);
        // As threads of those lanes leave them on their way to sleep.
        auto& control = const_cast<shm::QueueControl&>(queue.control());
        enter(arena, control.takers, kSleepyTaker);
        enter(arena, control.submitters, kSleepySubmitter);
    }

    void peers(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        auto& ledger = arena.in_scratch<Ledger>();
        for (std::uint32_t i = 0; i < kPeersRounds; ++i) {
            if (submit(queue, kPeer, kFromPeers + i)) {
                ++ledger[0];
            }
            execute_one(queue, ledger);
        }
        CHECK(ledger[0] == kPeersRounds);  // there was room and a job in each round
    }

    std::string verify(Arena& arena, Fate fate) override {
        JobQueue queue = arena.segment.queue(0);
        const Ledger before = arena.in_scratch<Ledger>();
        Ledger ledger = before;
        if (std::string slept = who_sleeps(arena, queue); !slept.empty()) {
            return slept;
        }
        while (execute_one(queue, ledger)) {
        }
        for (std::uint32_t value = 1; value < kValues; ++value) {
            const bool is_there = value <= kFirst || (value >= kFromPeers && fate.peers_ran);
            if (value == special_) {
                continue;
            }
            if (ledger[value] != (is_there ? 1U : 0U)) {
                return "job " + std::to_string(value) + " was executed " +
                       std::to_string(ledger[value]) + " times";
            }
        }
        if (std::string wrong = check(queue, ledger, fate); !wrong.empty()) {
            return wrong;
        }
        return is_whole(queue) ? "" : "its capacity is not whole";
    }

  protected:
    explicit JobOperation(std::uint32_t special) : special_(special) {}

    virtual void prepare(const Arena& /*arena*/, JobQueue& /*queue*/) {}

    /// What must be so of the special job, when all others were executed.
    virtual std::string check(JobQueue& queue, const Ledger& ledger, Fate fate) = 0;

    static std::optional<JobId> submit(JobQueue& queue, Owner by, std::uint32_t value) {
        return queue.submit(by, std::as_bytes(std::span(&value, 1)));
    }

    static std::uint32_t value_of(const TakenJob& job) {
        std::uint32_t value = 0;
        std::memcpy(&value, job.item.data(), std::min(job.item.size(), sizeof(value)));
        return value < kValues ? value : 0;
    }

    static bool execute_one(JobQueue& queue, Ledger& ledger) {
        const auto job = queue.take(kPeer);
        if (job) {
            ++ledger[job->item.size() == 4 ? value_of(*job) : 0];
            CHECK(queue.ack(*job));
        }
        return job.has_value();
    }

    static TakenJob take_as(JobQueue& queue, Owner who) { return queue.take(who).value(); }

    static std::uint32_t count(const JobQueue& queue, JobState state) {
        std::uint32_t jobs = 0;
        for (std::uint32_t i = 0; i < queue.shape().capacity; ++i) {
            jobs += JobWord::unpack(queue.record(i).word.load()).state == state ? 1U : 0U;
        }
        return jobs;
    }

    static std::uint32_t dead_letters(const JobQueue& queue) {
        return count(queue, JobState::Dead);
    }

    static bool is_whole(JobQueue& queue) {
        for (std::uint32_t round = 0; round < 3; ++round) {
            std::uint32_t there = 0;
            while (submit(queue, kPeer, 1)) {
                ++there;
            }
            std::uint32_t gone = 0;
            while (const auto job = queue.take(kPeer)) {
                gone += queue.ack(*job) ? 1U : 0U;
            }
            if (there != queue.shape().capacity || gone != there) {
                return false;
            }
        }
        return queue.control().unringed.load() == 0;  // the ring had room for all of them
    }

  private:
    static void enter(const Arena& arena, shm::Parking& parking, std::uint32_t lane) {
        reinterpret_cast<shm::LaneSet&>(parking).insert(lane);
        arena.segment.lanes()[lane].parked.store(1);
    }

    static std::string who_sleeps(const Arena& arena, const JobQueue& queue) {
        const auto sleeps = [&](const shm::Parking& parking, std::uint32_t lane) {
            return parking.has(lane) && arena.segment.lanes()[lane].wake.load() == 0;
        };
        const std::uint32_t ready = count(queue, JobState::Ready);
        const std::uint32_t free = count(queue, JobState::Free);
        // The first ones were there before they went to sleep.
        if (ready > kFirst && sleeps(queue.control().takers, kSleepyTaker)) {
            return "a job is ready, and the one who waits for it sleeps";
        }
        if (free > queue.shape().capacity - kFirst &&
            sleeps(queue.control().submitters, kSleepySubmitter)) {
            return "there is room, and the one who waits for it sleeps";
        }
        return "";
    }

    std::uint32_t special_;
};

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
        std::uint32_t missing = 0;
        for (std::uint32_t value = 1; value < kValues; ++value) {
            const bool is_there = value <= kFirst || value >= kFromPeers;
            if (ledger[value] > (is_there ? 1U : 0U)) {
                return "job " + std::to_string(value) + " was executed twice";
            }
            missing += is_there && ledger[value] == 0 ? 1U : 0U;
        }
        if (missing > 1) {
            return std::to_string(missing) + " jobs are lost";
        }
        return is_whole(queue) ? "" : "its capacity is not whole";
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

    void prepare(const Arena& /*arena*/, JobQueue& queue) override {
        late_ = take_as(queue, kVictim);
        CHECK(queue.ack(late_));
        const auto next = submit(queue, kPeer, 1);  // the first one again, which is missing now
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
        // 2: taken by the dead, who has not removed it from the ring: it is stale there.
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
