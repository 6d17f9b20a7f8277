// The queue's own code, in every interleaving of two or three processes, of which
// one may die before any of its steps. Steps are sequentially consistent here: how other machines
// order stores is for ThreadSanitizer.

#include "explored_queue.hpp"

namespace topsman::shm {
namespace {

constexpr QueueShape kShape{.capacity = 33, .item_size = 8, .max_attempts = 3};  // a row of 2
constexpr std::uint32_t kMostJobs = 3;

/// What the processes have done in one run, apart from the arena.
struct Ledger {
    std::uint32_t submitted[kMostJobs + 1];  ///< by value; before the call returns it may be, too
    std::uint32_t acked[kMostJobs + 1];
};

class JobQueueExploredTest : public ExploredQueue {
  protected:
    JobQueueExploredTest() : ExploredQueue(kShape) {}

    void submit(JobQueue& queue, std::uint32_t lane, std::uint64_t value) {
        if (queue.submit({lane, 1}, std::as_bytes(std::span(&value, 1)))) {
            ledger_.submitted[value] = 1;
        }
    }

    static std::uint64_t value_of(const TakenJob& job) {
        std::uint64_t value = 0;
        std::memcpy(&value, job.item.data(), sizeof(value));
        return value;
    }

    bool take_and_ack(JobQueue& queue, std::uint32_t lane) {
        const auto job = queue.take({lane, 1});
        if (!job) {
            return false;
        }
        const std::uint64_t value = value_of(*job);
        if (queue.ack(*job)) {
            ++ledger_.acked[value];
        }
        return true;
    }

    /// Job `value` runs in the dead lane's hands, which has not passed its entry.
    void die_with(std::uint32_t number, std::uint32_t lane) {
        auto& word = const_cast<JobRecord&>(queue().record(number)).word;
        JobWord running = JobWord::unpack(word.load());
        running.state = JobState::Running;
        running.lane = lane;
        running.generation = 1;
        running.attempts = 1;
        word.store(running.pack());
    }

    /// Each job is executed once; by one who died just after its ack, or has died with it, once or
    /// twice. And there is room for as many as at first.
    std::string end(std::size_t jobs, bool somebody_died) {
        JobQueue last = queue();
        last.join(kVerifier);
        while (take_and_ack(last, kVerifier.lane)) {
        }
        for (std::size_t value = 1; value <= jobs; ++value) {
            const std::uint32_t executed = ledger_.acked[value];
            const bool may_be_missing = somebody_died;  // never submitted, or acked and not noted
            if (executed > 1 || (executed == 0 && !may_be_missing)) {
                return "job " + std::to_string(value) + " was executed " +
                       std::to_string(executed) + " times";
            }
        }
        std::uint32_t room = 0;
        while (last.submit(kVerifier, {})) {
            ++room;
        }
        return room == kShape.capacity ? "" : "there is room for " + std::to_string(room);
    }

    explorer::Explored explore(std::size_t jobs, const std::function<void()>& begin,
                               const Processes& processes, const std::vector<bool>& may_die) {
        // The jobs that only sweeps look at, and lanes, as nobody sleeps here, are not worth a
        // step.
        const auto shared =
            between(&queue().control(), &queue().record(static_cast<std::uint32_t>(jobs)));
        return explore_in(
            shared,
            [&] {
                ledger_ = {};
                begin();
            },
            processes, may_die,
            [&](std::size_t dead, bool /*somebody_sleeps*/) {
                return end(jobs, dead != processes.size());
            });
    }

    Ledger ledger_{};
};

TEST_F(JobQueueExploredTest, TwoSubmit) {
    expect_right(explore(2, [] {},
                         {[this] {
                              JobQueue mine = queue();
                              submit(mine, 1, 1);
                          },
                          [this] {
                              JobQueue mine = queue();
                              submit(mine, 2, 2);
                          }},
                         {true, true}));
}

TEST_F(JobQueueExploredTest, TwoTakeBothJobs) {
    const auto take_all = [this](std::uint32_t lane) {
        JobQueue mine = queue();
        while (take_and_ack(mine, lane)) {
        }
    };
    expect_right(explore(2,
                         [this] {
                             JobQueue first = queue();
                             submit(first, 3, 1);
                             submit(first, 3, 2);
                         },
                         {[=] { take_all(1); }, [=] { take_all(2); }}, {true, true}));
}

TEST_F(JobQueueExploredTest, OneSubmitsAndOneTakes) {
    expect_right(explore(2,
                         [this] {
                             JobQueue first = queue();
                             submit(first, 3, 1);
                         },
                         {[this] {
                              JobQueue mine = queue();
                              submit(mine, 1, 2);
                          },
                          [this] {
                              JobQueue mine = queue();
                              while (take_and_ack(mine, 2)) {
                              }
                          }},
                         {true, true}));
}

TEST_F(JobQueueExploredTest, OneTakesPastAJobOfTheDeadWhileItIsSwept) {
    expect_right(explore(2,
                         [this] {
                             JobQueue first = queue();
                             submit(first, 3, 1);
                             submit(first, 3, 2);
                             die_with(0, 3);
                         },
                         {[this] {
                              JobQueue mine = queue();
                              (void)take_and_ack(mine, 1);
                          },
                          [this] {
                              (void)queue().sweep({3, 1});
                          }},
                         {true, false}));
}

/// There is one place, and who waits for it sleeps only as long as another job has it.
class RoomExploredTest : public ExploredQueue {
  protected:
    RoomExploredTest()
        : ExploredQueue(QueueShape{.capacity = 1, .item_size = 8, .max_attempts = 3}) {}

    static bool never() noexcept { return false; }

    void wait_and_submit(std::uint32_t lane) {
        looks = 0;  // to look more often before it sleeps changes nothing
        JobQueue mine = queue();
        (void)mine.submit_until({lane, 1}, {}, {}, kNoDeadline, never);
    }

    bool execute(std::uint32_t lane) {
        JobQueue mine = queue();
        const auto job = mine.take({lane, 1});
        return job && mine.ack(*job);
    }

    explorer::Explored explore(const Processes& processes, const std::vector<bool>& may_die) {
        return explore_in(
            all(),
            [this] {
                (void)queue().submit({3, 1}, {});
            },
            processes, may_die,
            [this](std::size_t /*dead*/, bool somebody_sleeps) { return end(somebody_sleeps); });
    }

    std::string end(bool somebody_sleeps) {
        const JobState state = JobWord::unpack(queue().record(0).word.load()).state;
        if (somebody_sleeps && state == JobState::Free) {
            return "there is room, and one who waits for it sleeps";
        }
        while (execute(kVerifier.lane)) {
        }
        return queue().submit(kVerifier, {}) ? "" : "the place is lost";
    }
};

TEST_F(RoomExploredTest, OneWaitsAndOneExecutesTheJobThatIsThere) {
    expect_right(
        explore({[this] { wait_and_submit(1); }, [this] { (void)execute(2); }}, {true, true}));
}

}  // namespace
}  // namespace topsman::shm
