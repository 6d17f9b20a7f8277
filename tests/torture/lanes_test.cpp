// Lanes: what the master and a child do to them, and the sweep.

#include "expect.hpp"
#include "shm/base/check.hpp"
#include "shm/sweep.hpp"

#include <sys/wait.h>
#include <unistd.h>

namespace topsman::torture {
namespace {

using shm::claim_lane;
using shm::grant_lane;
using shm::LanePhase;
using shm::LaneWord;

constexpr std::uint32_t kChildPid = 1'003;

LaneWord word_of(const Arena& arena, std::uint32_t lane) {
    return LaneWord::unpack(arena.segment.lanes()[lane].word.load());
}

/// With only the peers' lane in use, the others can be had, and no more than they.
std::string all_lanes_can_be_had(Arena& arena) {
    if (word_of(arena, kPeer.lane) != LaneWord{LanePhase::Started, kPeer.generation, kPeerPid}) {
        return "a living worker has lost its lane";
    }
    for (std::uint32_t i = 0; i < kLanes - 1; ++i) {
        const auto grant = grant_lane(arena.segment, 1, 0);
        if (!grant) {
            return "a lane is lost";
        }
        if (!claim_lane(arena.segment.lanes()[grant->lane], grant->generation,
                        arena.segment.epoch(), 5'000 + i)) {
            return "a granted lane cannot be claimed";
        }
    }
    return grant_lane(arena.segment, 1, 0) ? "a lane was granted twice" : "";
}

class LaneGrantOperation : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "lane grant"; }

    void setup(const Arena& arena) override { arena.in_scratch<std::uint64_t>() = 0; }

    void run(const Arena& arena) override {
        const auto grant = grant_lane(const_cast<Segment&>(arena.segment), 7, 2);
        arena.in_scratch<std::uint64_t>() = grant ? grant->lane : 0;
    }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }

    std::string verify(Arena& arena, Fate fate) override {
        const std::uint64_t granted = arena.in_scratch<std::uint64_t>();
        if (fate.is_done && granted != 3) {
            return "lane " + std::to_string(granted) + " was granted";
        }
        return all_lanes_can_be_had(arena);
    }
};

/// The child's first act, while a new master decides about its lane.
class LaneClaim : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "lane claim"; }

    void setup(const Arena& arena) override {
        grant_ = grant_lane(const_cast<Segment&>(arena.segment), 7, 2).value();
        arena.in_scratch<Results>() = Results{};
    }

    void run(const Arena& arena) override {
        arena.in_scratch<Results>().is_claimed =
            claim_lane(arena.segment.lanes()[grant_.lane], grant_.generation, arena.segment.epoch(),
                       kChildPid);
    }

    void peers(const Arena& arena) override {
        const auto living = shm::sweep_dead_lanes(const_cast<Segment&>(arena.segment),
                                                  [](std::uint32_t pid, std::uint64_t /*start*/) {
                                                      return pid == kPeerPid || pid == kChildPid;
                                                  });
        for (const auto& worker : living) {
            arena.in_scratch<Results>().is_known |= worker.pid == kChildPid;
        }
    }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }

    std::string verify(Arena& arena, Fate fate) override {
        const Results& results = arena.in_scratch<Results>();
        if (fate.is_done && fate.peers_ran && results.is_claimed != results.is_known) {
            return results.is_claimed ? "a worker runs that the master does not know"
                                      : "the master knows a worker that has given up";
        }
        if (fate.is_done && !fate.peers_ran && !results.is_claimed) {
            return "the claim failed";
        }
        return all_lanes_can_be_had(arena);
    }

  private:
    struct Results {
        bool is_claimed = false;
        bool is_known = false;
    };

    shm::LaneGrant grant_;
};

/// Runs `body` in a process that dies at once, without having given anything back.
template <class Body>
void in_the_dead(Body body) {
    const pid_t pid = ::fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        body();
        ::_exit(0);
    }
    CHECK(::waitpid(pid, nullptr, 0) == pid);
}

