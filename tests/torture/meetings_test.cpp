// Where workers wait for each other: events and barriers.

#include "expect.hpp"
#include "shm/barrier.hpp"
#include "shm/event.hpp"

namespace topsman::torture {
namespace {

using shm::Barrier;
using shm::Deadline;
using shm::Event;
using shm::NameKind;
using shm::Reset;

constexpr std::uint32_t kPeersSeat = 5;
constexpr std::size_t kMask = 0;  // the words of a barrier's row
constexpr std::size_t kFirstSeat = 64;

/// As a thread of the peers' lane leaves it on its way to sleep.
void let_the_peer_sleep(const Arena& arena, shm::Parking& parking) {
    reinterpret_cast<shm::LaneSet&>(parking).insert(kPeer.lane);
    arena.segment.lanes()[kPeer.lane].parked.store(1);
}

bool is_peer_woken(const Arena& arena) {
    return arena.segment.lanes()[kPeer.lane].wake.load() != 0;
}

/// What the two were told: 0, nothing yet; else one more than the answer.
struct Results {
    std::uint32_t victims = 0;
    std::uint32_t peers = 0;
};

class EventOperation : public Operation {
  public:
    explicit EventOperation(Reset kind) : kind_(kind) {}

    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        row_ = arena.segment.object_names()
                   .find_or_add("go", NameKind::Event, 0, Owner{}, nullptr)
                   .value();
        event(arena).init(kind_);
        arena.in_scratch<Results>() = Results{};
    }

  protected:
    [[nodiscard]] Event event(const Arena& arena) const {
        return Event(arena.segment.objects()[row_]);
    }

    [[nodiscard]] shm::Parking& parking(const Arena& arena) const {
        return arena.segment.objects()[row_].parking;
    }

    [[nodiscard]] Reset kind() const { return kind_; }

  private:
    Reset kind_;
    std::uint32_t row_ = 0;
};

/// Sets it, while a peer sleeps that waits for it; another takes it as soon as it is there.
class EventSet : public EventOperation {
  public:
    using EventOperation::EventOperation;

    [[nodiscard]] std::string name() const override {
        return kind() == Reset::Auto ? "event set, automatic" : "event set, manual";
    }

    void setup(const Arena& arena) override {
        EventOperation::setup(arena);
        let_the_peer_sleep(arena, parking(arena));
    }

    void run(const Arena& arena) override { event(arena).set(arena.segment.lanes()); }

    void peers(const Arena& arena) override {
        arena.in_scratch<Results>().peers = event(arena).try_wait() ? 2 : 1;
    }

    std::string verify(Arena& arena, Fate fate) override {
        const bool is_taken = kind() == Reset::Auto && arena.in_scratch<Results>().peers == 2;
        const bool is_set = event(arena).is_set();
        if (is_set && is_taken) {
            return "it was set once, and is so twice";
        }
        if (fate.is_done && !is_set && !is_taken) {
            return "it is not set";
        }
        if (is_set && !is_peer_woken(arena)) {
            return "it is set, and the one who waits for it sleeps";
        }
        event(arena).reset();
        event(arena).set(arena.segment.lanes());
        return event(arena).try_wait() && event(arena).is_set() == (kind() == Reset::Manual)
                   ? ""
                   : "it cannot be used any more";
    }
};

/// An automatic one that is set: the victim or a peer takes it.
class EventTake : public EventOperation {
  public:
    EventTake() : EventOperation(Reset::Auto) {}

    [[nodiscard]] std::string name() const override { return "event take"; }

    void setup(const Arena& arena) override {
        EventOperation::setup(arena);
        event(arena).set(arena.segment.lanes());
    }

    void run(const Arena& arena) override {
        arena.in_scratch<Results>().victims =
            event(arena).wait(arena.segment.lanes(), kVictim.lane, Deadline{}) ? 2 : 1;
    }

    void peers(const Arena& arena) override {
        arena.in_scratch<Results>().peers = event(arena).try_wait() ? 2 : 1;
    }

    std::string verify(Arena& arena, Fate fate) override {
        const Results& results = arena.in_scratch<Results>();
        const bool is_set = event(arena).is_set();
        const int takers = (results.victims == 2 ? 1 : 0) + (results.peers == 2 ? 1 : 0);
        if (takers + (is_set ? 1 : 0) > 1) {
            return "it was set once, and is so twice";
        }
        if (fate.is_done && takers == 0) {
            return "nobody has it";
        }
        if (parking(arena).has(kVictim.lane)) {
            return "the dead, or who has left, is still known to wait";
        }
        return "";
    }
};

/// A barrier of two.
class BarrierOperation : public Operation {
  public:
    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        row_ = arena.segment.array_names()
                   .find_or_add("start", NameKind::Barrier, 0, Owner{}, nullptr)
                   .value();
        barrier(arena).init(2);
        arena.in_scratch<Results>() = Results{};
    }

    void run(const Arena& arena) override {
        arena.in_scratch<Results>().victims = 1 + static_cast<std::uint32_t>(barrier(arena).arrive(
                                                      arena.segment.lanes(), kVictim, Deadline{}));
    }

  protected:
    static constexpr std::uint32_t kNo = 1 + static_cast<std::uint32_t>(Barrier::Passed::No);
    static constexpr std::uint32_t kYes = 1 + static_cast<std::uint32_t>(Barrier::Passed::Yes);
    static constexpr std::uint32_t kLast =
        1 + static_cast<std::uint32_t>(Barrier::Passed::AsTheLast);

    [[nodiscard]] Barrier barrier(const Arena& arena) const { return Barrier(row(arena)); }

