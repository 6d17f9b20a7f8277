// Jobs with keys: whoever dies while it submits one, there is one job with its key, or none, and
// nobody waits for it.

#include "expect.hpp"
#include "shm/base/check.hpp"
#include "shm/sweep.hpp"

#include <cstring>
#include <vector>

namespace topsman::torture {
namespace {

using shm::JobKey;
using shm::JobQueue;
using shm::JobState;
using shm::JobWord;

constexpr std::uint32_t kVictims = 1;  // the value that the victim submits
constexpr std::uint32_t kOlder = 2;    // and of the job that has its key at first, if there is one
constexpr std::uint32_t kFromPeers = 3;
constexpr std::uint32_t kRounds = 12;  // more than there are jobs
constexpr std::uint32_t kValues = kFromPeers + 2 * kRounds;
constexpr std::uint32_t kSleepyTaker = 3;

/// What was said and done, outside of the queue.
struct Notes {
    shm::KeyedJob victims;
    std::uint32_t promised[kValues];  ///< somebody was told that it is a new job
    std::uint32_t executed[kValues];
    char wrong[100];
};

JobKey key_of(std::uint32_t number) {
    return JobKey(std::as_bytes(std::span(&number, 1)));
}

constexpr std::uint32_t kTheKey = 7;

class KeyedOperation : public Operation {
  public:
    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        queue.join(kVictim);
        queue.join(kPeer);
        new (arena.scratch.data()) Notes{};
        prepare(arena, queue);
        // As a thread of that lane leaves it on its way to sleep.
        auto& takers = const_cast<shm::Parking&>(queue.control().takers);
        reinterpret_cast<shm::LaneSet&>(takers).insert(kSleepyTaker);
        arena.segment.lanes()[kSleepyTaker].parked.store(1);
    }

    std::string verify(Arena& arena, Fate fate) override {
        JobQueue queue = queue_of(arena);
        Notes notes = arena.in_scratch<Notes>();
        if (notes.wrong[0] != '\0') {
            return notes.wrong;
        }
        if (live(queue) > at_first_ && queue.control().takers.has(kSleepyTaker) &&
            arena.segment.lanes()[kSleepyTaker].wake.load() == 0) {
            return "a job is ready, and the one who waits for it sleeps";
        }
        if (live(queue) > others_at_first_ + 1) {
            return "there are " + std::to_string(live(queue)) + " jobs";
        }
        if (fate.is_done && notes.victims.is_new && notes.executed[kVictims] == 0 &&
            queue.find(key_of(kTheKey)) != notes.victims.id) {
            return "the victim's job is not found by its key";
        }
        while (execute_one(queue, notes)) {
        }
        if (std::string wrong = check(notes, fate); !wrong.empty()) {
            return wrong;
        }
        for (std::uint32_t value = kOlder; value < kValues; ++value) {
            if (notes.executed[value] != notes.promised[value]) {
                return "job " + std::to_string(value) + " was promised " +
                       std::to_string(notes.promised[value]) + " times, and executed " +
                       std::to_string(notes.executed[value]) + " times";
            }
        }
        if (queue.find(key_of(kTheKey))) {
            return "its key is still there when it has ended";
        }
        return is_whole(queue) ? "" : "its capacity is not whole";
    }

  protected:
    static JobQueue queue_of(const Arena& arena) { return arena.segment.queue(1); }

    virtual void prepare(const Arena& /*arena*/, JobQueue& /*queue*/) {}

    virtual std::string check(const Notes& notes, Fate fate) { return check_victims(notes, fate); }

    static std::string check_victims(const Notes& notes, Fate fate) {
        const std::uint32_t done = notes.executed[kVictims];
        if (done > 1 || (fate.is_done && done != (notes.victims.is_new ? 1U : 0U))) {
            return "the victim's was executed " + std::to_string(done) + " times, which was told " +
                   (notes.victims.is_new ? "that it is new" : "that there is another");
        }
        return "";
    }

    static std::optional<shm::KeyedJob> submit(JobQueue& queue, Owner by, std::uint32_t key,
                                               std::uint32_t value) {
        return queue.submit_once(by, key_of(key), std::as_bytes(std::span(&value, 1)));
    }

    /// By a peer, who must be able to.
    static shm::KeyedJob submit_as_peer(JobQueue& queue, Notes& notes, std::uint32_t key,
                                        std::uint32_t value) {
        const auto submitted = submit(queue, kPeer, key, value);
        if (!submitted) {
            complain(notes, "there was no room for the peers' jobs");
            return {};
        }
        notes.promised[value] += submitted->is_new ? 1U : 0U;
        const auto there = queue.find(key_of(key));
        if (!there || *there != submitted->id) {
            complain(notes, "what was submitted is not found");
        }
        return *submitted;
    }

