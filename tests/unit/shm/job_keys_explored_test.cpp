// Jobs with keys in every interleaving of two processes, of which one may die before any of its
// steps.

#define shm_explored shm_explored_keys  // NOLINT: not what another test's file has
#include "explored_queue.hpp"

namespace topsman::shm {
namespace {

/// Each process does as it is told, and what there is of a key is one at a time.
class JobKeysExploredTest : public ExploredQueue {
  protected:
    static constexpr QueueShape kKeyed{
        .capacity = 2, .item_size = 8, .max_attempts = 3, .priorities = 1, .has_keys = true};

    JobKeysExploredTest() : ExploredQueue(kKeyed) {}

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
        const std::size_t keys =
            (kKeyed.capacity * sizeof(StoredKey) + kCacheLine - 1) / kCacheLine * kCacheLine;
        const std::size_t buckets = KeyTable::buckets_for(kKeyed.capacity) * sizeof(KeyBucket);
        return between(&queue().record(0), all().data() + queue_bytes(kKeyed) - keys - buckets +
                                               (1 + kKeyed.capacity) * sizeof(std::uint64_t));
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

    explorer::Explored explore(const std::function<void()>& begin, const Processes& processes,
                               const std::vector<bool>& may_die) {
        return explore_in(
            what_is_shared(),
            [&] {
                news_ = olds_ = acked_ = 0;
                begin();
            },
            processes, may_die,
            [&](std::size_t dead, bool /*somebody_sleeps*/) {
                return end(dead != processes.size());
            });
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

}  // namespace
}  // namespace topsman::shm
