#pragma once

// A bounded queue of jobs, many producers and many consumers, any of which may die at any
// instruction: what was submitted is executed at least once or becomes a dead letter.
//
//   FREE --claim--> WRITING --submit--> READY --take--> RUNNING --ack--> FREE
//                                       ^   ^              |  nack, or the taker's death
//                                       |   +--------------+----> DEAD  after max_attempts
//                                       +--due-- LATER <---+  nack with a delay
//
// Each arrow is one exchange (or store, by the owner) of the job's own word, its commit point:
// before it nothing has happened, after it everything has. WRITING and RUNNING name the lane that
// owns the job; only that lane's holder, or the sweep after its death, changes them. The rest is
// hints, which peers help forward and the sweep repairs: the ring of READY jobs, the set of taken
// ones, that of LATER ones and when to look there: takers do, and sleep no longer than until then.
// A job is claimed before the ring's head passes it, so it is never in neither.
//
// Of jobs with the same key there is one at a time, from READY until it is FREE again: a dead
// letter counts. Whoever submits one claims its key's bucket by one exchange, for a job that is
// written but for its state. Whether it becomes READY, because no other one has its key, is decided
// by anybody who comes to that claim, by the one exchange of the job's word: so nobody waits for
// the claimer, and nobody else can claim the bucket before that is decided. See key_table.hpp.
//
// Who submits a job may ask for its result: then its ack makes it DONE, with the result beside it,
// until the asker has read it or does not want it any more. See job_results.hpp.
//
// A view like std::span: it is made from a shape that was checked and copied, and trusts no word in
// the segment; every number is checked before it is an index.

#include "shm/job_results.hpp"
#include "shm/job_ring.hpp"
#include "shm/job_word.hpp"
#include "shm/key_table.hpp"
#include "shm/lane.hpp"
#include "shm/lane_set.hpp"
#include "shm/later_jobs.hpp"
#include "shm/limits.hpp"
#include "shm/parking.hpp"
#include "shm/queue_shape.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace topsman::shm {

/// As it lies in the segment: at the beginning of a queue, before the set of taken jobs, the ring
/// and the jobs. All zeros is an empty queue.
struct alignas(kCacheLine) QueueControl {
    RingEnds ends[kMaxPriorities];
    alignas(
        kCacheLine) std::atomic<std::uint32_t> unringed;  ///< a READY job may not be in the ring
    std::atomic<std::uint64_t> illegal;  ///< words that the last sweep found impossible
    std::atomic<std::uint64_t> due;      ///< when a LATER job may be due: see LaterJobs
    LaneSet users;                       ///< lanes that may own jobs: the others need no sweep
    Parking takers;                      ///< wait for a READY job
    Parking submitters;                  ///< wait for a FREE one
    Parking askers;                      ///< wait for the end of one of theirs
};

/// As it lies in the segment, followed by the item.
struct JobRecord {
    std::atomic<std::uint64_t> word;           ///< JobWord: the truth
    std::atomic<std::uint64_t> place;          ///< of its last entry in the ring, a hint
    std::atomic<std::uint64_t> since_ns;       ///< CLOCK_MONOTONIC of its submit; 0: unknown
    std::atomic<std::uint64_t> not_before_ns;  ///< of a LATER job
    std::atomic<std::uint64_t> deadline_ns;    ///< not taken before it: a dead letter; 0: none
    std::atomic<std::uint32_t> length;
    std::atomic<std::uint32_t> priority;  ///< which ring it is put into
};

/// What is said of a job beside its item; times are of CLOCK_MONOTONIC.
struct JobTerms {
    std::uint64_t now_ns = 0;       ///< for lookers, who show its age
    std::uint64_t deadline_ns = 0;  ///< not taken before it: a dead letter; 0: none
    std::uint32_t priority = 0;     ///< below the shape's number of them
};

/// A job that the caller has submitted, as it fits into two registers; a word of 0: none.
struct SubmittedWord {
    std::uint64_t word = 0;
    std::uint32_t number = 0;
};

/// A job that the caller has taken, as it fits into two registers; a word of 0: none.
struct TakenWord {
    std::uint64_t word = 0;
    std::uint32_t number = 0;
    std::uint32_t length = 0;
};

/// A job that the caller has taken; the word is the token that ack and nack need.
struct TakenJob {
    std::uint32_t number = 0;
    std::uint64_t word = 0;
    std::span<const std::byte> item;  ///< in the segment; the caller's own until ack or nack
};