    static bool execute_one(JobQueue& queue, Notes& notes) {
        const auto job = queue.take(kPeer);
        if (job) {
            std::uint32_t value = 0;
            std::memcpy(&value, job->item.data(), std::min(job->item.size(), sizeof(value)));
            ++notes.executed[job->item.size() == sizeof(value) && value < kValues ? value : 0];
            CHECK(queue.ack(*job));
        }
        return job.has_value();
    }

    /// Whoever stands still: what is ready can be taken.
    static void execute_all(JobQueue& queue, Notes& notes) {
        while (execute_one(queue, notes)) {
        }
        if (live(queue) != 0) {
            complain(notes, "a job is ready, and nobody can take it");
        }
    }

    static void complain(Notes& notes, const char* sentence) {
        std::snprintf(notes.wrong, sizeof notes.wrong, "%s", sentence);
    }

    /// Jobs that are there: of all operations here with one key.
    static std::uint32_t live(const JobQueue& queue) {
        std::uint32_t jobs = 0;
        for (std::uint32_t i = 0; i < queue.shape().capacity; ++i) {
            const JobState state = JobWord::unpack(queue.record(i).word.load()).state;
            jobs += state != JobState::Free && state != JobState::Writing ? 1U : 0U;
        }
        return jobs;
    }

    static bool is_whole(JobQueue& queue) {
        for (std::uint32_t round = 0; round < 2; ++round) {
            std::uint32_t there = 0;
            for (auto more = submit(queue, kPeer, 1'000, 0); more;
                 more = submit(queue, kPeer, 1'000 + there, 0)) {
                there += more->is_new ? 1U : kValues;
            }
            std::uint32_t gone = 0;
            while (const auto job = queue.take(kPeer)) {
                gone += queue.ack(*job) ? 1U : 0U;
            }
            if (there != queue.shape().capacity || gone != there) {
                return false;
            }
        }
        return true;
    }

    static bool is_in_bucket(std::uint32_t key, std::size_t bucket) {
        const std::size_t mask = shm::KeyTable::buckets_for(kKeyedQueue.capacity) - 1;
        return (key_of(key).hash() & mask) == (bucket & mask);
    }

    std::uint32_t at_first_ = 0;
    std::uint32_t others_at_first_ = 0;  ///< which have other keys
};

/// Its peers submit the same key meanwhile, once.
class KeyedSubmit : public KeyedOperation {
  public:
    [[nodiscard]] std::string name() const override { return "job submit once"; }

    void run(const Arena& arena) override { submit_as_victim(arena, kVictim); }

    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        Notes& notes = arena.in_scratch<Notes>();
        (void)submit_as_peer(queue, notes, kTheKey, kFromPeers);
    }

    std::string check(const Notes& notes, Fate fate) override {
        const std::uint32_t done = notes.executed[kVictims] + notes.executed[kFromPeers];
        if (done > 1 || ((fate.is_done || fate.peers_ran) && done != 1)) {
            return "the key was executed " + std::to_string(done) + " times";
        }
        return check_victims(notes, fate);
    }

  protected:
    static void submit_as_victim(const Arena& arena, Owner victim) {
        JobQueue queue = queue_of(arena);
        if (const auto submitted = submit(queue, victim, kTheKey, kVictims)) {
            arena.in_scratch<Notes>().victims = *submitted;
        }
    }
};

/// By the master in its own lane, for a script.
class KeyedSubmitForAScript : public KeyedSubmit {
  public:
    [[nodiscard]] std::string name() const override { return "job submit once, by the master"; }

    void run(const Arena& arena) override { submit_as_victim(arena, Owner{}); }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }
};

/// Its peers submit and execute the key again and again: what it knows is old when it goes on.
class KeyedSubmitLate : public KeyedSubmit {
  public:
    explicit KeyedSubmitLate(bool has_older) : has_older_(has_older) {}

    [[nodiscard]] std::string name() const override {
        return has_older_ ? "job submit once, of one that ends" : "job submit once, late";
    }

    void prepare(const Arena& arena, JobQueue& queue) override {
        if (has_older_) {
            at_first_ = 1;
            (void)submit_as_peer(queue, arena.in_scratch<Notes>(), kTheKey, kOlder);
        }
    }

    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        Notes& notes = arena.in_scratch<Notes>();
        for (std::uint32_t i = 0; i < kRounds; ++i) {
            (void)submit_as_peer(queue, notes, kTheKey, kFromPeers + i);
            if (live(queue) != 1) {
                complain(notes, "there are two jobs with one key");
            }
            execute_all(queue, notes);
        }
    }

    std::string check(const Notes& notes, Fate fate) override { return check_victims(notes, fate); }

  private:
    bool has_older_;
};

/// Its peers submit other keys, which are claimed for in the same bucket.
class KeyedSubmitBesideOthers : public KeyedSubmit {
  public:
    [[nodiscard]] std::string name() const override { return "job submit once, beside others"; }

