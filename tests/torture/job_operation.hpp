#pragma once

// What all operations on the job queue have in common: jobs that were there before, peers that
// submit and execute others, a ledger of what was executed, and two who sleep.

#include "operation.hpp"
#include "shm/base/check.hpp"
#include "shm/fence.hpp"
#include "shm/sweep.hpp"

#include <array>
#include <cstring>
#include <optional>
#include <string>

namespace topsman::torture {

using shm::JobId;
using shm::JobQueue;
using shm::JobState;
using shm::JobWord;
using shm::TakenJob;

inline constexpr std::uint32_t kFirst = 3;         // jobs that are there before: the values 1 to 3
inline constexpr std::uint32_t kVictims = 9;       // the value that the victim submits
inline constexpr std::uint32_t kFromPeers = 10;    // and those that its peers submit: from here on
inline constexpr std::uint32_t kPeersRounds = 25;  // more than the ring has slots
inline constexpr std::uint32_t kValues = kFromPeers + kPeersRounds;

/// How often each value was executed.
using Ledger = std::array<std::uint32_t, kValues>;

/// One lane's thread sleeps until a job is ready, and one until there is room.
inline constexpr std::uint32_t kSleepyTaker = 3;
inline constexpr std::uint32_t kSleepySubmitter = 4;

class JobOperation : public Operation {
  public:
    void setup(const Arena& arena) override {
        shm::join_fences();
        JobQueue queue = arena.segment.queue(0);
        queue.join(kVictim);
        queue.join(kPeer);
        for (std::uint32_t value = 1; value <= kFirst; ++value) {
            CHECK(submit(queue, kPeer, value));
        }
        new (arena.scratch.data()) Ledger{};
        prepare(arena, queue);
        // As threads of those lanes leave them on their way to sleep.
        auto& control = const_cast<shm::QueueControl&>(queue.control());
        enter(arena, control.takers, kSleepyTaker);
        enter(arena, control.submitters, kSleepySubmitter);
    }

    void peers(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        auto& ledger = arena.in_scratch<Ledger>();
        for (std::uint32_t i = 0; i < kPeersRounds; ++i) {
            if (submit(queue, kPeer, kFromPeers + i)) {
                ++ledger[0];
            }
            execute_one(queue, ledger);
        }
        CHECK(ledger[0] == kPeersRounds);  // there was room and a job in each round
    }

    std::string verify(Arena& arena, Fate fate) override {
        JobQueue queue = arena.segment.queue(0);
        const Ledger before = arena.in_scratch<Ledger>();
        Ledger ledger = before;
        if (std::string slept = who_sleeps(arena, queue); !slept.empty()) {
            return slept;
        }
        while (execute_one(queue, ledger)) {
        }
        for (std::uint32_t value = 1; value < kValues; ++value) {
            const bool is_there = value <= kFirst || (value >= kFromPeers && fate.peers_ran);
            if (value == special_) {
                continue;
            }
            if (ledger[value] != (is_there ? 1U : 0U)) {
                return "job " + std::to_string(value) + " was executed " +
                       std::to_string(ledger[value]) + " times";
            }
        }
        if (std::string wrong = check(queue, ledger, fate); !wrong.empty()) {
            return wrong;
        }
        return is_whole(queue) ? "" : "its capacity is not whole";
    }

  protected:
    explicit JobOperation(std::uint32_t special) : special_(special) {}

    /// LATER jobs that the sleeping have heard of.
    std::uint32_t known_later_ = 0;

    virtual void prepare(const Arena& /*arena*/, JobQueue& /*queue*/) {}

    /// What must be so of the special job, when all others were executed.
    virtual std::string check(JobQueue& queue, const Ledger& ledger, Fate fate) = 0;

    static std::optional<JobId> submit(JobQueue& queue, Owner by, std::uint32_t value) {
        return queue.submit(by, std::as_bytes(std::span(&value, 1)));
    }

    static std::uint32_t value_of(const TakenJob& job) {
        std::uint32_t value = 0;
        std::memcpy(&value, job.item.data(), std::min(job.item.size(), sizeof(value)));
        return value < kValues ? value : 0;
    }

    static bool execute_one(JobQueue& queue, Ledger& ledger) {
        const auto job = queue.take(kPeer);
        if (job) {
            ++ledger[job->item.size() == 4 ? value_of(*job) : 0];
            CHECK(queue.ack(*job));
        }
        return job.has_value();
    }

    static TakenJob take_as(JobQueue& queue, Owner who) { return queue.take(who).value(); }

    static std::uint32_t count(const JobQueue& queue, JobState state) {
        std::uint32_t jobs = 0;
        for (std::uint32_t i = 0; i < queue.shape().capacity; ++i) {
            jobs += JobWord::unpack(queue.record(i).word.load()).state == state ? 1U : 0U;
        }
        return jobs;
    }

    /// For a victim that takes and ends one, nobody can say which, after all others were executed.
    static std::string one_is_missing_at_most(const Ledger& ledger, bool is_whole) {
        std::uint32_t missing = 0;
        for (std::uint32_t value = 1; value < kValues; ++value) {
            const bool is_there = value <= kFirst || value >= kFromPeers;
            if (ledger[value] > (is_there ? 1U : 0U)) {
                return "job " + std::to_string(value) + " was executed twice";
            }
            missing += is_there && ledger[value] == 0 ? 1U : 0U;
        }
        if (missing > 1) {
            return std::to_string(missing) + " jobs are lost";
        }
        return is_whole ? "" : "its capacity is not whole";
    }

    static std::uint32_t dead_letters(const JobQueue& queue) {
        return count(queue, JobState::Dead);
    }

    static bool is_whole(JobQueue& queue) {
        for (std::uint32_t round = 0; round < 3; ++round) {
            std::uint32_t there = 0;
            while (submit(queue, kPeer, 1)) {
                ++there;
            }
            std::uint32_t gone = 0;
            while (const auto job = queue.take(kPeer)) {
                gone += queue.ack(*job) ? 1U : 0U;
            }
            if (there != queue.shape().capacity || gone != there) {
                return false;
            }
        }
        return queue.control().unringed.load() == 0;  // the ring had room for all of them
    }

  private:
    static void enter(const Arena& arena, shm::Parking& parking, std::uint32_t lane) {
        reinterpret_cast<shm::LaneSet&>(parking).insert(lane);
        arena.segment.lanes()[lane].parked.store(1);
    }

    [[nodiscard]] std::string who_sleeps(const Arena& arena, const JobQueue& queue) const {
        const auto sleeps = [&](const shm::Parking& parking, std::uint32_t lane) {
            return parking.has(lane) && arena.segment.lanes()[lane].wake.load() == 0;
        };
        const std::uint32_t ready = count(queue, JobState::Ready);
        const std::uint32_t free = count(queue, JobState::Free);
        // The first ones were there before they went to sleep.
        if (ready > kFirst && sleeps(queue.control().takers, kSleepyTaker)) {
            return "a job is ready, and the one who waits for it sleeps";
        }
        if (count(queue, JobState::Later) > known_later_ &&
            sleeps(queue.control().takers, kSleepyTaker)) {
            return "a job is due soon, and the one who waits does not know";
        }
        if (free > queue.shape().capacity - kFirst &&
            sleeps(queue.control().submitters, kSleepySubmitter)) {
            return "there is room, and the one who waits for it sleeps";
        }
        return "";
    }

    std::uint32_t special_;
};

}  // namespace topsman::torture
