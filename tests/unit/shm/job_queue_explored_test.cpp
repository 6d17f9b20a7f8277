// The queue's and the parking's own code, in every interleaving of two or three processes, of which
// one may die before any of its steps. Steps are sequentially consistent here: how other machines
// order stores is for ThreadSanitizer.

#include "explored_shm.hpp"

#include <gtest/gtest.h>

namespace topsman::shm {
namespace {

constexpr QueueShape kShape{.capacity = 33, .item_size = 8, .max_attempts = 3};  // a row of 2
constexpr std::uint32_t kLanes = 4;
constexpr Owner kVerifier{4, 1};
constexpr std::uint32_t kMostJobs = 3;

void expect_right(const explorer::Explored& found) {
    EXPECT_EQ(found.failure, "");
    EXPECT_GT(found.runs, 1U);
}

/// What the processes have done in one run, apart from the arena.
struct Ledger {
    std::uint32_t submitted[kMostJobs + 1];  ///< by value; before the call returns it may be, too
    std::uint32_t acked[kMostJobs + 1];
};

class JobQueueExploredTest : public testing::Test {
  protected:
    JobQueueExploredTest()
        : bytes_(queue_bytes(kShape) + (kLanes + 1) * sizeof(Lane) + kCacheLine),
          memory_(new (std::align_val_t{kCacheLine}) std::byte[bytes_]),
          lanes_(reinterpret_cast<Lane*>(memory_ + queue_bytes(kShape)), kLanes + 1) {}

    ~JobQueueExploredTest() override { operator delete[](memory_, std::align_val_t{kCacheLine}); }

    JobQueue queue() { return JobQueue(memory_, kShape, lanes_); }

    void join_all() {
        for (const std::uint32_t lane : {1U, 2U, 3U}) {
            queue().join({lane, 1});
        }
    }

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

    /// `processes` number their lanes from 1 on.
    explorer::Explored explore(std::size_t jobs, const std::function<void()>& begin,
                               const std::vector<std::function<void()>>& processes,
                               const std::vector<bool>& may_die) {
        explorer::Scenario scenario;
        scenario.arena = {memory_, bytes_};
        // The jobs that only sweeps look at, and lanes, as nobody sleeps here, are not worth a
        // step.
        const auto* first_idle =
            reinterpret_cast<const std::byte*>(&queue().record(static_cast<std::uint32_t>(jobs)));
        scenario.shared = {memory_, static_cast<std::size_t>(first_idle - memory_)};
        scenario.begin = [&] {
            ledger_ = {};
            looks = kLeastLooks;
            turn = 0;
            join_all();
            begin();
        };
        scenario.processes = processes;
        scenario.may_die = may_die;
        scenario.sweep = [&](std::size_t dead) {
            (void)queue().sweep({static_cast<std::uint32_t>(dead + 1), 1});
            wake_everyone(lanes_);
        };
        scenario.end = [&, jobs](std::size_t dead, const auto& /*asleep*/) {
            return end(jobs, dead != may_die.size());
        };
        return explorer::explore(scenario);
    }

    Ledger ledger_{};
    std::size_t bytes_;
    std::byte* memory_;
    std::span<Lane> lanes_;
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
class RoomExploredTest : public testing::Test {
  protected:
    static constexpr QueueShape kOne{.capacity = 1, .item_size = 8, .max_attempts = 3};

    RoomExploredTest()
        : bytes_(queue_bytes(kOne) + (kLanes + 1) * sizeof(Lane)),
          memory_(new (std::align_val_t{kCacheLine}) std::byte[bytes_]),
          lanes_(reinterpret_cast<Lane*>(memory_ + queue_bytes(kOne)), kLanes + 1) {}

    ~RoomExploredTest() override { operator delete[](memory_, std::align_val_t{kCacheLine}); }

    JobQueue queue() { return JobQueue(memory_, kOne, lanes_); }

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

