#include "shm/job_queue.hpp"

#include "shm/base/check.hpp"
#include "shm/job_queue_path.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace topsman::shm {
namespace {

constexpr std::size_t taken_words(std::uint32_t capacity) noexcept {
    return (std::size_t{capacity} + 63) / 64;
}

/// Where the parts of a queue lie, from its beginning.
struct Offsets {
    std::size_t later;
    std::size_t ring;
    std::size_t records;
    std::size_t stride;
    std::size_t buckets;  ///< of keys, if it has them
    std::size_t keys;
    std::size_t results;  ///< if it has them
    std::size_t end;
};

constexpr std::size_t kTaken = sizeof(QueueControl);

/// So many entries are passed before their jobs are looked at once more.
constexpr std::size_t kPassedAtOnce = 16;

constexpr Offsets offsets_of(const QueueShape& shape) noexcept {
    Offsets at{};
    const std::size_t set = rounded_up(taken_words(shape.capacity) * 8, kCacheLine);
    at.later = kTaken + set;
    at.ring = at.later + set;
    at.records = at.ring + JobRing::slots_for(shape.capacity) * 8 * shape.priorities;
    // The word and a short item in one pair of lines: they move between processors together.
    at.stride = rounded_up(sizeof(JobRecord) + shape.item_size, 64);
    at.buckets = at.records + rounded_up(at.stride * shape.capacity, kCacheLine);
    at.keys = at.buckets;
    at.end = at.buckets;
    if (shape.has_keys) {
        at.keys += KeyTable::buckets_for(shape.capacity) * sizeof(KeyBucket);
        at.end = at.keys + rounded_up(sizeof(StoredKey) * shape.capacity, kCacheLine);
    }
    at.results = at.end;
    at.end += rounded_up(JobResults::bytes_for(shape), kCacheLine);
    return at;
}

/// May it be said of one in this state that it is taken? Not of one that runs: its ack is a store
/// with no fence between it and the look for the bit, and may have looked before the bit was set,
/// though it is not seen yet. All others are freed by a seq_cst exchange, or run only after one.
constexpr bool may_be_marked(std::uint64_t word) noexcept {
    const JobState state = JobWord::unpack(word).state;
    return state != JobState::Free && state != JobState::Running;
}

template <class T>
T* at(std::byte* memory, std::size_t offset) noexcept {
    return reinterpret_cast<T*>(memory + offset);
}

}  // namespace

std::size_t queue_bytes(const QueueShape& shape) noexcept {
    return offsets_of(shape).end;
}

JobQueue::JobQueue(std::byte* memory, const QueueShape& shape, std::span<Lane> lanes) noexcept
    : shape_(shape),
      control_(at<QueueControl>(memory, 0)),
      taken_(at<std::atomic<std::uint64_t>>(memory, kTaken)),
      later_(control_->due, at<std::atomic<std::uint64_t>>(memory, offsets_of(shape).later),
             shape.capacity),
      keys_(shape.has_keys ? KeyTable(at<KeyBucket>(memory, offsets_of(shape).buckets),
                                      at<StoredKey>(memory, offsets_of(shape).keys), shape.capacity)
                           : KeyTable()),
      results_(shape.result_size != 0
                   ? JobResults(memory + offsets_of(shape).results, shape.result_size)
                   : JobResults()),
      records_(memory + offsets_of(shape).records),
      stride_(offsets_of(shape).stride),
      lanes_(lanes) {
    CHECK(is_sound(shape));
    const std::uint64_t size = JobRing::slots_for(shape.capacity);
    auto* slots = at<std::atomic<std::uint64_t>>(memory, offsets_of(shape).ring);
    for (std::uint32_t priority = 0; priority < shape.priorities; ++priority) {
        rings_[priority].ring = JobRing(control_->ends[priority], slots + priority * size, size);
    }
}

JobQueue::JobQueue(const JobQueue& other) noexcept
    : shape_(other.shape_),
      control_(other.control_),
      taken_(other.taken_),
      later_(other.later_),
      keys_(other.keys_),
      results_(other.results_),
      records_(other.records_),
      stride_(other.stride_),
      lanes_(other.lanes_),
      cursor_(other.cursor_.load(std::memory_order_relaxed)) {
    for (std::size_t priority = 0; priority < rings_.size(); ++priority) {
        rings_[priority].ring = other.rings_[priority].ring;
    }
}

