#pragma once

// The queue of jobs whose submitters wait for the results: what is asked there and answered, and
// what must be left when all have gone.

#include "operation.hpp"

#include <cstring>

namespace topsman::torture::asked {

inline constexpr std::uint32_t kVictims = 1;    // the value that the victim asks about
inline constexpr std::uint32_t kAwaited = 2;    // and the one that the sleeping asker does
inline constexpr std::uint32_t kFromPeers = 3;  // those of peers, from here on
inline constexpr std::uint32_t kRounds = 9;     // more than there are places
inline constexpr std::uint32_t kValues = kFromPeers + kRounds;
inline constexpr Owner kSleeper{3, 1};  // has asked, and sleeps

/// What lies in a result: as long as may be, so that half of one is noticed.
struct Result {
    std::uint64_t words[kAskedQueue.result_size / sizeof(std::uint64_t)];
};

inline Result result_of(std::uint32_t value) {
    Result result{};
    for (std::uint64_t& word : result.words) {
        word = std::uint64_t{value} * 0x0101'0101'0101'0101U;
    }
    return result;
}

inline bool is_result_of(std::span<const std::byte> bytes, std::uint32_t value) {
    const Result expected = result_of(value);
    return bytes.size() == sizeof(expected) &&
           std::memcmp(bytes.data(), &expected, sizeof(expected)) == 0;
}

inline shm::JobQueue queue_of(const Arena& arena) {
    return arena.segment.queue(2);
}

inline shm::Parking& askers_of(const shm::JobQueue& queue) {
    return const_cast<shm::Parking&>(queue.control().askers);
}

/// 0 is no job's.
inline shm::JobId ask(shm::JobQueue& queue, Owner by, std::uint32_t value) {
    return queue.ask(by, std::as_bytes(std::span(&value, 1))).value_or(0);
}

inline bool still_asks(const shm::JobQueue& queue, Owner me, shm::JobId id) {
    const auto number = static_cast<std::uint32_t>(id);
    return id != 0 && queue.results().asker(number).load() ==
                          shm::JobResults::done_word(me, static_cast<std::uint32_t>(id >> 32U));
}

/// Who has withdrawn does not do it again: that would hide what it has left.
inline void withdraw(shm::JobQueue& queue, Owner me, shm::JobId id) {
    if (still_asks(queue, me, id)) {
        queue.withdraw(me, id);
    }
}

inline std::uint32_t value_of(const shm::TakenJob& job) {
    std::uint32_t value = 0;
    std::memcpy(&value, job.item.data(), std::min(job.item.size(), sizeof(value)));
    return value < kValues ? value : 0;
}

inline bool answer(shm::JobQueue& queue, const shm::TakenJob& job) {
    const Result result = result_of(value_of(job));
    return queue.ack(job.number, job.word, std::as_bytes(std::span(&result, 1)));
}

/// There is an answer, and who waits for it sleeps on.
inline bool sleeps_on(const Arena& arena, const shm::JobQueue& queue, Owner asker, shm::JobId id) {
    return still_asks(queue, asker, id) && queue.look_for(id).state != shm::AnswerState::NotYet &&
           queue.control().askers.has(asker.lane) &&
           arena.segment.lanes()[asker.lane].wake.load() == 0;
}

/// Empty: the sleeping one's answer is that of its job.
inline std::string awaited_answer(const shm::JobQueue& queue, shm::JobId awaited) {
    const shm::Answer got = queue.look_for(awaited);
    return got.state == shm::AnswerState::Done && is_result_of(got.result, kAwaited)
               ? ""
               : "who waits has no answer, or another's";
}

/// Empty: nobody asks, and each place can be had again and again, with a result and without.
inline std::string what_is_left(shm::JobQueue& queue, Owner living) {
    for (std::uint32_t i = 0; i < kAskedQueue.capacity; ++i) {
        if (queue.results().asker(i).load() != 0) {
            return "somebody asks who has gone";
        }
    }
    for (std::uint32_t round = 0; round < 2; ++round) {
        std::uint32_t there = 0;
        for (shm::JobId id = 1; id != 0; there += id != 0 ? 1U : 0U) {
            const std::uint32_t value = kFromPeers;
            id = round == 0 ? ask(queue, living, value)
                            : queue.submit(living, std::as_bytes(std::span(&value, 1))).value_or(0);
        }
        std::uint32_t gone = 0;
        while (const auto job = queue.take(living)) {
            gone += answer(queue, *job) ? 1U : 0U;
            queue.withdraw(living, shm::job_id(job->number, job->word));
        }
        if (there != kAskedQueue.capacity || gone != there) {
            return "its capacity is not whole: " + std::to_string(there) + ", " +
                   std::to_string(gone);
        }
    }
    return "";
}

}  // namespace topsman::torture::asked
