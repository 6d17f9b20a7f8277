// Of jobs with the same key there is one at a time.
//
// Why no two of them are ever there: a job becomes READY with a key only while its name is in the
// claim of its key's bucket, and that claim is not changed before it is decided what becomes of it.
// So of two jobs with one key the second is claimed for after the first was decided, and those who
// decide about it look for others with its key after that. They find the first one: its name was
// entered before it became READY, and nobody puts another over it until it is over.

#include "shm/base/check.hpp"
#include "shm/job_queue.hpp"

namespace topsman::shm {
namespace {

/// Each of these ends with somebody else's claim in the bucket; the bound is for one that a hostile
/// process changes all the time.
constexpr std::uint32_t kMostRounds = 10'000;

bool is_there(JobState state) noexcept {
    return state == JobState::Ready || state == JobState::Running || state == JobState::Dead ||
           state == JobState::Later;
}

bool is_undecided(const JobWord& word, std::uint32_t version) noexcept {
    return word.state == JobState::Writing && word.version == version &&
           word.attempts == JobWord::kUndecided;
}

}  // namespace

std::optional<JobId> JobQueue::find(const JobKey& key) const noexcept {
    return find(key, 0);
}

/// Another one than `but`.
std::optional<JobId> JobQueue::find(const JobKey& key, std::uint64_t but) const noexcept {
    std::optional<JobId> found;
    const std::uint8_t tag = KeyTable::tag_of(key);
    (void)keys_.any_of(key, [&](const std::atomic<std::uint64_t>& here) {
        const std::uint64_t packed = here.load(std::memory_order_seq_cst);
        const JobName name = JobName::unpack(packed);
        if (packed == but || name.tag != tag || name.number >= shape_.capacity) {
            return false;
        }
        const std::atomic<std::uint64_t>& word = record(name.number).word;
        const std::uint64_t before = word.load(std::memory_order_seq_cst);
        if (JobWord::unpack(before).version == name.version &&
            is_there(JobWord::unpack(before).state) && keys_.load(name.number) == key &&
            JobWord::unpack(word.load(std::memory_order_seq_cst)).version == name.version) {
            found = job_id(name.number, before);
        }
        return found.has_value();
    });
    return found;
}

/// There is no such job, nor will there be.
bool JobQueue::is_spent(std::uint64_t packed_name) const noexcept {
    const JobName name = JobName::unpack(packed_name);
    if (name.number >= shape_.capacity) {
        return true;
    }
    const JobWord word = JobWord::unpack(record(name.number).word.load(std::memory_order_seq_cst));
    return word.version != name.version ||
           (!is_there(word.state) && !is_undecided(word, name.version));
}

/// Sees to it that who looks for the key finds the job. Twice is as good as once. False: there is
/// no room.
bool JobQueue::enter(const JobKey& key, std::uint64_t name) noexcept {
    return keys_.any_of(key, [&](std::atomic<std::uint64_t>& here) {
        std::uint64_t seen = here.load(std::memory_order_seq_cst);
        return seen == name || (is_spent(seen) && here.compare_exchange_strong(
                                                      seen, name, std::memory_order_seq_cst));
    });
}

/// What becomes of the job that a bucket was claimed for. By anybody, and by several at once.
void JobQueue::decide(std::uint64_t packed_name) noexcept {
    const JobName name = JobName::unpack(packed_name);
    if (name.number >= shape_.capacity) {
        return;
    }
    JobRecord& record = job(name.number);
    std::uint64_t packed = record.word.load(std::memory_order_seq_cst);
    JobWord next = JobWord::unpack(packed);
    if (!is_undecided(next, name.version)) {
        ring_if_ready(name.number);  // who has made it READY may stand still
        return;
    }
    const JobKey key = keys_.load(name.number);
    if (find(key, packed_name)) {
        next.attempts = JobWord::kRefused;
    } else if (enter(key, packed_name)) {
        next = JobWord{JobState::Ready, 0, 0, 0, next.version};
    } else {
        next.attempts = JobWord::kNoRoom;
    }
    // The commit point.
    if (record.word.compare_exchange_strong(packed, next.pack(), std::memory_order_seq_cst) &&
        next.state == JobState::Ready) {
        ring(name.number);
    }
}

/// Claims the key's bucket for a job that is written, and has it decided. Returns what its word
/// says then, as far as it is still the caller's: WRITING.
JobWord JobQueue::settle(const JobKey& key, std::uint32_t number, JobWord mine) noexcept {
    const std::uint64_t name = JobName{number, mine.version, KeyTable::tag_of(key)}.pack();
    std::atomic<std::uint64_t>& claim = keys_.claim_of(key);
    for (std::uint32_t round = 0; round < kMostRounds; ++round) {
        std::uint64_t seen = claim.load(std::memory_order_seq_cst);
        // It cannot be changed before it is decided about the one that is there.
        decide(seen);
        if (claim.compare_exchange_strong(seen, name, std::memory_order_seq_cst)) {
            decide(name);
            return JobWord::unpack(job(number).word.load(std::memory_order_seq_cst));
        }
    }
    return mine;
}

std::optional<KeyedJob> JobQueue::submit_once(Owner me, const JobKey& key,
                                              std::span<const std::byte> item,
                                              const JobTerms& terms) noexcept {
    CHECK(shape_.has_keys);
    if (const std::optional<JobId> there = find(key)) {
        // Who has submitted it may stand still before it was in the ring.
        ring_if_ready(static_cast<std::uint32_t>(*there));
        return KeyedJob{*there, false};
    }
    std::uint64_t writing = 0;
    const std::uint32_t number = claim_and_write(me, item, terms, writing);
    if (number == kNone) {
        return std::nullopt;
    }
    keys_.store(number, key);
    return settled(key, number, JobWord::unpack(writing));
}

/// Once it is decided about a job that is written: what has become of the submit.
std::optional<KeyedJob> JobQueue::settled(const JobKey& key, std::uint32_t number,
                                          JobWord mine) noexcept {
    std::optional<JobId> there;
    JobWord now = settle(key, number, mine);
    mine.attempts = JobWord::kRefused;
    // When the other one has come to its end meanwhile: once more, as another version.
    while (now == mine && !(there = find(key))) {
        mine = JobWord{JobState::Writing, mine.lane, mine.generation, 0, mine.version + 1};
        job(number).word.store(mine.pack(), std::memory_order_seq_cst);
        now = settle(key, number, mine);
        mine.attempts = JobWord::kRefused;
    }
    if (now.state != JobState::Writing || now.version != mine.version) {
        ring_if_ready(number);  // another may have made it READY, and stand still
        return KeyedJob{job_id(number, mine.pack()), true};
    }
    const JobWord free{JobState::Free, 0, 0, 0, mine.version};
    job(number).word.store(free.pack(), std::memory_order_seq_cst);
    set_free(number);
    if (!there) {
        return std::nullopt;
    }
    ring_if_ready(static_cast<std::uint32_t>(*there));
    return KeyedJob{*there, false};
}

}  // namespace topsman::shm