/// Names one item for ever (until 2^32 more have had its place): version:32 | number:32.
using JobId = std::uint64_t;

[[nodiscard]] constexpr JobId job_id(std::uint32_t number, std::uint64_t word) noexcept {
    return (word >> 32U << 32U) | number;
}

/// What has become of a job whose result somebody has asked for.
enum class AnswerState : std::uint8_t {
    NotYet,
    Done,        ///< its result is there
    DeadLetter,  ///< tried often enough
    TooLate,     ///< a dead letter too: its deadline had passed before it was taken
    Dropped,     ///< it was a dead letter, and somebody has forgotten it
};

struct Answer {
    AnswerState state = AnswerState::NotYet;
    std::uint32_t attempts = 0;         ///< of a dead letter
    std::span<const std::byte> result;  ///< in the segment; there until the asker withdraws
};

/// What became of a submit with a key.
struct KeyedJob {
    JobId id = 0;  ///< of the job that has the key
    bool is_new = false;
};

enum class NackResult : std::uint8_t { Again, Later, DeadLetter, NotYours };

/// What a sweep of one lane found.
struct QueueSweep {
    std::uint32_t unfinished = 0;    ///< half written items, given up
    std::uint32_t again = 0;         ///< jobs of the dead that can be taken again
    std::uint32_t dead_letters = 0;  ///< jobs of the dead that were tried often enough
};

class JobQueue {
  public:
    /// `memory` has queue_bytes(shape) bytes, at a multiple of kCacheLine.
    JobQueue(std::byte* memory, const QueueShape& shape, std::span<Lane> lanes) noexcept;
    JobQueue(const JobQueue& other) noexcept;
    JobQueue& operator=(const JobQueue&) = delete;
    ~JobQueue() = default;

    [[nodiscard]] const QueueShape& shape() const noexcept { return shape_; }

    /// A lane says so before its first submit or take.
    void join(Owner me) noexcept;

    /// The item is copied. Nothing when there is no free job. When it returns, the item is
    /// executed at least once or becomes a dead letter. `item` has at most item_size bytes.
    [[nodiscard]] std::optional<JobId> submit(Owner me, std::span<const std::byte> item,
                                              const JobTerms& terms = {}) noexcept;

    /// The same, unless there is a job with that key already, a dead letter or one that runs: then
    /// that one is the answer. Nothing when there is no free job. Only with has_keys.
    [[nodiscard]] std::optional<KeyedJob> submit_once(Owner me, const JobKey& key,
                                                      std::span<const std::byte> item,
                                                      const JobTerms& terms = {}) noexcept;

    /// A submit() by one who wants the result: from now on look_for() and wait_for() say what has
    /// become of the job. Until withdraw(), or the asker's death, a job that was executed keeps its
    /// place. Only with a result_size.
    [[nodiscard]] std::optional<JobId> ask(Owner me, std::span<const std::byte> item,
                                           const JobTerms& terms = {}) noexcept;
    [[nodiscard]] Answer look_for(JobId id) const noexcept;
    /// The asker has read the result, or wants none any more: then the job is one like all others.
    /// Twice is as good as once.
    void withdraw(Owner me, JobId id) noexcept;

    /// The job that has this key now.
    [[nodiscard]] std::optional<JobId> find(const JobKey& key) const noexcept;

    /// CLOCK_MONOTONIC. Asked only when there is a job for which it matters.
    using Clock = std::uint64_t (*)() noexcept;

    /// The job that was ready first among those of the highest priority. Nothing when none is
    /// ready. One whose deadline has passed is not handed out: it becomes a dead letter.
    [[nodiscard]] std::optional<TakenJob> take(Owner me, Clock clock = &monotonic_ns) noexcept;
    /// The same, for who is in a hurry.
    [[nodiscard]] TakenWord take_word(Owner me, Clock clock = &monotonic_ns) noexcept;

    // -- the same, waiting: in job_queue_wait.cpp ----------------------------------------------
    // Until it can be done, the deadline has passed or `is_over()` (which may be asked at any time,
    // and when the lane is woken) says that nobody wants it any more: then nothing.

    using IsOver = bool (*)() noexcept;

