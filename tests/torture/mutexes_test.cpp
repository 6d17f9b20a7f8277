// The robust mutex and the TxCell. The kernel releases the lock of the dead, so each death here is
// a real one.

#include "expect.hpp"
#include "guarded.hpp"
#include "shm/base/check.hpp"

namespace topsman::torture {
namespace {

using shm::LockResult;
using shm::RobustMutex;

class MutexOperation : public Operation {
  public:
    [[nodiscard]] bool needs_real_deaths() const override { return true; }

    void setup(const Arena& arena) override { Guarded::set_up(arena); }

    /// They never wait for the frozen one: they are told that it has the lock.
    void peers(const Arena& arena) override {
        RobustMutex& mutex = mutex_of(arena);
        const LockResult result = mutex.try_lock(kPeer);
        if (result == LockResult::Locked) {
            mutex.unlock();
        } else if (result == LockResult::OwnerDied) {
            mutex.repaired();
            mutex.unlock();
        }
    }

  protected:
    static RobustMutex& mutex_of(const Arena& arena) { return Guarded::mutex(arena); }

    static std::string is_usable(const Arena& arena) { return Guarded::is_usable(arena, kPeer); }
};

class MutexLockUnlock : public MutexOperation {
  public:
    [[nodiscard]] std::string name() const override { return "mutex lock, change, unlock"; }

    void run(const Arena& arena) override {
        (void)mutex_of(arena).lock(kVictim);
        Guarded::change(arena);
        mutex_of(arena).unlock();
    }

    std::string verify(Arena& arena, Fate fate) override {
        std::string wrong = is_usable(arena);
        if (!wrong.empty()) {
            return wrong;
        }
        const std::uint64_t value = Guarded::of(arena).first;
        return value == 2 || (value == 1 && !fate.is_done) ? "" : "the change is lost";
    }
};

/// Waits for what a peer has, until its time is up, which is so at once.
class MutexWait : public MutexOperation {
  public:
    [[nodiscard]] std::string name() const override { return "mutex wait"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        MutexOperation::setup(arena);
        CHECK(mutex_of(arena).try_lock(kPeer) == LockResult::Locked);
    }

    void run(const Arena& arena) override { (void)mutex_of(arena).lock_until(kVictim, {}); }

    void peers(const Arena& /*arena*/) override {}

    std::string verify(Arena& arena, Fate /*fate*/) override {
        const bool is_mine = mutex_of(arena).owner() == kPeer;
        const bool is_waited_for = mutex_of(arena).is_waited_for_by(kVictim.lane);
        mutex_of(arena).unlock();
        if (!is_mine) {
            return "its owner is not shown any more";
        }
        return is_waited_for ? "the dead, or who has left, is still known to wait"
                             : is_usable(arena);
    }
};

/// The lock of one who died in the middle of a change.
class OrphanedMutexOperation : public MutexOperation {
  public:
    void setup(const Arena& arena) override {
        MutexOperation::setup(arena);
        Guarded::leave_orphaned(arena);
    }

    void peers(const Arena& /*arena*/) override {}
};

class MutexRepair : public OrphanedMutexOperation {
  public:
    [[nodiscard]] std::string name() const override { return "mutex repair"; }

    void run(const Arena& arena) override {
        CHECK(mutex_of(arena).lock(kVictim) == LockResult::OwnerDied);
        Guarded::repair(arena);
        mutex_of(arena).repaired();
        mutex_of(arena).unlock();
    }

    std::string verify(Arena& arena, Fate /*fate*/) override { return is_usable(arena); }
};

class MutexPoison : public OrphanedMutexOperation {
  public:
    [[nodiscard]] std::string name() const override { return "mutex poison"; }

    void run(const Arena& arena) override {
        CHECK(mutex_of(arena).lock(kVictim) == LockResult::OwnerDied);
        mutex_of(arena).poison();
    }

    std::string verify(Arena& arena, Fate fate) override {
        RobustMutex& mutex = mutex_of(arena);
        const LockResult result = mutex.lock_until(kPeer, soon());
        if (result == LockResult::OwnerDied && !fate.is_done) {
            mutex.poison();
        } else if (result != LockResult::Poisoned) {
            return "result " + std::to_string(static_cast<int>(result));
        }
        return Guarded::is_poisoned_for_good(arena, kPeer);
    }
};

class TxCellUpdate : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "TxCell update"; }

    [[nodiscard]] bool needs_real_deaths() const override { return true; }

    void setup(const Arena& arena) override {
        GuardedCell::set_up(arena);
        arena.in_scratch<bool>() = true;
    }

    void run(const Arena& arena) override { GuardedCell::add_one(arena, kVictim); }

    /// Readers take no lock.
    void peers(const Arena& arena) override {
        arena.in_scratch<bool>() = GuardedCell::read(arena) != 0;
    }

    std::string verify(Arena& arena, Fate fate) override {
        const std::uint64_t before = GuardedCell::read(arena);
        if (!arena.in_scratch<bool>() || before == 0) {
            return "a reader saw half a value";
        }
        if (before != 2 && (fate.is_done || before != 1)) {
            return "it is neither the old value nor the new one";
        }
        return GuardedCell::is_usable(arena, kPeer);
    }
};

TEST(TortureTest, MutexLockChangeUnlock) {
    SKIP_WITHOUT_PTRACE();
    MutexLockUnlock operation;
    expect_survives(operation);
}

TEST(TortureTest, MutexWait) {
    SKIP_WITHOUT_PTRACE();
    MutexWait operation;
    expect_survives(operation);
}

TEST(TortureTest, MutexRepair) {
    SKIP_WITHOUT_PTRACE();
    MutexRepair operation;
    expect_survives(operation);
}

TEST(TortureTest, MutexPoison) {
    SKIP_WITHOUT_PTRACE();
    MutexPoison operation;
    expect_survives(operation);
}

TEST(TortureTest, TxCellUpdate) {
    SKIP_WITHOUT_PTRACE();
    TxCellUpdate operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
