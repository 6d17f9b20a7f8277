#pragma once

// What operations on jobs with results have in common: one who sleeps for an answer, peers who use
// every place anew, a ledger, and what must be so afterwards.

#include "asked_queue.hpp"
#include "meeting.hpp"
#include "shm/base/check.hpp"

#include <cstdio>
#include <string>

namespace topsman::torture::asked {

using shm::Answer;
using shm::AnswerState;
using shm::JobId;
using shm::JobQueue;

/// What was said and done, outside of the queue.
struct Notes {
    JobId victims;  ///< that it has asked for, or shall look at
    JobId peers[kAskedQueue.capacity];
    JobId awaited;  ///< that the sleeping one has asked for
    Result read;    ///< by the victim
    std::uint32_t has_read;
    std::uint32_t executed[kValues];
    char wrong[100];
};

inline void complain(Notes& notes, const char* sentence) {
    std::snprintf(notes.wrong, sizeof notes.wrong, "%s", sentence);
}

class ResultOperation : public Operation {
  public:
    /// Without a sweep everything must be whole, too.
    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        JobQueue queue = queue_of(arena);
        for (const Owner owner : {kVictim, kPeer, kSleeper}) {
            queue.join(owner);
        }
        new (arena.scratch.data()) Notes{};
        prepare(arena, queue, arena.in_scratch<Notes>());
        let_sleep(arena, kSleeper, askers_of(queue));
    }

    std::string verify(Arena& arena, Fate fate) override {
        JobQueue queue = queue_of(arena);
        Notes notes = arena.in_scratch<Notes>();
        if (notes.wrong[0] != '\0') {
            return notes.wrong;
        }
        if (sleeps_on(arena, queue, kSleeper, notes.awaited)) {
            return "there is an answer, and who waits for it sleeps";
        }
        while (execute_one(queue, notes)) {
        }
        if (std::string wrong = check(queue, notes, fate); !wrong.empty()) {
            return wrong;
        }
        for (const JobId id : {notes.awaited, notes.victims}) {
            drop_dead_letter(queue, id);
        }
        withdraw(queue, kSleeper, notes.awaited);
        withdraw(queue, kVictim, notes.victims);
        return what_is_left(queue, kPeer);
    }

  protected:
    virtual void prepare(const Arena& /*arena*/, JobQueue& /*queue*/, Notes& /*notes*/) {}

    /// Once all that was ready has been executed.
    virtual std::string check(JobQueue& queue, const Notes& notes, Fate fate) = 0;

    static bool execute_one(JobQueue& queue, Notes& notes) {
        const auto job = queue.take(kPeer);
        if (job) {
            ++notes.executed[value_of(*job)];
            CHECK(answer(queue, *job));
        }
        return job.has_value();
    }

    /// Each place is asked for anew, by others, answered and read.
    static void use_all_places(JobQueue& queue, Notes& notes) {
        for (std::uint32_t i = 0; i < kRounds; ++i) {
            const JobId mine = ask(queue, kPeer, kFromPeers + i);
            if (mine == 0) {
                complain(notes, "there is no room for the peers' jobs");
                return;
            }
            while (execute_one(queue, notes)) {
            }
            const Answer got = queue.look_for(mine);
            if (got.state != AnswerState::Done || !is_result_of(got.result, kFromPeers + i)) {
                complain(notes, "a peer's question has no answer, or another's");
            }
            withdraw(queue, kPeer, mine);
        }
    }

    static std::string awaited_answer(const JobQueue& queue, const Notes& notes) {
        return asked::awaited_answer(queue, notes.awaited);
    }

  private:
    static void drop_dead_letter(JobQueue& queue, JobId id) {
        if (id != 0 && queue.look_for(id).state == AnswerState::DeadLetter) {
            CHECK(queue.drop(id));
        }
    }
};

}  // namespace topsman::torture::asked
