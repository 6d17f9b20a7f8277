// What a dead process leaves in a queue, given back. Runs beside living producers and consumers:
// each step is one exchange of one word, and may be done twice.

#include "shm/job_queue.hpp"

namespace topsman::shm {
namespace {

/// Could one of ours have written it?
bool is_legal(const JobWord& word, const QueueShape& shape) noexcept {
    const bool is_nobodys = word.state == JobState::Dead || word.state == JobState::Later;
    const JobState last = shape.result_size != 0 ? JobState::Done : JobState::Later;
    return word.state <= last && !(is_nobodys && word.lane != 0);
}

}  // namespace

QueueSweep JobQueue::sweep(Owner dead) noexcept {
    QueueSweep found;
    // The master itself (lane 0) never joins: it may have died while it submitted for a script, or
    // between a dead letter's retry and the ring. Only its successor sweeps it, before it submits.
    if (dead.lane != 0 && !control_->users.contains(dead.lane)) {
        return found;
    }
    std::uint64_t illegal = 0;
    for (std::uint32_t number = 0; number < shape_.capacity; ++number) {
        const JobWord word = JobWord::unpack(job(number).word.load(std::memory_order_acquire));
        if (!is_legal(word, shape_)) {
            ++illegal;  // nobody of ours wrote this: it is left alone, and shown
            continue;
        }
        give_back(dead, number, found);
        if (shape_.result_size != 0) {
            sweep_result(dead, number);
        }
        repair_hints(number);
    }
    control_->takers.forget(dead.lane);
    control_->submitters.forget(dead.lane);
    control_->askers.forget(dead.lane);
    control_->illegal.store(illegal, std::memory_order_relaxed);
    // Last: a master that dies before has it all to do again.
    control_->users.erase(dead.lane);
    return found;
}

/// WRITING and RUNNING of the dead. By the lane alone: a lane has one holder at a time, so none of
/// its former ones lives either.
void JobQueue::give_back(Owner dead, std::uint32_t number, QueueSweep& found) noexcept {
    JobRecord& record = job(number);
    std::uint64_t packed = record.word.load(std::memory_order_acquire);
    const JobWord word = JobWord::unpack(packed);
    if (word.lane != dead.lane || (dead.lane == 0 && word.state != JobState::Writing)) {
        return;
    }
    if (word.state == JobState::Writing) {
        const JobWord free{JobState::Free, 0, 0, 0, word.version};
        if (record.word.compare_exchange_strong(packed, free.pack(), std::memory_order_acq_rel)) {
            ++found.unfinished;
        }
    } else if (word.state == JobState::Running) {
        const bool is_over = word.attempts >= shape_.max_attempts;
        const JobWord next{is_over ? JobState::Dead : JobState::Ready, 0, 0, word.attempts,
                           word.version};
        if (record.word.compare_exchange_strong(packed, next.pack(), std::memory_order_seq_cst)) {
            ++(is_over ? found.dead_letters : found.again);
        }
    }
}

/// The dead may have gone between a commit point and the hint that follows it.
void JobQueue::repair_hints(std::uint32_t number) noexcept {
    JobRecord& record = job(number);
    const JobWord word = JobWord::unpack(record.word.load(std::memory_order_seq_cst));
    if (word.state == JobState::Free) {
        // When a living one has freed it just now, or claims it meanwhile, the bit is wrong for a
        // while: who relies on it finds that the job is not free.
        if (is_taken(number)) {
            set_free(number);
        }
    } else if (word.state == JobState::Ready && !is_in_ring(number)) {
        ring_if_there_is_room(number);
    } else if (word.state == JobState::Later) {
        later_.mark(number);
        (void)later_.bring_forward(record.not_before_ns.load(std::memory_order_relaxed));
    } else if (word.state == JobState::Running) {
        // Its owner may be about to put it off, and the dead have taken its mark away.
        later_.mark(number);
        // The dead may have marked it, and not looked again: see set_taken().
        if (is_taken(number)) {
            unmark(number);
        }
    }
}

}  // namespace topsman::shm
