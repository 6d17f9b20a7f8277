// An asker and a consumer who die: no answer is lost for the asker that lives.

#include "asked_queue.hpp"
#include "expect_both.hpp"
#include "meeting.hpp"
#include "shm/base/check.hpp"

namespace topsman::torture {
namespace {

using asked::kAwaited;
using asked::kVictims;
using shm::JobId;
using shm::JobQueue;

constexpr std::uint32_t kNew = asked::kFromPeers;  // what the asker asks last

/// One withdraws a question and asks another one; one executes the job of the first question, and
/// then that which a living one waits for.
class ResultAskedAndGiven : public Pair {
  public:
    explicit ResultAskedAndGiven(bool asker_is_first) : asker_is_first_(asker_is_first) {}

    [[nodiscard]] std::string name() const override {
        return asker_is_first_ ? "job result asked for and given"
                               : "job result given and asked for";
    }

    void setup(const Arena& arena) override {
        JobQueue queue = asked::queue_of(arena);
        for (const Owner owner : {kVictim, kPeer, kSurvivor}) {
            queue.join(owner);
        }
        const Owner asker = asker_is_first_ ? kVictim : kPeer;
        const JobId asked_before = asked::ask(queue, asker, kVictims);
        const JobId awaited = asked::ask(queue, kSurvivor, kAwaited);
        CHECK(asked_before != 0 && awaited != 0);
        arena.in_scratch<Notes>() = Notes{asked_before, awaited, {}, {}};
        let_sleep(arena, kSurvivor, asked::askers_of(queue));
    }

    void first(const Arena& arena) override {
        asker_is_first_ ? ask_anew(arena, kVictim) : execute(arena, kVictim);
    }

    void second(const Arena& arena) override {
        asker_is_first_ ? execute(arena, kPeer) : ask_anew(arena, kPeer);
    }

    std::string verify(Arena& arena, Fates fates) override {
        JobQueue queue = asked::queue_of(arena);
        Notes& notes = arena.in_scratch<Notes>();
        if (asked::sleeps_on(arena, queue, kSurvivor, notes.awaited)) {
            return "there is an answer, and a living one sleeps that waits for it";
        }
        while (execute_one(queue, kSurvivor, notes)) {
        }
        if (std::string wrong = asked::awaited_answer(queue, notes.awaited); !wrong.empty()) {
            return wrong;
        }
        const bool asker_is_done = asker_is_first_ ? fates.first_is_done : fates.second_is_done;
        for (const std::uint32_t value : {kVictims, kAwaited, kNew}) {
            if (notes.ended[value] > 1) {
                return "job " + std::to_string(value) + " has ended twice";
            }
            if (notes.executed[value] == 0 && (value != kNew || asker_is_done)) {
                return "job " + std::to_string(value) + " was never executed";
            }
        }
        asked::withdraw(queue, kSurvivor, notes.awaited);
        return asked::what_is_left(queue, kSurvivor);
    }

  private:
    /// What was done, outside of the queue.
    struct Notes {
        JobId asked_before;
        JobId awaited;
        std::uint32_t executed[asked::kValues];
        std::uint32_t ended[asked::kValues];
    };

    static void ask_anew(const Arena& arena, Owner owner) {
        JobQueue queue = asked::queue_of(arena);
        queue.withdraw(owner, arena.in_scratch<Notes>().asked_before);
        (void)asked::ask(queue, owner, kNew);
    }

    static void execute(const Arena& arena, Owner owner) {
        JobQueue queue = asked::queue_of(arena);
        for (int i = 0; i < 2; ++i) {
            (void)execute_one(queue, owner, arena.in_scratch<Notes>());
        }
    }

    static bool execute_one(JobQueue& queue, Owner owner, Notes& notes) {
        const auto job = queue.take(owner);
        if (job) {
            const std::uint32_t value = asked::value_of(*job);
            ++notes.executed[value];
            notes.ended[value] += asked::answer(queue, *job) ? 1U : 0U;
        }
        return job.has_value();
    }

    bool asker_is_first_;
};

TEST(TwoVictimsTest, ResultAskedAndGiven) {
    for (const bool asker_is_first : {true, false}) {
        expect_two_victims_harm_nobody<ResultAskedAndGiven>(asker_is_first);
    }
}

}  // namespace
}  // namespace topsman::torture