    explorer::Explored explore(const std::vector<std::function<void()>>& processes,
                               const std::vector<bool>& may_die) {
        explorer::Scenario scenario;
        scenario.arena = {memory_, bytes_};
        scenario.shared = scenario.arena;
        scenario.begin = [this] {
            turn = 0;
            for (const std::uint32_t lane : {1U, 2U, 3U}) {
                queue().join({lane, 1});
            }
            (void)queue().submit({3, 1}, {});
        };
        scenario.processes = processes;
        scenario.may_die = may_die;
        scenario.sweep = [this](std::size_t dead) {
            (void)queue().sweep({static_cast<std::uint32_t>(dead + 1), 1});
            wake_everyone(lanes_);
        };
        scenario.end = [this](std::size_t, const auto& asleep) { return end(!asleep.empty()); };
        return explorer::explore(scenario);
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

    std::size_t bytes_;
    std::byte* memory_;
    std::span<Lane> lanes_;
};

TEST_F(RoomExploredTest, OneWaitsAndOneExecutesTheJobThatIsThere) {
    expect_right(
        explore({[this] { wait_and_submit(1); }, [this] { (void)execute(2); }}, {true, true}));
}

/// With keys: each process does as it is told, and what there is of a key is one at a time.
class JobKeysExploredTest : public testing::Test {
  protected:
    static constexpr QueueShape kKeyed{
        .capacity = 2, .item_size = 8, .max_attempts = 3, .priorities = 1, .has_keys = true};

    JobKeysExploredTest()
        : bytes_(queue_bytes(kKeyed) + (kLanes + 1) * sizeof(Lane) + kCacheLine),
          memory_(new (std::align_val_t{kCacheLine}) std::byte[bytes_]),
          lanes_(reinterpret_cast<Lane*>(memory_ + queue_bytes(kKeyed)), kLanes + 1) {}

    ~JobKeysExploredTest() override { operator delete[](memory_, std::align_val_t{kCacheLine}); }

    JobQueue queue() { return JobQueue(memory_, kKeyed, lanes_); }

    /// One whose names begin in the first bucket.
    static JobKey the_key() {
        for (std::uint32_t i = 0;; ++i) {
            const JobKey key(std::as_bytes(std::span(&i, 1)));
            if (key.hash() % KeyTable::buckets_for(kKeyed.capacity) == 0) {
                return key;
            }
        }
    }

    /// The jobs, the claim, and as many names as are ever entered there: the others stay empty.
    std::span<std::byte> what_is_shared() {
        const auto* first = reinterpret_cast<const std::byte*>(&queue().record(0));
        const std::size_t keys =
            (kKeyed.capacity * sizeof(StoredKey) + kCacheLine - 1) / kCacheLine * kCacheLine;
        const std::size_t buckets = KeyTable::buckets_for(kKeyed.capacity) * sizeof(KeyBucket);
        const std::byte* end = memory_ + queue_bytes(kKeyed) - keys - buckets +
                               (1 + kKeyed.capacity) * sizeof(std::uint64_t);
        return {memory_ + (first - memory_), static_cast<std::size_t>(end - first)};
    }

    void submit(std::uint32_t lane) {
        JobQueue mine = queue();
        if (const auto submitted = mine.submit_once({lane, 1}, the_key(), {})) {
            ++(submitted->is_new ? news_ : olds_);
        }
    }

    bool take_and_ack(std::uint32_t lane) {
        JobQueue mine = queue();
        const auto job = mine.take({lane, 1});
        if (job && mine.ack(*job)) {
            ++acked_;
        }
        return job.has_value();
    }

    [[nodiscard]] std::uint32_t live() {
        std::uint32_t jobs = 0;
        for (std::uint32_t i = 0; i < kKeyed.capacity; ++i) {
            const JobState state = JobWord::unpack(queue().record(i).word.load()).state;
            jobs += state != JobState::Free && state != JobState::Writing ? 1U : 0U;
        }
        return jobs;
    }

    explorer::Explored explore(const std::function<void()>& begin,
                               const std::vector<std::function<void()>>& processes,
                               const std::vector<bool>& may_die) {
        explorer::Scenario scenario;
        scenario.arena = {memory_, bytes_};
        scenario.shared = what_is_shared();
        scenario.begin = [this, begin] {
            news_ = olds_ = acked_ = 0;
            for (const std::uint32_t lane : {1U, 2U, 3U}) {
                queue().join({lane, 1});
            }
            begin();
        };
        scenario.processes = processes;
        scenario.may_die = may_die;
        scenario.sweep = [this](std::size_t dead) {
            (void)queue().sweep({static_cast<std::uint32_t>(dead + 1), 1});
            wake_everyone(lanes_);
        };
        scenario.end = [this, all = processes.size()](std::size_t dead, const auto&) {
            return end(dead != all);
        };
        return explorer::explore(scenario);
    }

    std::string end(bool somebody_died) {
        if (live() > 1) {
            return "there are two jobs with one key";
        }
        const std::uint32_t told = news_;
        while (take_and_ack(kVerifier.lane)) {
        }
        if (acked_ > told + (somebody_died ? 1U : 0U) || (!somebody_died && acked_ != told)) {
            return std::to_string(told) + " were said to be new, and " + std::to_string(acked_) +
                   " were executed";
        }
        submit(1);
        return news_ == told + 1 && live() == 1 ? "" : "the key is not free at the end";
    }

