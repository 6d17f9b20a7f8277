// Two who die over one lock: the next one gets it, is told, and finds whole data.

#include "expect_both.hpp"
#include "guarded.hpp"

namespace topsman::torture {
namespace {

using shm::LockResult;

class MutexPair : public Pair {
  public:
    /// Was its holder dead before either of them came?
    explicit MutexPair(bool is_orphaned) : is_orphaned_(is_orphaned) {}

    [[nodiscard]] Deaths deaths() const override { return Deaths::Real; }

    void setup(const Arena& arena) override {
        Guarded::set_up(arena);
        if (is_orphaned_) {
            Guarded::leave_orphaned(arena);
        }
        results(arena) = {LockResult::Busy, LockResult::Busy};
    }

    void first(const Arena& arena) override { enter(arena, kVictim, results(arena)[0]); }

    void second(const Arena& arena) override { enter(arena, kPeer, results(arena)[1]); }

    std::string verify(Arena& arena, Fates fates) override {
        const shm::RobustMutex& mutex = Guarded::mutex(arena);
        if (mutex.owner() != Owner{}) {
            return "a dead one is still shown as its owner";
        }
        if (mutex.is_waited_for_by(kVictim.lane) || mutex.is_waited_for_by(kPeer.lane)) {
            return "a dead one is still known to wait";
        }
        return check(arena, fates, results(arena));
    }

  protected:
    using Results = std::array<LockResult, 2>;

    [[nodiscard]] bool is_orphaned() const { return is_orphaned_; }

    virtual void inside(const Arena& arena, LockResult result) = 0;

    [[nodiscard]] virtual std::string check(const Arena& arena, Fates fates, Results results) = 0;

  private:
    /// Behind what is guarded.
    static Results& results(const Arena& arena) {
        return *reinterpret_cast<Results*>(arena.scratch.data() + sizeof(Guarded));
    }

    /// Waits, but not for one that stands still: its time is up at once.
    void enter(const Arena& arena, Owner owner, LockResult& result) {
        const LockResult mine = Guarded::mutex(arena).lock_until(owner, {});
        result = mine;
        if (mine == LockResult::Locked || mine == LockResult::OwnerDied) {
            inside(arena, mine);
        }
    }

    bool is_orphaned_;
};

/// Each repairs what it finds broken, changes it, and leaves.
class MutexChanged : public MutexPair {
  public:
    using MutexPair::MutexPair;

    [[nodiscard]] std::string name() const override {
        return is_orphaned() ? "mutex repaired and changed" : "mutex locked and changed";
    }

    void inside(const Arena& arena, LockResult result) override {
        if (result == LockResult::OwnerDied) {
            Guarded::repair(arena);
            Guarded::mutex(arena).repaired();
        }
        Guarded::change(arena);
        Guarded::mutex(arena).unlock();
    }

    std::string check(const Arena& arena, Fates fates, Results results) override {
        if (std::string wrong = Guarded::is_usable(arena, kSurvivor); !wrong.empty()) {
            return wrong;
        }
        const std::uint64_t before = is_orphaned() ? 2 : 1;
        const bool second_was_in = results[1] != LockResult::Busy;
        const std::uint64_t least = before + (fates.first_is_done ? 1U : 0U) +
                                    (fates.second_is_done && second_was_in ? 1U : 0U);
        const std::uint64_t value = Guarded::of(arena).first;
        return value >= least && value <= before + 2 ? "" : "the value is " + std::to_string(value);
    }
};

/// Each gives up what it finds broken.
class MutexGivenUp : public MutexPair {
  public:
    MutexGivenUp() : MutexPair(true) {}

    [[nodiscard]] std::string name() const override { return "mutex poisoned"; }

    void inside(const Arena& arena, LockResult result) override {
        CHECK(result == LockResult::OwnerDied);
        Guarded::mutex(arena).poison();
    }

    std::string check(const Arena& arena, Fates fates, Results results) override {
        const bool second_was_in = results[1] == LockResult::OwnerDied;
        const LockResult result = Guarded::mutex(arena).lock_until(kSurvivor, soon());
        if (result == LockResult::OwnerDied &&
            (fates.first_is_done || (fates.second_is_done && second_was_in))) {
            return "it was given up, and is not";
        }
        if (result == LockResult::OwnerDied) {
            Guarded::mutex(arena).poison();
        } else if (result != LockResult::Poisoned) {
            return "result " + std::to_string(static_cast<int>(result));
        }
        return Guarded::is_poisoned_for_good(arena, kSurvivor);
    }
};

/// Two writers of one cell. The second would wait for the first, so it comes after its death.
class CellChanged : public Pair {
  public:
    [[nodiscard]] std::string name() const override { return "TxCell changed"; }

    [[nodiscard]] Deaths deaths() const override { return Deaths::InTurn; }

    void setup(const Arena& arena) override { GuardedCell::set_up(arena); }

    void first(const Arena& arena) override { GuardedCell::add_one(arena, kVictim); }

    void second(const Arena& arena) override { GuardedCell::add_one(arena, kPeer); }

    std::string verify(Arena& arena, Fates fates) override {
        const std::uint64_t value = GuardedCell::read(arena);
        if (value == 0) {
            return "a reader sees half a value";
        }
        const std::uint64_t least =
            1 + (fates.first_is_done ? 1U : 0U) + (fates.second_is_done ? 1U : 0U);
        if (value < least || value > 3) {
            return "the value is " + std::to_string(value);
        }
        if (GuardedCell::of(arena).mutex().owner() != Owner{}) {
            return "a dead one is still shown as its owner";
        }
        return GuardedCell::is_usable(arena, kSurvivor);
    }
};

TEST(TwoVictimsTest, MutexLockedAndChanged) {
    expect_two_victims_harm_nobody<MutexChanged>(false);
}

TEST(TwoVictimsTest, MutexRepairedAndChanged) {
    expect_two_victims_harm_nobody<MutexChanged>(true);
}

TEST(TwoVictimsTest, MutexPoisoned) {
    expect_two_victims_harm_nobody<MutexGivenUp>();
}

TEST(TwoVictimsTest, CellChanged) {
    expect_two_victims_harm_nobody<CellChanged>();
}

}  // namespace
}  // namespace topsman::torture