    [[nodiscard]] shm::SharedArrayStorage& row(const Arena& arena) const {
        return arena.segment.arrays()[row_];
    }

    /// As one that waits there.
    void let_the_peer_wait(const Arena& arena) const {
        row(arena).word[kFirstSeat + kPeersSeat].store(kPeer.pack());
        row(arena).word[kMask].fetch_or(std::uint64_t{1} << kPeersSeat);
        let_the_peer_sleep(arena, row(arena).parking[0]);
    }

    [[nodiscard]] bool does_the_peer_wait(const Arena& arena) const {
        return (row(arena).word[kMask].load() >> kPeersSeat & 1U) != 0;
    }

    /// Nobody is there any more, and the next round works.
    [[nodiscard]] std::string check_next_round(const Arena& arena) const {
        if (barrier(arena).arrived() != 0) {
            return "one who does not wait is counted";
        }
        for (std::uint32_t seat = 0; seat < Barrier::kSeats; ++seat) {
            if (row(arena).word[kFirstSeat + seat].load() != 0) {
                return "seat " + std::to_string(seat) + " is still taken";
            }
        }
        let_the_peer_wait(arena);
        const auto passed = barrier(arena).arrive(arena.segment.lanes(), kPeer, Deadline{});
        return passed == Barrier::Passed::AsTheLast && !does_the_peer_wait(arena)
                   ? ""
                   : "two have arrived, and wait";
    }

  private:
    std::uint32_t row_ = 0;
};

/// Comes as the first, and leaves as its time is up. Meanwhile a peer comes and does the same.
class BarrierVisit : public BarrierOperation {
  public:
    [[nodiscard]] std::string name() const override { return "barrier visit"; }

    void peers(const Arena& arena) override {
        arena.in_scratch<Results>().peers = 1 + static_cast<std::uint32_t>(barrier(arena).arrive(
                                                    arena.segment.lanes(), kPeer, Deadline{}));
    }

    std::string verify(Arena& arena, Fate fate) override {
        const Results& results = arena.in_scratch<Results>();
        const bool is_open = results.peers == kLast;
        if (results.victims == kLast || results.peers == kYes) {
            return "who came first was told that it is the last";
        }
        if (fate.is_done && (results.victims == kYes) != is_open) {
            return is_open ? "one went on, and the other did not" : "one went on alone";
        }
        return check_next_round(arena);
    }
};

/// Comes as the last, while a peer sleeps there. Meanwhile the peer's time is up, or it sleeps on.
class BarrierLast : public BarrierOperation {
  public:
    explicit BarrierLast(bool does_peer_leave) : does_peer_leave_(does_peer_leave) {}

    [[nodiscard]] std::string name() const override {
        return does_peer_leave_ ? "barrier last, the other leaves" : "barrier last";
    }

    void setup(const Arena& arena) override {
        BarrierOperation::setup(arena);
        let_the_peer_wait(arena);
    }

    void peers(const Arena& arena) override {
        if (!does_peer_leave_) {
            return;
        }
        const std::uint64_t bit = std::uint64_t{1} << kPeersSeat;
        const bool was_there = (row(arena).word[kMask].fetch_and(~bit) & bit) != 0;
        arena.in_scratch<Results>().peers = was_there ? kNo : kYes;
    }

    std::string verify(Arena& arena, Fate fate) override {
        const Results& results = arena.in_scratch<Results>();
        if (results.victims == kLast && results.peers == kNo) {
            return "one went on alone";
        }
        if (fate.is_done && results.victims != kLast && results.peers != kNo) {
            return "two have arrived, and wait";
        }
        if (!does_the_peer_wait(arena) && results.peers == 0 && !is_peer_woken(arena)) {
            return "it may go, and sleeps";
        }
        (void)row(arena).word[kMask].fetch_and(~(std::uint64_t{1} << kPeersSeat));
        row(arena).word[kFirstSeat + kPeersSeat].store(0);
        return check_next_round(arena);
    }

  private:
    bool does_peer_leave_;
};

/// The master takes back the arrival of one who died while it waited, and dies itself.
class BarrierSweep : public BarrierOperation {
  public:
    [[nodiscard]] std::string name() const override { return "barrier sweep"; }

    void setup(const Arena& arena) override {
        BarrierOperation::setup(arena);
        row(arena).word[kFirstSeat + kVictimsSeat].store(kVictim.pack());
        row(arena).word[kMask].store(std::uint64_t{1} << kVictimsSeat);
    }

    void run(const Arena& arena) override { barrier(arena).sweep(kVictim); }

    std::string verify(Arena& arena, Fate /*fate*/) override { return check_next_round(arena); }

  private:
    static constexpr std::uint32_t kVictimsSeat = 9;
};

TEST(TortureTest, EventSet) {
    SKIP_WITHOUT_PTRACE();
    for (const Reset kind : {Reset::Manual, Reset::Auto}) {
        EventSet operation(kind);
        expect_survives(operation);
    }
}

TEST(TortureTest, EventTake) {
    SKIP_WITHOUT_PTRACE();
    EventTake operation;
    expect_survives(operation);
}

TEST(TortureTest, BarrierVisit) {
    SKIP_WITHOUT_PTRACE();
    BarrierVisit operation;
    expect_survives(operation);
}

TEST(TortureTest, BarrierLast) {
    SKIP_WITHOUT_PTRACE();
    for (const bool does_peer_leave : {true, false}) {
        BarrierLast operation(does_peer_leave);
        expect_survives(operation);
    }
}

TEST(TortureTest, BarrierSweep) {
    SKIP_WITHOUT_PTRACE();
    BarrierSweep operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