    [[nodiscard]] std::optional<JobId> submit_until(Owner me, std::span<const std::byte> item,
                                                    const JobTerms& terms, Deadline deadline,
                                                    IsOver is_over) noexcept;
    [[nodiscard]] std::optional<KeyedJob> submit_once_until(Owner me, const JobKey& key,
                                                            std::span<const std::byte> item,
                                                            const JobTerms& terms,
                                                            Deadline deadline,
                                                            IsOver is_over) noexcept;
    [[nodiscard]] std::optional<JobId> ask_until(Owner me, std::span<const std::byte> item,
                                                 const JobTerms& terms, Deadline deadline,
                                                 IsOver is_over) noexcept;
    /// NotYet: it was so until the deadline.
    [[nodiscard]] Answer wait_for(Owner me, JobId id, Deadline deadline, IsOver is_over) noexcept;
    [[nodiscard]] std::optional<TakenJob> take_until(Owner me, Deadline deadline,
                                                     IsOver is_over) noexcept;

    [[nodiscard]] static std::uint64_t monotonic_ns() noexcept;

    // -- the end of a job ----------------------------------------------------------------------

    /// It is done. False: the job is not the caller's any more (it acked or nacked it before).
    [[nodiscard]] bool ack(const TakenJob& job) noexcept { return ack(job.number, job.word); }

    [[nodiscard]] bool ack(std::uint32_t number, std::uint64_t word) noexcept;

    /// The same, with a result of at most result_size bytes for who has asked for one. Nobody has:
    /// an ack like any other.
    [[nodiscard]] bool ack(std::uint32_t number, std::uint64_t word,
                           std::span<const std::byte> result) noexcept;

    /// It is not done: again, behind those that are ready by now, or a dead letter. Not again
    /// before `not_before_ns` (CLOCK_MONOTONIC), if it is not 0.
    [[nodiscard]] NackResult nack(const TakenJob& job, std::uint64_t not_before_ns = 0) noexcept;

    /// Gives back what the dead holder of a lane held, and repairs the hints that it may have left
    /// wrong. By the master alone; concurrent with living users; may be done again and again.
    QueueSweep sweep(Owner dead) noexcept;

    // -- the way of an ordinary job as part of the caller: in job_queue_path.hpp -----------------

    [[nodiscard]] SubmittedWord submit_here(const Owner& me, std::span<const std::byte> item,
                                            const JobTerms& terms) noexcept;
    [[nodiscard]] TakenWord take_here(const Owner& me, Clock clock) noexcept;
    [[nodiscard]] bool ack_here(std::uint32_t number, std::uint64_t word) noexcept;

    // -- dead letters: anybody may do these ----------------------------------------------------

    /// Makes a dead letter a job again, with no attempts and no deadline. False: it is none (any
    /// more).
    [[nodiscard]] bool retry(JobId id) noexcept;
    /// Forgets a dead letter. False: it is none (any more).
    [[nodiscard]] bool drop(JobId id) noexcept;

    // -- for lookers ----------------------------------------------------------------------------

    [[nodiscard]] const QueueControl& control() const noexcept { return *control_; }

    [[nodiscard]] const JobRecord& record(std::uint32_t number) const noexcept {
        return *reinterpret_cast<const JobRecord*>(records_ + std::size_t{number} * stride_);
    }

    [[nodiscard]] const JobResults& results() const noexcept { return results_; }

    [[nodiscard]] const std::byte* item(std::uint32_t number) const noexcept {
        return reinterpret_cast<const std::byte*>(&record(number)) + sizeof(JobRecord);
    }

  private:
    /// No job.
    static constexpr std::uint32_t kNone = ~std::uint32_t{0};

    /// What this process alone knows of the ring of a priority.
    struct OfPriority {
        JobRing ring;
        std::atomic<std::uint64_t> next = 0;    ///< between the head and it: what we have taken
        std::atomic<std::uint64_t> passed = 0;  ///< a head that we have seen
    };

    [[nodiscard]] JobRecord& job(std::uint32_t number) const noexcept {
        return *reinterpret_cast<JobRecord*>(records_ + std::size_t{number} * stride_);
    }

    [[nodiscard]] std::byte* item_of(JobRecord& record) const noexcept {
        return reinterpret_cast<std::byte*>(&record) + sizeof(JobRecord);
    }