/// A worker has died holding one of everything; the master that sweeps it dies too.
class Sweep : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "sweep"; }

    void setup(const Arena& arena) override {
        const Segment& segment = arena.segment;
        counter_ = add(segment.metric_names(), "orders", shm::NameKind::Counter);
        gauge_ = add(segment.metric_names(), "connections", shm::NameKind::Gauge);
        for (const Owner owner : {kVictim, kPeer}) {
            segment.metrics().cell(owner.lane, counter_).store(100);
            segment.metrics().cell(owner.lane, gauge_).store(7);
            segment.lanes()[owner.lane].in_flight.store(3);
            for (shm::LaneSet& idle : segment.idle_lanes()) {
                idle.insert(owner.lane);
            }
        }
        segment.mutexes()[0].init();
        in_the_dead([&segment] {
            (void)segment.mutexes()[0].lock(kVictim);
            (void)segment.cell_names().find_or_add("half", shm::NameKind::Cell, 8, kVictim,
                                                   [](std::uint32_t) { ::_exit(0); });
        });
    }

    void run(const Arena& arena) override {
        shm::sweep_lane(const_cast<Segment&>(arena.segment), kVictim.lane, kVictim.generation);
    }

    void peers(const Arena& arena) override {
        const Segment& segment = arena.segment;
        shm::add_to_cell(segment.metrics().cell(kPeer.lane, counter_), 1);
        shm::add_to_cell(segment.metrics().cell(kPeer.lane, gauge_), 1);
        (void)segment.cell_names().find_or_add("peers", shm::NameKind::Cell, 8, kPeer, nullptr);
    }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }

    std::string verify(Arena& arena, Fate fate) override {
        Segment& segment = arena.segment;
        const std::uint64_t more = fate.peers_ran ? 1 : 0;
        if (counter_total(segment.metrics(), counter_) != 200 + more) {
            return "a count was lost";
        }
        if (gauge_total(segment.metrics(), gauge_) != static_cast<std::int64_t>(7 + more)) {
            return "a gauge still counts the dead, or no longer the living";
        }
        if (segment.lanes()[kVictim.lane].in_flight.load() != 0 ||
            segment.lanes()[kPeer.lane].in_flight.load() != 3) {
            return "in_flight is wrong";
        }
        for (const shm::LaneSet& idle : segment.idle_lanes()) {
            if (idle.contains(kVictim.lane) || !idle.contains(kPeer.lane)) {
                return "an idle set is wrong";
            }
        }
        if (segment.mutexes()[0].owner() != Owner{}) {
            return "a mutex still shows the dead";
        }
        auto& names = segment.cell_names();
        for (std::uint32_t i = 0; names.entries().size() < shm::kMaxCells; ++i) {
            if (!names.find_or_add("n" + std::to_string(i), shm::NameKind::Cell, 8, kPeer,
                                   nullptr)) {
                return "a row is lost";
            }
        }
        return all_lanes_can_be_had(arena);
    }

  private:
    std::uint32_t counter_ = 0;
    std::uint32_t gauge_ = 0;
};

/// A spare waits for its seat; the master that gives it one dies.
class SpareRelease : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "spare release"; }

    void setup(const Arena& arena) override {
        shm::Lane& lane = arena.segment.lanes()[kPeer.lane];
        lane.seat.store(shm::kSeatHeld);
        lane.parked.store(1);
        lane.wake.store(0);
    }

    void run(const Arena& arena) override {
        shm::release_spare(const_cast<Segment&>(arena.segment), kPeer.lane, 1);
    }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }

    std::string verify(Arena& arena, Fate fate) override {
        shm::Lane& lane = arena.segment.lanes()[kPeer.lane];
        const std::uint32_t seat = lane.seat.load();
        if (seat != shm::seat_of(1) && (fate.is_done || seat != shm::kSeatHeld)) {
            return "its seat is " + std::to_string(seat);
        }
        if (seat == shm::seat_of(1) && lane.wake.load() == 0) {
            return "it has a seat and nobody wakes it";
        }
        shm::release_spare(arena.segment, kPeer.lane, 0);
        if (lane.seat.load() != (seat == shm::kSeatHeld ? shm::seat_of(0) : shm::seat_of(1))) {
            return "the next master cannot give it a seat, or takes the one that it has";
        }
        lane.seat.store(shm::kNoSpare);
        lane.parked.store(0);
        return all_lanes_can_be_had(arena);
    }
};

TEST(TortureTest, SpareRelease) {
    SKIP_WITHOUT_PTRACE();
    SpareRelease operation;
    expect_survives(operation);
}

TEST(TortureTest, LaneGrant) {
    SKIP_WITHOUT_PTRACE();
    LaneGrantOperation operation;
    expect_survives(operation);
}

TEST(TortureTest, LaneClaim) {
    SKIP_WITHOUT_PTRACE();
    LaneClaim operation;
    expect_survives(operation);
}

TEST(TortureTest, Sweep) {
    SKIP_WITHOUT_PTRACE();
    Sweep operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
