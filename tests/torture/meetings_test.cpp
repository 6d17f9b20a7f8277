// Where workers wait for each other: events and barriers.

#include "expect.hpp"
#include "meeting.hpp"

namespace topsman::torture {
namespace {

using shm::Barrier;
using shm::Deadline;
using shm::Reset;

constexpr std::uint32_t kPeersSeat = 5;

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
        place_.set_up(arena, kind_);
        arena.in_scratch<Results>() = Results{};
    }

  protected:
    [[nodiscard]] shm::Event event(const Arena& arena) const { return place_.event(arena); }

    [[nodiscard]] const EventPlace& place() const { return place_; }

    [[nodiscard]] Reset kind() const { return kind_; }

  private:
    Reset kind_;
    EventPlace place_;
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
        let_sleep(arena, kPeer, place().parking(arena));
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
        if (is_set && !is_woken(arena, kPeer)) {
            return "it is set, and the one who waits for it sleeps";
        }
        return place().is_usable(arena);
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
        if (place().parking(arena).has(kVictim.lane)) {
            return "the dead, or who has left, is still known to wait";
        }
        return "";
    }
};

constexpr std::uint32_t told(Barrier::Passed passed) {
    return 1 + static_cast<std::uint32_t>(passed);
}

constexpr std::uint32_t kNo = told(Barrier::Passed::No);
constexpr std::uint32_t kYes = told(Barrier::Passed::Yes);
constexpr std::uint32_t kLast = told(Barrier::Passed::AsTheLast);

/// A barrier of two.
class BarrierOperation : public Operation {
  public:
    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        place_.set_up(arena, 2);
        arena.in_scratch<Results>() = Results{};
    }

    void run(const Arena& arena) override {
        arena.in_scratch<Results>().victims = told(place_.visit(arena, kVictim));
    }

  protected:
    [[nodiscard]] const BarrierPlace& place() const { return place_; }

    [[nodiscard]] std::string check_next_round(const Arena& arena) const {
        return place_.check_next_round(arena, kPeer);
    }

  private:
    BarrierPlace place_;
};

/// Comes as the first, and leaves as its time is up. Meanwhile a peer comes and does the same.
class BarrierVisit : public BarrierOperation {
  public:
    [[nodiscard]] std::string name() const override { return "barrier visit"; }

    void peers(const Arena& arena) override {
        arena.in_scratch<Results>().peers = told(place().visit(arena, kPeer));
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
        place().let_wait(arena, kPeer, kPeersSeat);
    }

    void peers(const Arena& arena) override {
        if (!does_peer_leave_) {
            return;
        }
        arena.in_scratch<Results>().peers = place().leave(arena, kPeersSeat) ? kNo : kYes;
    }

    std::string verify(Arena& arena, Fate fate) override {
        const Results& results = arena.in_scratch<Results>();
        if (results.victims == kLast && results.peers == kNo) {
            return "one went on alone";
        }
        if (fate.is_done && results.victims != kLast && results.peers != kNo) {
            return "two have arrived, and wait";
        }
        if (!place().does_wait(arena, kPeersSeat) && results.peers == 0 &&
            !is_woken(arena, kPeer)) {
            return "it may go, and sleeps";
        }
        (void)place().leave(arena, kPeersSeat);
        place().stand_up(arena, kPeersSeat);
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
        place().seat(arena, kVictim, kVictimsSeat);
    }

    void run(const Arena& arena) override { place().barrier(arena).sweep(kVictim); }

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