void JobQueue::join(Owner me) noexcept {
    control_->users.insert(me.lane);
    // Far from where others look for a free job.
    cursor_.store(
        static_cast<std::uint32_t>(std::size_t{me.lane} * 7 % taken_words(shape_.capacity) * 64),
        std::memory_order_relaxed);
}

// -- submit -----------------------------------------------------------------------------------

std::optional<JobId> JobQueue::submit(Owner me, std::span<const std::byte> item,
                                      const JobTerms& terms) noexcept {
    std::optional<JobId> id;
    if (const SubmittedWord ready = submit_here(me, item, terms); ready.word != 0) {
        id = job_id(ready.number, ready.word);
    }
    return id;
}

/// All of a submit but its commit point; `number` is kNone when there is no room.
std::uint32_t JobQueue::claim_and_write(Owner me, std::span<const std::byte> item,
                                        const JobTerms& terms, std::uint64_t& writing) noexcept {
    CHECK(item.size() <= shape_.item_size && terms.priority < shape_.priorities);
    const std::uint32_t number = claim_any(me, cursor_.load(std::memory_order_relaxed), writing);
    if (number != kNone) {
        write(job(number), item, terms);
    }
    return number;
}

std::uint32_t JobQueue::claim_any(Owner me, std::uint32_t next, std::uint64_t& writing) noexcept {
    const std::size_t words = taken_words(shape_.capacity);
    const std::uint64_t after = ~std::uint64_t{0} << (next % 64);
    std::size_t at = next / 64;
    // The first word is visited twice: what is after `next`, and what is before it.
    for (std::size_t i = 0; i <= words; ++i) {
        at = i < 2 ? at : (at + 1 < words ? at + 1 : 0);
        std::uint64_t free = ~taken_[at].load(std::memory_order_seq_cst);
        free &= i == 0 ? after : (i == 1 ? ~after : ~std::uint64_t{0});
        for (; free != 0; free &= free - 1) {
            const auto bit = static_cast<std::uint32_t>(std::countr_zero(free));
            const auto number = static_cast<std::uint32_t>(at * 64) + bit;
            if (number >= shape_.capacity) {
                break;
            }
            if ((writing = claim_one(me, number)) != 0) {
                cursor_.store(number - bit + (bit + 1) % 64, std::memory_order_relaxed);
                return number;
            }
            set_taken(number);
        }
    }
    return kNone;
}

/// So that others who look for a FREE one need not come here. Only who has come in vain says so:
/// where one is mostly free again when somebody comes, nobody has to say anything.
void JobQueue::set_taken(std::uint32_t number) noexcept {
    const std::atomic<std::uint64_t>& word = job(number).word;
    if (!may_be_marked(word.load(std::memory_order_relaxed))) {
        return;
    }
    taken_[number / 64].fetch_or(std::uint64_t{1} << (number % 64), std::memory_order_seq_cst);
    // Who has freed it before that has not seen the bit; who frees it later does.
    if (!may_be_marked(word.load(std::memory_order_seq_cst))) {
        unmark(number);
    }
}

std::uint32_t JobQueue::priority_of(const JobRecord& record) const noexcept {
    return std::min(record.priority.load(std::memory_order_relaxed), shape_.priorities - 1);
}

/// So that takers come to it, if it is READY. After a seq_cst exchange of its word.
bool JobQueue::is_in_ring(std::uint32_t number) const noexcept {
    const JobRecord& here = record(number);
    return rings_[priority_of(here)].ring.holds(here.place.load(std::memory_order_seq_cst), number);
}

/// Puts a READY job where takers look first. Twice is as good as once.
void JobQueue::ring(std::uint32_t number) noexcept {
    ring(number, job(number), priority_of(job(number)));
}

/// For who may have many of them to ring: once one has found no room, takers look for the others
/// themselves, and a ring that a hostile process has spoilt is not walked for each of them.
void JobQueue::ring_if_there_is_room(std::uint32_t number) noexcept {
    if (control_->unringed.load(std::memory_order_seq_cst) == 0) {
        ring(number);
    } else {
        wake_one(control_->takers);
    }
}

// -- take -------------------------------------------------------------------------------------

