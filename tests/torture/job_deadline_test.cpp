// Jobs that must be taken in time: whoever dies when it comes to one too late, it is a dead letter
// or was tried again.

#include "expect.hpp"
#include "job_operation.hpp"

namespace topsman::torture {
namespace {

std::uint64_t clock_of_the_stepped() noexcept {
    return 1'000'000'000;
}

/// The job with the value 1 is too late.
class LateJobOperation : public JobOperation {
  public:
    LateJobOperation() : JobOperation(1) {}

    void prepare(const Arena& /*arena*/, JobQueue& queue) override {
        const_cast<shm::JobRecord&>(queue.record(0)).deadline_ns.store(1);
    }

    std::string check(JobQueue& queue, const Ledger& ledger, Fate fate) override {
        if (ledger[1] + dead_letters(queue) != 1) {
            return "it was executed " + std::to_string(ledger[1]) + " times, and there are " +
                   std::to_string(dead_letters(queue)) + " dead letters";
        }
        if (std::string wrong = check_late(ledger, fate); !wrong.empty()) {
            return wrong;
        }
        return dead_letters(queue) == 0 || queue.drop(letter(queue)) ? "" : "it cannot be dropped";
    }

  protected:
    virtual std::string check_late(const Ledger& ledger, Fate fate) = 0;

    static JobId letter(const JobQueue& queue) {
        return shm::job_id(0, queue.record(0).word.load());
    }
};

class JobTakeLate : public LateJobOperation {
  public:
    [[nodiscard]] std::string name() const override { return "job take past a late one"; }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        (void)queue.take(kVictim, &clock_of_the_stepped);
    }

    /// They find it late, and an operator tries it again.
    void peers(const Arena& arena) override {
        JobOperation::peers(arena);
        JobQueue queue = arena.segment.queue(0);
        (void)queue.retry(letter(queue));
        while (execute_one(queue, arena.in_scratch<Ledger>())) {
        }
    }

    std::string check_late(const Ledger& ledger, Fate fate) override {
        return ledger[1] == (fate.peers_ran ? 1U : 0U) ? "" : "it was executed too late";
    }
};

/// The master makes it a job again, and somebody takes that: it is not late any more.
class JobRetryLate : public LateJobOperation {
  public:
    [[nodiscard]] std::string name() const override { return "job retry of a late one"; }

    void prepare(const Arena& arena, JobQueue& queue) override {
        LateJobOperation::prepare(arena, queue);
        while (execute_one(queue, arena.in_scratch<Ledger>())) {
        }
        CHECK(dead_letters(queue) == 1);
    }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        if (queue.retry(letter(queue))) {
            (void)queue.take(kVictim, &clock_of_the_stepped);
        }
    }

    void peers(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        while (execute_one(queue, arena.in_scratch<Ledger>())) {
        }
    }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }

    std::string verify(Arena& arena, Fate fate) override {
        return JobOperation::verify(arena, {.is_done = fate.is_done, .peers_ran = false});
    }

    // What it took is another's when it is swept. Killed in between it may be late once more.
    std::string check_late(const Ledger& ledger, Fate fate) override {
        return !fate.is_done || ledger[1] == 1 ? "" : "it is late again";
    }
};

TEST(TortureTest, JobTakeLate) {
    SKIP_WITHOUT_PTRACE();
    JobTakeLate operation;
    expect_survives(operation);
}

TEST(TortureTest, JobRetryLate) {
    SKIP_WITHOUT_PTRACE();
    JobRetryLate operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
