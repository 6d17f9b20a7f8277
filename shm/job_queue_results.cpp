// Jobs whose submitter waits for the result: see job_results.hpp.

#include "shm/base/check.hpp"
#include "shm/job_queue.hpp"

namespace topsman::shm {

std::optional<JobId> JobQueue::ask(Owner me, std::span<const std::byte> item,
                                   const JobTerms& terms) noexcept {
    CHECK(shape_.result_size != 0);
    std::uint64_t writing = 0;
    const std::uint32_t number = claim_and_write(me, item, terms, writing);
    if (number == kNone) {
        return std::nullopt;
    }
    const std::uint32_t version = JobWord::unpack(writing).version;
    results_.asker(number).store(JobResults::done_word(me, version), std::memory_order_relaxed);
    // The commit point, as in submit().
    job(number).word.store(JobWord{JobState::Ready, 0, 0, 0, version}.pack(),
                           std::memory_order_release);
    ring(number);
    return job_id(number, writing);
}

/// Who wants the result of this version, as the word that the job has then; 0: nobody does.
std::uint64_t JobQueue::asker_of(std::uint32_t number, std::uint32_t version) const noexcept {
    if (shape_.result_size == 0) {
        return 0;
    }
    const std::uint64_t asker = results_.asker(number).load(std::memory_order_seq_cst);
    const JobWord done = JobWord::unpack(asker);
    return done.state == JobState::Done && done.version == version ? asker : 0;
}

bool JobQueue::ack(std::uint32_t number, std::uint64_t word,
                   std::span<const std::byte> result) noexcept {
    CHECK(result.size() <= shape_.result_size);
    const std::uint64_t done = asker_of(number, JobWord::unpack(word).version);
    if (done == 0) {
        return end_unasked(number, word);  // nor will anybody ask: that is done before it is READY
    }
    JobRecord& record = job(number);
    std::uint64_t packed = word;
    if (record.word.load(std::memory_order_acquire) != packed) {
        return false;  // nor is what lies beside the word the caller's
    }
    results_.store(number, result);
    // The commit point: it will not be executed again, and its result is there.
    if (!record.word.compare_exchange_strong(packed, done, std::memory_order_seq_cst)) {
        return false;
    }
    if (is_done_for_nobody(number, done)) {
        free_done(number, done);
    } else {
        tell(done);
    }
    return true;
}

/// After a seq_cst exchange of the job's word, or of its asker.
bool JobQueue::is_done_for_nobody(std::uint32_t number, std::uint64_t word) const noexcept {
    return JobWord::unpack(word).state == JobState::Done &&
           results_.asker(number).load(std::memory_order_seq_cst) != word;
}

/// DONE -> FREE. By several at once, one of whom does it.
void JobQueue::free_done(std::uint32_t number, std::uint64_t done) noexcept {
    std::uint64_t packed = done;
    const JobWord free{JobState::Free, 0, 0, 0, JobWord::unpack(done).version};
    if (job(number).word.compare_exchange_strong(packed, free.pack(), std::memory_order_seq_cst)) {
        set_free(number);
    }
}

void JobQueue::tell(std::uint64_t asker) const noexcept {
    if (asker != 0) {
        (void)control_->askers.wake_lane(lanes_, JobWord::unpack(asker).lane);
    }
}

/// The job has come to its end in another way than by an ack.
void JobQueue::tell_asker(std::uint32_t number, std::uint32_t version) const noexcept {
    tell(asker_of(number, version));
}

Answer JobQueue::look_for(JobId id) const noexcept {
    const auto number = static_cast<std::uint32_t>(id);
    CHECK(number < shape_.capacity && shape_.result_size != 0);
    const JobWord word = JobWord::unpack(record(number).word.load(std::memory_order_seq_cst));
    if (word.version != id >> 32U) {
        return {AnswerState::Dropped, 0, {}};
    }
    switch (word.state) {
        case JobState::Done:
            return {AnswerState::Done, 0, results_.load(number)};
        case JobState::Dead:
            return {word.generation == JobWord::kTooLate ? AnswerState::TooLate
                                                         : AnswerState::DeadLetter,
                    word.attempts,
                    {}};
        case JobState::Free:
            return {AnswerState::Dropped, 0, {}};
        default:
            return {};
    }
}

void JobQueue::withdraw(Owner me, JobId id) noexcept {
    const auto number = static_cast<std::uint32_t>(id);
    const std::uint64_t done = JobResults::done_word(me, static_cast<std::uint32_t>(id >> 32U));
    CHECK(number < shape_.capacity && shape_.result_size != 0);
    std::uint64_t mine = done;
    // Another's, of another job in this place: it was withdrawn before.
    if (results_.asker(number).compare_exchange_strong(mine, 0, std::memory_order_seq_cst)) {
        free_done(number, done);
    }
}

/// The dead want no results any more; nor does anybody for whom they have freed none.
void JobQueue::sweep_result(Owner dead, std::uint32_t number) noexcept {
    std::atomic<std::uint64_t>& asker = results_.asker(number);
    std::uint64_t seen = asker.load(std::memory_order_seq_cst);
    if (seen != 0 && JobWord::unpack(seen).lane == dead.lane) {
        (void)asker.compare_exchange_strong(seen, 0, std::memory_order_seq_cst);
    }
    const std::uint64_t word = job(number).word.load(std::memory_order_seq_cst);
    if (is_done_for_nobody(number, word)) {
        free_done(number, word);
    }
}

}  // namespace topsman::shm
