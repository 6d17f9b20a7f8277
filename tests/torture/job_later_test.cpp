// Jobs that are put off: whoever dies when it puts one off or looks for those that are due, each
// is executed in the end.

#include "expect.hpp"
#include "job_operation.hpp"

#include <vector>

namespace topsman::torture {
namespace {

constexpr std::uint64_t kAtOnce = 1;  // of CLOCK_MONOTONIC: past, and still a time

/// The kernel's own cannot be stepped through: it starts again whenever the time has changed.
std::uint64_t clock_of_the_stepped() noexcept {
    return 1'000'000'000;
}

/// Takes all that are there, and puts off the first `count` of them.
void put_off(JobQueue& queue, std::uint32_t count) {
    std::vector<TakenJob> taken;
    while (const auto job = queue.take(kPeer)) {
        taken.push_back(*job);
    }
    for (std::size_t i = 0; i < taken.size(); ++i) {
        (void)queue.nack(taken[i], i < count ? kAtOnce : 0);
    }
}

class JobPutOff : public JobOperation {
  public:
    JobPutOff() : JobOperation(kVictims) {}

    [[nodiscard]] std::string name() const override { return "job put off"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void prepare(const Arena& /*arena*/, JobQueue& queue) override {
        job_ = take_as(queue, kVictim);
    }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        (void)queue.nack(job_, kAtOnce);
    }

    /// They submit nothing, so nobody is woken but for the victim's job.
    void peers(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        while (execute_one(queue, arena.in_scratch<Ledger>())) {
        }
    }

    std::string verify(Arena& arena, Fate fate) override {
        return JobOperation::verify(arena, {.is_done = fate.is_done, .peers_ran = false});
    }

    std::string check(JobQueue& queue, const Ledger& /*ledger*/, Fate /*fate*/) override {
        return dead_letters(queue) == 0 ? "" : "one attempt made a dead letter";
    }

  private:
    TakenJob job_;
};

/// One who takes, and finds jobs that are due. Its peers put off some more meanwhile, or finish
/// all.
class JobLookForDue : public JobOperation {
  public:
    explicit JobLookForDue(bool peers_put_off)
        : JobOperation(kVictims), peers_put_off_(peers_put_off) {}

    [[nodiscard]] std::string name() const override {
        return peers_put_off_ ? "job look for what is due" : "job look for what was due";
    }

    [[nodiscard]] bool lives_on() const override { return true; }

    void prepare(const Arena& /*arena*/, JobQueue& queue) override {
        put_off(queue, kFirst - 1);
        known_later_ = kFirst - 1;
    }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        if (const auto job = queue.take(kVictim, &clock_of_the_stepped)) {
            const std::uint32_t value = value_of(*job);
            if (queue.ack(*job)) {
                ++arena.in_scratch<Ledger>()[value];
            }
        }
    }

    void peers(const Arena& arena) override {
        JobOperation::peers(arena);
        JobQueue queue = arena.segment.queue(0);
        if (peers_put_off_) {
            put_off(queue, kFirst);
        }
        while (!peers_put_off_ && execute_one(queue, arena.in_scratch<Ledger>())) {
        }
    }

    std::string verify(Arena& arena, Fate fate) override {
        auto& ledger = arena.in_scratch<Ledger>();
        JobQueue queue = arena.segment.queue(0);
        while (execute_one(queue, ledger)) {
        }
        if (!fate.peers_ran) {  // as if they had
            for (std::uint32_t value = kFromPeers; value < kValues; ++value) {
                ledger[value] = 1;
            }
        }
        return one_is_missing_at_most(ledger, is_whole(queue));
    }

    std::string check(JobQueue& /*queue*/, const Ledger& /*ledger*/, Fate /*fate*/) override {
        return "";
    }

  private:
    bool peers_put_off_;
};

/// The sweep of one that died with all hints of the LATER jobs wrong.
class JobSweepOfLater : public JobOperation {
  public:
    JobSweepOfLater() : JobOperation(kVictims) {}

    [[nodiscard]] std::string name() const override { return "job queue sweep of what is later"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void prepare(const Arena& /*arena*/, JobQueue& queue) override {
        put_off(queue, kFirst);
        known_later_ = kFirst;
        auto& control = const_cast<shm::QueueControl&>(queue.control());
        control.due.store(0);
        // The set of taken jobs and the set of later ones follow the control block, a line each.
        auto* later = reinterpret_cast<std::byte*>(&control + 1) + shm::kCacheLine;
        std::memset(later, 0, shm::kCacheLine);
    }

    void run(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        (void)queue.sweep(kVictim);
    }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }

    std::string check(JobQueue& queue, const Ledger& /*ledger*/, Fate /*fate*/) override {
        return dead_letters(queue) == 0 ? "" : "one attempt made a dead letter";
    }
};

TEST(TortureTest, JobPutOff) {
    SKIP_WITHOUT_PTRACE();
    JobPutOff operation;
    expect_survives(operation);
}

TEST(TortureTest, JobLookForDue) {
    SKIP_WITHOUT_PTRACE();
    for (const bool peers_put_off : {true, false}) {
        JobLookForDue operation(peers_put_off);
        expect_survives(operation);
    }
}

TEST(TortureTest, JobSweepOfLater) {
    SKIP_WITHOUT_PTRACE();
    JobSweepOfLater operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