std::optional<TakenJob> JobQueue::take(Owner me, Clock clock) noexcept {
    std::optional<TakenJob> taken;
    if (const TakenWord word = take_word(me, clock); word.word != 0) {
        taken = TakenJob{word.number, word.word, std::span(item(word.number), word.length)};
    }
    return taken;
}

TakenWord JobQueue::take_word(Owner me, Clock clock) noexcept {
    return take_here(me, clock);
}

TakenWord JobQueue::take_any(Owner me, Clock clock) noexcept {
    if (later_.first_due_ns() != 0) {
        look_for_due(clock());
    }
    std::uint32_t number = 0;
    std::uint64_t running = 0;
    for (std::uint32_t priority = shape_.priorities; running == 0 && priority-- != 0;) {
        running = take_from(priority, me, clock, number);
    }
    if (running == 0 && control_->unringed.load(std::memory_order_relaxed) != 0) {
        running = take_unringed(me, clock, number);
    }
    return running == 0 ? TakenWord{} : taken(number, running);
}

/// The first READY job from where this process has come to, or from the head if others have come
/// further. What is passed on the way there is looked at once more. Returns its word; 0: there is
/// none.
inline std::uint64_t JobQueue::take_from(std::uint32_t priority, Owner me, Clock clock,
                                         std::uint32_t& number) noexcept {
    const JobRing& ring_here = rings_[priority].ring;
    std::atomic<std::uint64_t>& next = rings_[priority].next;
    const std::uint64_t head = ring_here.head();
    std::uint64_t place = std::max(head, next.load(std::memory_order_relaxed));
    std::array<std::uint32_t, kPassedAtOnce> passed;
    std::size_t count = 0;
    std::uint64_t steps = 4 * ring_here.size();
    std::uint64_t running = 0;
    for (; running == 0 && ring_here.first(place, number, steps); --steps) {
        if (number < shape_.capacity) {  // else nobody of ours wrote this
            running = take_this(me, number, clock);
            passed[count] = number;
            count += running == 0 ? 1 : 0;
        }
        ++place;
        if (count == passed.size()) {
            ring_here.pass(place);
            look_again(passed);
            count = 0;
        }
    }
    if (count != 0) {
        ring_here.pass(place);
        look_again(std::span(passed).first(count));
    } else if (place - head >= (running != 0 ? ring_here.row() : 1)) {
        ring_here.pass(place);
    }
    next.store(place, std::memory_order_relaxed);
    std::uint32_t following = 0;
    if (ring_here.first(place, following, steps) && following < shape_.capacity) {
        prefetch_to_write(&record(following), kCacheLine);
    }
    return running;
}

/// They were passed, and may have become READY since they were looked at: by a sweep that saw
/// their entries still to come, say.
void JobQueue::look_again(std::span<const std::uint32_t> passed) noexcept {
    for (const std::uint32_t number : passed) {
        ring_if_ready(number);
    }
}

void JobQueue::ring_if_ready(std::uint32_t number) noexcept {
    if (JobWord::unpack(job(number).word.load(std::memory_order_seq_cst)).state ==
            JobState::Ready &&
        !is_in_ring(number)) {
        ring(number);
    }
}

/// For the rare job that did not fit into its ring: in the order of their numbers.
std::uint64_t JobQueue::take_unringed(Owner me, Clock clock, std::uint32_t& number) noexcept {
    (void)control_->unringed.exchange(0, std::memory_order_seq_cst);
    for (number = 0; number < shape_.capacity; ++number) {
        if (const std::uint64_t running = take_this(me, number, clock)) {
            control_->unringed.store(1, std::memory_order_seq_cst);  // there may be more
            return running;
        }
    }
    return 0;
}

// -- the end of a job -------------------------------------------------------------------------

bool JobQueue::ack(std::uint32_t number, std::uint64_t word) noexcept {
    return ack_here(number, word);
}

bool JobQueue::end_unasked(std::uint32_t number, std::uint64_t word) noexcept {
    return end_here(number, word);
}

/// After its word says FREE.
void JobQueue::set_free(std::uint32_t number) noexcept {
    tell_of_room(number);
}

void JobQueue::unmark(std::uint32_t number) noexcept {
    taken_[number / 64].fetch_and(~(std::uint64_t{1} << (number % 64)), std::memory_order_seq_cst);
}