    void write(JobRecord& record, std::span<const std::byte> item,
               const JobTerms& terms) const noexcept;
    [[nodiscard]] std::uint32_t claim_and_write(Owner me, std::span<const std::byte> item,
                                                const JobTerms& terms,
                                                std::uint64_t& writing) noexcept;
    [[nodiscard]] std::optional<JobId> find(const JobKey& key, std::uint64_t but) const noexcept;
    [[nodiscard]] bool is_spent(std::uint64_t packed_name) const noexcept;
    [[nodiscard]] bool enter(const JobKey& key, std::uint64_t name) noexcept;
    void decide(std::uint64_t packed_name) noexcept;
    [[nodiscard]] std::optional<KeyedJob> settled(const JobKey& key, std::uint32_t number,
                                                  JobWord mine) noexcept;
    [[nodiscard]] JobWord settle(const JobKey& key, std::uint32_t number, JobWord mine) noexcept;
    [[nodiscard]] std::uint32_t claim(const Owner& me, std::uint64_t& writing) noexcept;
    [[nodiscard]] std::uint64_t claim_one(const Owner& me, std::uint32_t number) noexcept;
    [[nodiscard]] std::uint32_t claim_any(Owner me, std::uint32_t next,
                                          std::uint64_t& writing) noexcept;
    [[nodiscard]] std::uint64_t take_from(std::uint32_t priority, Owner me, Clock clock,
                                          std::uint32_t& number) noexcept;
    [[nodiscard]] TakenWord take_any(Owner me, Clock clock) noexcept;
    [[nodiscard]] TakenWord taken(std::uint32_t number, std::uint64_t running) const noexcept;
    void go_on_behind(std::uint64_t place, std::uint64_t head, OfPriority& here) const noexcept;
    void look_again(std::span<const std::uint32_t> passed) noexcept;
    [[nodiscard]] std::uint64_t take_this(const Owner& me, std::uint32_t number,
                                          Clock clock) noexcept;
    [[nodiscard]] std::uint64_t take_unringed(Owner me, Clock clock,
                                              std::uint32_t& number) noexcept;
    [[nodiscard]] NackResult put_off(const TakenJob& job_taken,
                                     std::uint64_t not_before_ns) noexcept;
    void look_for_due(std::uint64_t now_ns) noexcept;
    [[nodiscard]] std::optional<std::uint64_t> due_time(std::uint32_t number,
                                                        std::uint64_t now_ns) noexcept;
    [[nodiscard]] std::uint32_t priority_of(const JobRecord& record) const noexcept;
    [[nodiscard]] bool is_in_ring(std::uint32_t number) const noexcept;
    void ring(std::uint32_t number) noexcept;
    void ring(std::uint32_t number, JobRecord& record, std::uint32_t priority) noexcept;
    void ring_if_ready(std::uint32_t number) noexcept;
    void ring_if_there_is_room(std::uint32_t number) noexcept;
    void wake_one(Parking& parking) const noexcept;

    [[nodiscard]] bool is_taken(std::uint32_t number) const noexcept {
        return (taken_[number / 64].load(std::memory_order_seq_cst) >> (number % 64) & 1U) != 0;
    }

    void set_taken(std::uint32_t number) noexcept;
    void unmark(std::uint32_t number) noexcept;
    void set_free(std::uint32_t number) noexcept;
    void tell_of_room(std::uint32_t number) noexcept;
    void give_back(Owner dead, std::uint32_t number, QueueSweep& found) noexcept;
    void repair_hints(std::uint32_t number) noexcept;
    [[nodiscard]] bool leave_dead_letters(JobId id, JobState next) noexcept;
    [[nodiscard]] bool end_here(std::uint32_t number, std::uint64_t word) noexcept;
    [[nodiscard]] bool end_unasked(std::uint32_t number, std::uint64_t word) noexcept;
    [[nodiscard]] bool is_done_for_nobody(std::uint32_t number, std::uint64_t word) const noexcept;
    void free_done(std::uint32_t number, std::uint64_t done) noexcept;
    [[nodiscard]] std::uint64_t asker_of(std::uint32_t number,
                                         std::uint32_t version) const noexcept;
    void tell(std::uint64_t asker) const noexcept;
    void tell_asker(std::uint32_t number, std::uint32_t version) const noexcept;
    void sweep_result(Owner dead, std::uint32_t number) noexcept;

    QueueShape shape_;
    QueueControl* control_;
    std::atomic<std::uint64_t>* taken_;  ///< a bit per job: somebody has found it not free, a hint
    LaterJobs later_;
    KeyTable keys_;       ///< with has_keys
    JobResults results_;  ///< with a result_size
    std::byte* records_;
    std::size_t stride_;
    std::span<Lane> lanes_;

    // What this process alone knows, and what makes it quicker.
    /// Where it looks first for a FREE job.
    std::atomic<std::uint32_t> cursor_ = 0;

    std::array<OfPriority, kMaxPriorities> rings_;
};

}  // namespace topsman::shm