    std::uint32_t news_ = 0;
    std::uint32_t olds_ = 0;
    std::uint32_t acked_ = 0;
    std::size_t bytes_;
    std::byte* memory_;
    std::span<Lane> lanes_;
};

TEST_F(JobKeysExploredTest, TwoSubmitTheSameKey) {
    expect_right(explore([] {}, {[this] { submit(1); }, [this] { submit(2); }}, {true, true}));
}

TEST_F(JobKeysExploredTest, OneSubmitsTheKeyOfAJobThatEnds) {
    std::optional<TakenJob> held;
    expect_right(explore(
        [&] {
            submit(3);
            held = queue().take({2, 1});
        },
        {[this] { submit(1); },
         [&] {
             acked_ += queue().ack(*held) ? 1U : 0U;
             submit(2);
         }},
        {true, false}));
}

/// Who waits for a permit sleeps only as long as there is none.
class ParkingExploredTest : public testing::Test {
  protected:
    struct Shared {
        std::atomic<std::uint64_t> permits;
        Parking parking;
        Lane lanes[4];
    };

    explorer::Explored explore(const std::vector<std::function<void()>>& processes,
                               const std::vector<bool>& may_die) {
        explorer::Scenario scenario;
        scenario.arena = std::as_writable_bytes(std::span(shared_.get(), 1));
        scenario.shared = scenario.arena;
        scenario.begin = [&] {
            turn = 0;
            shared_->permits.store(permits_at_first_);
        };
        scenario.processes = processes;
        scenario.may_die = may_die;
        scenario.sweep = [&](std::size_t dead) {
            shared_->parking.forget(static_cast<std::uint32_t>(dead + 1));
            wake_everyone(shared_->lanes);
        };
        scenario.end = [&](std::size_t, const std::vector<std::size_t>& asleep) {
            return asleep.empty() || shared_->permits.load() == 0
                       ? ""
                       : "a permit is there, and one who waits for it sleeps";
        };
        return explorer::explore(scenario);
    }

    bool try_take() {
        std::uint64_t seen = shared_->permits.load();
        while (seen != 0) {
            if (shared_->permits.compare_exchange_strong(seen, seen - 1)) {
                return true;
            }
        }
        return false;
    }

    void wait(std::uint32_t lane) {
        looks = 0;  // to look more often before it sleeps changes nothing
        (void)shared_->parking.park(shared_->lanes, lane, kNoDeadline,
                                    [this] { return !try_take(); });
    }

    void give() {
        (void)shared_->permits.fetch_add(1);
        (void)shared_->parking.wake_one(shared_->lanes);
    }

    std::uint64_t permits_at_first_ = 0;
    std::unique_ptr<Shared> shared_ = std::make_unique<Shared>();
};

TEST_F(ParkingExploredTest, NobodySleepsForEver) {
    expect_right(explore({[this] { wait(1); }, [this] { give(); }}, {true, true}));
}

TEST_F(ParkingExploredTest, TwoTakeTurnsWithOnePermit) {
    const auto take_and_give = [this](std::uint32_t lane) {
        wait(lane);
        give();
    };
    permits_at_first_ = 1;
    expect_right(explore({[=] { take_and_give(1); }, [=] { take_and_give(2); }}, {true, true}));
}

/// The wake-up for the second permit may go to the one who is about to leave with the first.
TEST_F(ParkingExploredTest, AWakeUpThatIsNotUsedIsPassedOn) {
    permits_at_first_ = 1;
    expect_right(explore({[this] { wait(1); }, [this] { wait(2); }, [this] { give(); }},
                         {false, false, false}));
}

/// As it is done without a set: who changes before the other has said that it waits wakes nobody.
TEST_F(ParkingExploredTest, AWakeUpThatIsLostIsFound) {
    const auto found = explore({[this] {
                                    while (!try_take()) {
                                        Lane& lane = shared_->lanes[1];
                                        const std::uint32_t seen = lane.wake.load();
                                        lane.parked.store(1);
                                        (void)futex_wait(lane.wake, seen, kNoDeadline);
                                    }
                                },
                                [this] {
                                    (void)shared_->permits.fetch_add(1);
                                    if (shared_->lanes[1].parked.load() != 0) {
                                        (void)shared_->lanes[1].wake.fetch_add(1);
                                        futex_wake_all(shared_->lanes[1].wake);
                                    }
                                }},
                               {false, false});
    EXPECT_NE(found.failure.find("sleeps"), std::string::npos) << found.failure;
}

}  // namespace
}  // namespace topsman::shm