    void prepare(const Arena& /*arena*/, JobQueue& /*queue*/) override {
        others_.clear();
        for (std::uint32_t key = 100; others_.size() < 3; ++key) {
            if (is_in_bucket(key, key_of(kTheKey).hash())) {
                others_.push_back(key);
            }
        }
    }

    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        Notes& notes = arena.in_scratch<Notes>();
        for (std::uint32_t i = 0; i < kRounds; ++i) {
            (void)submit_as_peer(queue, notes, others_[i % others_.size()], kFromPeers + 2 * i);
            if (i % 2 != 0) {
                (void)submit_as_peer(queue, notes, kTheKey, kFromPeers + 2 * i + 1);
                (void)submit_as_peer(queue, notes, others_[i % others_.size()], kFromPeers + 2 * i);
                if (live(queue) != 2) {
                    complain(notes, "there are two jobs with one key");
                }
            }
            execute_all(queue, notes);
        }
    }

    std::string check(const Notes& notes, Fate fate) override { return check_victims(notes, fate); }

  private:
    std::vector<std::uint32_t> others_;
};

/// The bucket before is full, so others enter their names where the victim's is.
class KeyedSubmitBehindAFullBucket : public KeyedSubmit {
  public:
    [[nodiscard]] std::string name() const override {
        return "job submit once, behind a full bucket";
    }

    void prepare(const Arena& arena, JobQueue& queue) override {
        const std::size_t before = key_of(kTheKey).hash() + shm::KeyTable::buckets_for(16) - 1;
        next_ = 100;
        for (std::uint32_t i = 0; i < shm::kNamesInBucket; ++i) {
            (void)submit_as_peer(queue, arena.in_scratch<Notes>(), one_in(before), kOlder);
        }
        others_at_first_ = shm::kNamesInBucket;
        at_first_ = others_at_first_;
        other_ = one_in(before);
    }

    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        Notes& notes = arena.in_scratch<Notes>();
        (void)submit_as_peer(queue, notes, other_, kFromPeers);
        // It leaves its name where it is.
        const auto job = queue.take(kPeer);
        CHECK(job && queue.ack(*job));
        --notes.promised[kOlder];
    }

    std::string check(const Notes& notes, Fate fate) override { return check_victims(notes, fate); }

  private:
    std::uint32_t one_in(std::size_t bucket) {
        while (!is_in_bucket(++next_, bucket)) {
        }
        return next_;
    }

    std::uint32_t next_ = 0;
    std::uint32_t other_ = 0;
};

/// It takes the job that has the key, and ends it; peers submit the key meanwhile.
class KeyedAck : public KeyedOperation {
  public:
    [[nodiscard]] std::string name() const override { return "job ack of one with a key"; }

    void prepare(const Arena& arena, JobQueue& queue) override {
        at_first_ = 1;
        (void)submit_as_peer(queue, arena.in_scratch<Notes>(), kTheKey, kOlder);
    }

    void run(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        if (const auto job = queue.take(kVictim)) {
            std::uint32_t value = 0;
            std::memcpy(&value, job->item.data(), sizeof(value));
            if (queue.ack(*job)) {
                // Not noted by one who dies just before: that is made up for below.
                ++arena.in_scratch<Notes>().executed[value];
            }
        }
    }

    void peers(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        Notes& notes = arena.in_scratch<Notes>();
        (void)submit_as_peer(queue, notes, kTheKey, kFromPeers);
        if (live(queue) != 1) {
            complain(notes, "there are two jobs with one key");
        }
    }

    std::string verify(Arena& arena, Fate fate) override {
        JobQueue queue = queue_of(arena);
        Notes& notes = arena.in_scratch<Notes>();
        const bool is_gone = live(queue) == 0 || notes.promised[kFromPeers] != 0;
        if (!fate.is_done && is_gone && notes.executed[kOlder] == 0 &&
            notes.executed[kFromPeers] == 0) {
            notes.executed[kOlder] = 1;
        }
        return KeyedOperation::verify(arena, fate);
    }

    std::string check(const Notes& /*notes*/, Fate /*fate*/) override { return ""; }
};

TEST(TortureTest, JobSubmitOnce) {
    SKIP_WITHOUT_PTRACE();
    KeyedSubmit operation;
    expect_survives(operation);
    KeyedSubmitForAScript by_the_master;
    expect_survives(by_the_master);
}

TEST(TortureTest, JobSubmitOnceLate) {
    SKIP_WITHOUT_PTRACE();
    for (const bool has_older : {false, true}) {
        KeyedSubmitLate operation(has_older);
        expect_survives(operation);
    }
}

TEST(TortureTest, JobSubmitOnceBesideOthers) {
    SKIP_WITHOUT_PTRACE();
    KeyedSubmitBesideOthers operation;
    expect_survives(operation);
}

TEST(TortureTest, JobSubmitOnceBehindAFullBucket) {
    SKIP_WITHOUT_PTRACE();
    KeyedSubmitBehindAFullBucket operation;
    expect_survives(operation);
}

TEST(TortureTest, JobAckOfKey) {
    SKIP_WITHOUT_PTRACE();
    KeyedAck operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
