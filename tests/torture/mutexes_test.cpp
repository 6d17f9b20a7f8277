// The robust mutex and the TxCell. The kernel releases the lock of the dead, so each death here is
// a real one.

#include "expect.hpp"
#include "shm/base/check.hpp"

#include <array>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::torture {
namespace {

using shm::LockResult;
using shm::RobustMutex;

std::chrono::steady_clock::time_point soon() {
    return std::chrono::steady_clock::now() + std::chrono::seconds(10);
}

/// Two words that are equal whenever nobody is inside.
struct Guarded {
    std::uint64_t first = 1;
    std::uint64_t second = 1;
};

class MutexOperation : public Operation {
  public:
    [[nodiscard]] bool needs_real_deaths() const override { return true; }

    void setup(const Arena& arena) override {
        arena.segment.mutexes()[0].init();
        arena.in_scratch<Guarded>() = Guarded{};
    }

    /// They never wait for the frozen one: they are told that it has the lock.
    void peers(const Arena& arena) override {
        RobustMutex& mutex = arena.segment.mutexes()[0];
        const LockResult result = mutex.try_lock(kPeer);
        if (result == LockResult::Locked) {
            mutex.unlock();
        } else if (result == LockResult::OwnerDied) {
            mutex.repaired();
            mutex.unlock();
        }
    }

  protected:
    static RobustMutex& mutex_of(const Arena& arena) { return arena.segment.mutexes()[0]; }

    static void repair(const Arena& arena) {
        auto& guarded = arena.in_scratch<Guarded>();
        guarded.second = guarded.first;
    }

    static void change(const Arena& arena) {
        // Volatile: the two stores stay two, with instructions between them.
        auto& guarded = const_cast<volatile Guarded&>(arena.in_scratch<Guarded>());
        guarded.first = guarded.first + 1;
        guarded.second = guarded.second + 1;
    }

    /// Everybody can go on with whole data.
    static std::string is_usable(const Arena& arena) {
        RobustMutex& mutex = mutex_of(arena);
        for (int round = 0; round < 2; ++round) {
            const LockResult result = mutex.lock_until(kPeer, soon());
            if (result == LockResult::Busy) {
                return "it is still locked by the dead";
            }
            if (result == LockResult::Poisoned) {
                return "it is poisoned";
            }
            if (result == LockResult::OwnerDied && round > 0) {
                return "the owner's death is told twice";
            }
            if (result == LockResult::OwnerDied) {
                repair(arena);
                mutex.repaired();
            }
            const Guarded& guarded = arena.in_scratch<Guarded>();
            const bool is_whole = guarded.first == guarded.second;
            mutex.unlock();
            if (!is_whole) {
                return "what it guards is broken, and nobody was told";
            }
        }
        return "";
    }
};

class MutexLockUnlock : public MutexOperation {
  public:
    [[nodiscard]] std::string name() const override { return "mutex lock, change, unlock"; }

    void run(const Arena& arena) override {
        (void)mutex_of(arena).lock(kVictim);
        change(arena);
        mutex_of(arena).unlock();
    }

    std::string verify(Arena& arena, Fate fate) override {
        std::string wrong = is_usable(arena);
        if (!wrong.empty()) {
            return wrong;
        }
        const std::uint64_t value = arena.in_scratch<Guarded>().first;
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
        const pid_t pid = ::fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            (void)mutex_of(arena).lock(kVictim);
            arena.in_scratch<Guarded>().first = 2;
            ::_exit(0);
        }
        CHECK(::waitpid(pid, nullptr, 0) == pid);
    }

    void peers(const Arena& /*arena*/) override {}
};

class MutexRepair : public OrphanedMutexOperation {
  public:
    [[nodiscard]] std::string name() const override { return "mutex repair"; }

    void run(const Arena& arena) override {
        CHECK(mutex_of(arena).lock(kVictim) == LockResult::OwnerDied);
        repair(arena);
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
        for (int i = 0; i < 2; ++i) {
            if (mutex.try_lock(kPeer) != LockResult::Poisoned ||
                mutex.lock_until(kPeer, soon()) != LockResult::Poisoned) {
                return "it does not stay poisoned";
            }
        }
        return "";
    }
};

class TxCellUpdate : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "TxCell update"; }

    [[nodiscard]] bool needs_real_deaths() const override { return true; }

    void setup(const Arena& arena) override {
        const Value value = value_of(1);
        cell(arena).init(&value, sizeof(value));
        arena.in_scratch<bool>() = true;
    }

    void run(const Arena& arena) override {
        Value value;
        (void)cell(arena).begin(kVictim, &value, sizeof(value));
        for (auto& word : value) {
            ++word;
        }
        cell(arena).commit(&value, sizeof(value));
    }

    /// Readers take no lock.
    void peers(const Arena& arena) override {
        Value value{};
        arena.in_scratch<bool>() =
            cell(arena).read(&value, sizeof(value)) && value == value_of(value[0]);
    }

    std::string verify(Arena& arena, Fate fate) override {
        if (!arena.in_scratch<bool>()) {
            return "a reader saw half a value";
        }
        Value value{};
        if (cell(arena).begin(kPeer, &value, sizeof(value)) != LockResult::Locked) {
            return "it cannot be changed any more";
        }
        const Value before = value;
        value = value_of(6);
        cell(arena).commit(&value, sizeof(value));
        if (cell(arena).begin(kPeer, &value, sizeof(value)) != LockResult::Locked) {
            return "it can be changed only once";
        }
        value = value_of(7);
        cell(arena).commit(&value, sizeof(value));
        if (before != value_of(2) && (fate.is_done || before != value_of(1))) {
            return "it is neither the old value nor the new one";
        }
        return cell(arena).read(&value, sizeof(value)) && value == value_of(7)
                   ? ""
                   : "the next change is lost";
    }

  private:
    using Value = std::array<std::uint64_t, 2>;

    static Value value_of(std::uint64_t number) {
        Value value;
        value.fill(number);
        return value;
    }

    static shm::TxCellStorage& cell(const Arena& arena) { return arena.segment.cells()[0]; }
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
