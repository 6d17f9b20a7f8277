// Parking: whoever dies in it, whoever still waits for what is there is woken.

#include "shm/parking.hpp"

#include "expect.hpp"
#include "shm/sweep.hpp"

#include <type_traits>

namespace topsman::torture {
namespace {

using shm::LaneSet;
using shm::Parking;

constexpr std::uint32_t kSleeper = 2;  // the peers' lane: a thread of it sleeps all the time

struct Things {
    Parking& parking;
    std::atomic<std::uint64_t>& free;
};

/// There may be one thing to take. If it is free at the end, the sleeper was woken.
class ParkingOperation : public Operation {
  public:
    explicit ParkingOperation(bool is_in_array = false) : is_in_array_(is_in_array) {}

    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        row_ = is_in_array_ ? add(arena.segment.array_names(), "seats", shm::NameKind::Array, 64)
                            : add(arena.segment.object_names(), "seat", shm::NameKind::Atomic);
        enter(things(arena).parking, kSleeper);
        arena.segment.lanes()[kSleeper].parked.store(1);
    }

    std::string verify(Arena& arena, Fate fate) override {
        const Things things = this->things(arena);
        const shm::Lane& sleeper = arena.segment.lanes()[kSleeper];
        const bool is_called = sleeper.wake.load() != 0;
        if (things.free.load() != 0 && !is_called) {
            return "it is free, and the one who waits for it sleeps";
        }
        if (things.free.load() == 0 && !is_called && !things.parking.has(kSleeper)) {
            return "one who sleeps is not known to wait any more";
        }
        if (things.parking.has(kVictim.lane)) {
            return "the dead, or who has left, is still known to wait";
        }
        return check(arena, fate);
    }

  protected:
    [[nodiscard]] Things things(const Arena& arena) const {
        if (is_in_array_) {
            shm::SharedArrayStorage& array = arena.segment.arrays()[row_];
            return {array.parking[3], array.word[3]};
        }
        shm::SharedObject& object = arena.segment.objects()[row_];
        return {object.parking, object.word[0]};
    }

    virtual std::string check(Arena& /*arena*/, Fate /*fate*/) { return ""; }

    /// As a thread of that lane leaves it on its way to sleep.
    static void enter(Parking& parking, std::uint32_t lane) {
        static_assert(sizeof(Parking) == sizeof(LaneSet) && std::is_standard_layout_v<Parking>);
        reinterpret_cast<LaneSet&>(parking).insert(lane);
    }

    /// A wake-up that asks the lanes from the first one on.
    void put_and_wake(const Arena& arena) const {
        Parking last{};
        enter(last, kLanes);
        (void)last.wake_one(arena.segment.lanes());
        const Things things = this->things(arena);
        things.free.fetch_add(1);
        (void)things.parking.wake_one(arena.segment.lanes());
    }

  private:
    bool is_in_array_;
    std::uint32_t row_ = 0;
};

class ParkingWake : public ParkingOperation {
  public:
    using ParkingOperation::ParkingOperation;

    [[nodiscard]] std::string name() const override { return "parking wake"; }

    void run(const Arena& arena) override {
        const Things things = this->things(arena);
        things.free.fetch_add(1);
        (void)things.parking.wake_one(arena.segment.lanes());
    }

    void peers(const Arena& arena) override {
        (void)things(arena).parking.wake_all(arena.segment.lanes());
    }
};

/// Comes, looks, and leaves as its time is up: the whole way but the sleep itself. Meanwhile the
/// only wake-up is sent to it.
class ParkingVisit : public ParkingOperation {
  public:
    using ParkingOperation::ParkingOperation;

    [[nodiscard]] std::string name() const override { return "parking visit"; }

    void run(const Arena& arena) override {
        const Things things = this->things(arena);
        (void)things.parking.park(arena.segment.lanes(), kVictim.lane, shm::Deadline{}, [&] {
            std::uint64_t one = 1;
            return !things.free.compare_exchange_strong(one, 0);
        });
    }

    void peers(const Arena& arena) override { put_and_wake(arena); }

    std::string check(Arena& arena, Fate fate) override {
        const bool is_left = fate.is_done && arena.segment.lanes()[kVictim.lane].parked.load() != 0;
        return is_left ? "it has left, and is still counted" : "";
    }
};

/// Two threads of one lane wait; one leaves.
class ParkingVisitBesideASibling : public ParkingVisit {
  public:
    [[nodiscard]] std::string name() const override { return "parking visit beside a sibling"; }

    void setup(const Arena& arena) override {
        ParkingVisit::setup(arena);
        enter(things(arena).parking, kVictim.lane);
        arena.segment.lanes()[kVictim.lane].parked.store(1);
    }

    std::string verify(Arena& arena, Fate fate) override {
        const Things things = this->things(arena);
        const shm::Lane& lane = arena.segment.lanes()[kVictim.lane];
        if (fate.is_done && lane.wake.load() == 0 && !things.parking.has(kVictim.lane) &&
            lane.parked.load() != 0) {
            return "the sibling sleeps, and is not known to wait any more";
        }
        things.parking.forget(kVictim.lane);
        lane_is_one_less(arena);
        return ParkingVisit::verify(arena, fate);
    }

  private:
    static void lane_is_one_less(Arena& arena) {
        arena.segment.lanes()[kVictim.lane].parked.fetch_sub(1);
    }
};

/// The textbook way, one futex word and a number of those who wait: a waiter's death leaves the
/// number too high for ever, and the waker's makes nobody look.
class TextbookEvent : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "control: wake-up without a sweep"; }

    void setup(const Arena& arena) override { new (arena.scratch.data()) Event{}; }

    void run(const Arena& arena) override {
        Event& event = arena.in_scratch<Event>();
        event.is_set.store(1);
        if (event.waiters.load() != 0) {
            event.word.fetch_add(1);
        }
    }

    std::string verify(Arena& arena, Fate /*fate*/) override {
        const Event& event = arena.in_scratch<Event>();
        return event.is_set.load() != 0 && event.word.load() == 0 ? "it is set, and all sleep" : "";
    }

  private:
    struct Event {
        std::atomic<std::uint32_t> is_set{0};
        std::atomic<std::uint32_t> waiters{1};
        std::atomic<std::uint32_t> word{0};
    };
};

TEST(TortureTest, ParkingWake) {
    SKIP_WITHOUT_PTRACE();
    ParkingWake operation;
    expect_survives(operation);
}

TEST(TortureTest, ParkingVisit) {
    SKIP_WITHOUT_PTRACE();
    ParkingVisit operation;
    expect_survives(operation);
}

TEST(TortureTest, ParkingVisitOfAnArray) {
    SKIP_WITHOUT_PTRACE();
    ParkingVisit operation(true);
    expect_survives(operation);
}

TEST(TortureTest, ParkingVisitBesideASibling) {
    SKIP_WITHOUT_PTRACE();
    ParkingVisitBesideASibling operation;
    expect_survives(operation);
}

TEST(ControlTest, AWakeUpWithoutASweepIsCaught) {
    SKIP_WITHOUT_PTRACE();
    TextbookEvent operation;
    expect_is_caught(operation);
}

}  // namespace
}  // namespace topsman::torture
