#pragma once

// The way of an ordinary job, in one piece: submitted, taken and ended where nothing is in its way.
// For the queue's own source, and for the worker library, whose calls it becomes part of. Whatever
// is less ordinary is called from here, and lies in job_queue.cpp.

#include "shm/base/check.hpp"
#include "shm/fence.hpp"
#include "shm/job_queue.hpp"
#include "shm/prefetch.hpp"

#include <algorithm>
#include <cstring>

namespace topsman::shm {
namespace detail {

/// Most items are short, and then a call costs more than the copy.
[[gnu::always_inline]] inline void copy_item(std::byte* to,
                                             std::span<const std::byte> from) noexcept {
    constexpr std::size_t kHalf = 32;
    if (from.size() >= kHalf && from.size() <= 2 * kHalf) {
        const std::size_t rest = from.size() - kHalf;  // over some that were copied, too
        std::memcpy(to, from.data(), kHalf);
        std::memcpy(to + rest, from.data() + rest, kHalf);
    } else if (!from.empty()) {
        std::memcpy(to, from.data(), from.size());
    }
}

}  // namespace detail

// -- submit -----------------------------------------------------------------------------------

[[gnu::always_inline]] inline void JobQueue::write(JobRecord& record,
                                                   std::span<const std::byte> item,
                                                   const JobTerms& terms) const noexcept {
    record.length.store(static_cast<std::uint32_t>(item.size()), std::memory_order_relaxed);
    record.since_ns.store(terms.now_ns, std::memory_order_relaxed);
    record.deadline_ns.store(terms.deadline_ns, std::memory_order_relaxed);
    record.priority.store(terms.priority, std::memory_order_relaxed);
    detail::copy_item(item_of(record), item);
}

[[gnu::always_inline]] inline SubmittedWord JobQueue::submit_here(const Owner& me,
                                                                  std::span<const std::byte> item,
                                                                  const JobTerms& terms) noexcept {
    CHECK(item.size() <= shape_.item_size && terms.priority < shape_.priorities);
    std::uint64_t writing = 0;
    const std::uint32_t number = claim(me, writing);
    if (number == kNone) {
        return {};
    }
    JobRecord& record = job(number);
    write(record, item, terms);
    const std::uint64_t ready =
        JobWord{JobState::Ready, 0, 0, 0, JobWord::unpack(writing).version}.pack();
    // The commit point: from this store on the job will be executed, whoever dies.
    record.word.store(ready, std::memory_order_release);
    ring(number, record, terms.priority);
    return {ready, number};
}

/// In turns within one word of the set, and in the next one only when there is none: what was freed
/// in the order of its submits is free again when its turn comes, and still in the cache.
[[gnu::always_inline]] inline std::uint32_t JobQueue::claim(const Owner& me,
                                                            std::uint64_t& writing) noexcept {
    const std::uint32_t next = cursor_.load(std::memory_order_relaxed);
    // In the ordinary case it is the next one.
    if (next < shape_.capacity && !is_taken(next) && (writing = claim_one(me, next)) != 0) {
        const std::uint32_t after = (next & ~63U) | ((next + 1) & 63U);
        cursor_.store(after, std::memory_order_relaxed);
        prefetch_to_write(&record(after), kCacheLine);
        return next;
    }
    std::uint64_t another = 0;  // the caller's stays in a register
    const std::uint32_t number = claim_any(me, next, another);
    writing = another;
    return number;
}

/// FREE -> WRITING. Whoever dies from here to the commit point leaves a job that names it. Returns
/// the word; 0: it is not the caller's.
[[gnu::always_inline]] inline std::uint64_t JobQueue::claim_one(const Owner& me,
                                                                std::uint32_t number) noexcept {
    JobRecord& record = job(number);
    std::uint64_t packed = record.word.load(std::memory_order_relaxed);
    const JobWord free = JobWord::unpack(packed);
    if (free.state != JobState::Free) {
        return 0;
    }
    const std::uint64_t mine =
        JobWord{JobState::Writing, me.lane, me.generation, 0, free.version + 1}.pack();
    return record.word.compare_exchange_strong(packed, mine, std::memory_order_acq_rel) ? mine : 0;
}

[[gnu::always_inline]] inline void JobQueue::ring(std::uint32_t number, JobRecord& record,
                                                  std::uint32_t priority) noexcept {
    if (!rings_[priority].ring.push(number, record.place, rings_[priority].passed)) {
        control_->unringed.store(1, std::memory_order_seq_cst);  // takers look for it themselves
    }
    wake_one(control_->takers);
}

/// After a fence or a seq_cst exchange: who has entered the set before it is seen, who enters later
/// sees what was changed. A light fence is enough where those who wait have a heavy one.
[[gnu::always_inline]] inline void JobQueue::wake_one(Parking& parking) const noexcept {
    if (!parking.is_empty(lanes_)) {
        (void)parking.wake_one(lanes_);
    }
}

// -- take -------------------------------------------------------------------------------------

[[gnu::always_inline]] inline TakenWord JobQueue::take_here(const Owner& me, Clock clock) noexcept {
    // In the ordinary case the next entry is that of a READY job, and there is nothing else to see.
    if (shape_.priorities == 1 && later_.first_due_ns() == 0) {
        OfPriority& only = rings_[0];
        const std::uint64_t head = only.ring.head();
        const std::uint64_t place = std::max(head, only.next.load(std::memory_order_relaxed));
        const std::uint32_t number = only.ring.at(place);
        if (number < shape_.capacity) {
            if (const std::uint64_t running = take_this(me, number, clock)) {
                go_on_behind(place, head, only);
                return taken(number, running);
            }
        }
    }
    return take_any(me, clock);
}

/// READY -> RUNNING, the commit point of take(); too late it is READY -> DEAD. Returns the word; 0:
/// it is not the caller's.
[[gnu::always_inline]] inline std::uint64_t JobQueue::take_this(const Owner& me,
                                                                std::uint32_t number,
                                                                Clock clock) noexcept {
    JobRecord& record = job(number);
    std::uint64_t packed = record.word.load(std::memory_order_seq_cst);
    const JobWord ready = JobWord::unpack(packed);
    if (ready.state != JobState::Ready) {
        return 0;
    }
    const std::uint64_t deadline = record.deadline_ns.load(std::memory_order_relaxed);
    if (deadline != 0 && ready.generation != JobWord::kAnyTime && deadline <= clock()) {
        const JobWord late{JobState::Dead, 0, JobWord::kTooLate, ready.attempts, ready.version};
        if (record.word.compare_exchange_strong(packed, late.pack(), std::memory_order_acq_rel)) {
            tell_asker(number, ready.version);
        }
        return 0;
    }
    const std::uint64_t running =
        JobWord{JobState::Running, me.lane, me.generation,
                std::min(ready.attempts + 1, JobWord::kMaxAttempts), ready.version}
            .pack();
    // seq_cst, for set_taken(): who has seen it READY had set the bit before, so its ack sees that.
    if (!record.word.compare_exchange_strong(packed, running, std::memory_order_seq_cst)) {
        return 0;
    }
    // Its entry is stale now, even when it is READY again: this process goes on behind it.
    record.place.store(JobRing::kNowhere, std::memory_order_relaxed);
    if (ready.generation == JobWord::kAnyTime) {
        record.deadline_ns.store(0, std::memory_order_relaxed);  // nor at its next attempts
    }
    return running;
}

[[gnu::always_inline]] inline TakenWord JobQueue::taken(std::uint32_t number,
                                                        std::uint64_t running) const noexcept {
    const std::uint32_t length = record(number).length.load(std::memory_order_relaxed);
    return {running, number, std::min(length, shape_.item_size)};
}

/// Where this process goes on, when it has passed nothing on the way to `place` but what it has
/// taken.
[[gnu::always_inline]] inline void JobQueue::go_on_behind(std::uint64_t place, std::uint64_t head,
                                                          OfPriority& here) const noexcept {
    if (place + 1 - head >= here.ring.row()) {
        here.ring.pass(place + 1);
    }
    here.next.store(place + 1, std::memory_order_relaxed);
    if (const std::uint32_t following = here.ring.at(place + 1); following < shape_.capacity) {
        prefetch_to_write(&record(following), kCacheLine);
    }
}

// -- the end of a job -------------------------------------------------------------------------

[[gnu::always_inline]] inline bool JobQueue::ack_here(std::uint32_t number,
                                                      std::uint64_t word) noexcept {
    return shape_.result_size == 0 ? end_here(number, word) : ack(number, word, {});
}

/// RUNNING -> FREE. By a store: the word names the caller's lane, so while the caller lives nobody
/// else changes it, and the lane's other threads do not have this token.
[[gnu::always_inline]] inline bool JobQueue::end_here(std::uint32_t number,
                                                      std::uint64_t word) noexcept {
    JobRecord& record = job(number);
    if (record.word.load(std::memory_order_relaxed) != word) {
        return false;
    }
    const JobWord free{JobState::Free, 0, 0, 0, JobWord::unpack(word).version};
    // The commit point: it will not be executed again.
    record.word.store(free.pack(), std::memory_order_release);
    // Who is about to sleep until there is room has a heavy fence between entering the set and the
    // look for a FREE job: either it sees this one, or it is seen in the set.
    light_fence();
    tell_of_room(number);
    return true;
}

[[gnu::always_inline]] inline void JobQueue::tell_of_room(std::uint32_t number) noexcept {
    if (is_taken(number)) {
        unmark(number);
    }
    wake_one(control_->submitters);
}

}  // namespace topsman::shm