NackResult JobQueue::nack(const TakenJob& job_taken, std::uint64_t not_before_ns) noexcept {
    JobRecord& record = job(job_taken.number);
    std::uint64_t packed = job_taken.word;
    const JobWord running = JobWord::unpack(packed);
    const bool is_over = running.attempts >= shape_.max_attempts;
    if (!is_over && not_before_ns != 0) {
        return put_off(job_taken, not_before_ns);
    }
    const JobWord next{is_over ? JobState::Dead : JobState::Ready, 0, 0, running.attempts,
                       running.version};
    if (!record.word.compare_exchange_strong(packed, next.pack(), std::memory_order_acq_rel)) {
        return NackResult::NotYours;
    }
    if (is_over) {
        tell_asker(job_taken.number, running.version);
        return NackResult::DeadLetter;
    }
    ring(job_taken.number);
    return NackResult::Again;
}

// -- again, but later ---------------------------------------------------------------------------

NackResult JobQueue::put_off(const TakenJob& job_taken, std::uint64_t not_before_ns) noexcept {
    JobRecord& record = job(job_taken.number);
    std::uint64_t packed = job_taken.word;
    if (record.word.load(std::memory_order_acquire) != packed) {
        return NackResult::NotYours;  // nor is what lies beside the word
    }
    record.not_before_ns.store(not_before_ns, std::memory_order_relaxed);
    later_.mark(job_taken.number);
    const JobWord running = JobWord::unpack(packed);
    const JobWord later{JobState::Later, 0, 0, running.attempts, running.version};
    // The commit point: from here on it is nobody's, and made ready by whoever looks in time.
    if (!record.word.compare_exchange_strong(packed, later.pack(), std::memory_order_seq_cst)) {
        return NackResult::NotYours;
    }
    if (later_.bring_forward(not_before_ns)) {
        (void)control_->takers.wake_all(lanes_);  // each sleeps until the first is due, not longer
    }
    return NackResult::Later;
}

void JobQueue::look_for_due(std::uint64_t now_ns) noexcept {
    later_.look(now_ns, [this, now_ns](std::uint32_t number) { return due_time(number, now_ns); });
}

/// LATER -> READY when its time has come. Else when that is; 0: it runs; nothing: it is neither.
std::optional<std::uint64_t> JobQueue::due_time(std::uint32_t number,
                                                std::uint64_t now_ns) noexcept {
    JobRecord& record = job(number);
    std::uint64_t packed = record.word.load(std::memory_order_seq_cst);
    const JobWord later = JobWord::unpack(packed);
    if (later.state == JobState::Running) {
        return 0;
    }
    if (later.state != JobState::Later) {
        return std::nullopt;
    }
    const std::uint64_t not_before = record.not_before_ns.load(std::memory_order_relaxed);
    if (now_ns < not_before) {
        return not_before;
    }
    const JobWord ready{JobState::Ready, 0, 0, later.attempts, later.version};
    if (record.word.compare_exchange_strong(packed, ready.pack(), std::memory_order_seq_cst)) {
        ring(number);
    }
    return std::nullopt;
}

// -- dead letters -------------------------------------------------------------------------------

bool JobQueue::leave_dead_letters(JobId id, JobState next) noexcept {
    const auto number = static_cast<std::uint32_t>(id);
    if (number >= shape_.capacity) {
        return false;
    }
    JobRecord& record = job(number);
    std::uint64_t packed = record.word.load(std::memory_order_acquire);
    const JobWord dead = JobWord::unpack(packed);
    const JobWord left{next, 0, next == JobState::Ready ? JobWord::kAnyTime : 0, 0, dead.version};
    return dead.state == JobState::Dead && dead.version == id >> 32U &&
           record.word.compare_exchange_strong(packed, left.pack(), std::memory_order_seq_cst);
}

bool JobQueue::retry(JobId id) noexcept {
    if (!leave_dead_letters(id, JobState::Ready)) {
        return false;
    }
    ring_if_there_is_room(static_cast<std::uint32_t>(id));
    return true;
}

bool JobQueue::drop(JobId id) noexcept {
    const auto number = static_cast<std::uint32_t>(id);
    // Before another one has its place.
    const std::uint64_t asker =
        number < shape_.capacity ? asker_of(number, static_cast<std::uint32_t>(id >> 32U)) : 0;
    if (!leave_dead_letters(id, JobState::Free)) {
        return false;
    }
    set_free(number);
    tell(asker);
    return true;
}

}  // namespace topsman::shm
