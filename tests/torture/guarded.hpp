#pragma once

// Two words under the segment's first mutex, equal whenever nobody is inside; and a cell of two
// words, equal at every instruction.

#include "operation.hpp"
#include "shm/base/check.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::torture {

/// A deadline that only a lock that nobody gives back reaches.
inline std::chrono::steady_clock::time_point soon() {
    return std::chrono::steady_clock::now() + std::chrono::seconds(10);
}

struct Guarded {
    std::uint64_t first = 1;
    std::uint64_t second = 1;

    static shm::RobustMutex& mutex(const Arena& arena) { return arena.segment.mutexes()[0]; }

    static Guarded& of(const Arena& arena) { return arena.in_scratch<Guarded>(); }

    static void set_up(const Arena& arena) {
        mutex(arena).init();
        of(arena) = Guarded{};
    }

    /// The lock of one who died in the middle of a change.
    static void leave_orphaned(const Arena& arena) {
        const pid_t pid = ::fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            (void)mutex(arena).lock(kVictim);
            of(arena).first = 2;
            ::_exit(0);
        }
        CHECK(::waitpid(pid, nullptr, 0) == pid);
    }

    static void repair(const Arena& arena) { of(arena).second = of(arena).first; }

    static void change(const Arena& arena) {
        // Volatile: the two stores stay two, with instructions between them.
        auto& guarded = const_cast<volatile Guarded&>(of(arena));
        guarded.first = guarded.first + 1;
        guarded.second = guarded.second + 1;
    }

    /// Empty: a living one can go on with whole data.
    static std::string is_usable(const Arena& arena, Owner living) {
        for (int round = 0; round < 2; ++round) {
            const shm::LockResult result = mutex(arena).lock_until(living, soon());
            if (result == shm::LockResult::Busy) {
                return "it is still locked by the dead";
            }
            if (result == shm::LockResult::Poisoned) {
                return "it is poisoned";
            }
            if (result == shm::LockResult::OwnerDied && round > 0) {
                return "the owner's death is told twice";
            }
            if (result == shm::LockResult::OwnerDied) {
                repair(arena);
                mutex(arena).repaired();
            }
            const bool is_whole = of(arena).first == of(arena).second;
            mutex(arena).unlock();
            if (!is_whole) {
                return "what it guards is broken, and nobody was told";
            }
        }
        return "";
    }

    /// Empty: it is refused to all, again and again.
    static std::string is_poisoned_for_good(const Arena& arena, Owner living) {
        for (int i = 0; i < 2; ++i) {
            if (mutex(arena).try_lock(living) != shm::LockResult::Poisoned ||
                mutex(arena).lock_until(living, soon()) != shm::LockResult::Poisoned) {
                return "it does not stay poisoned";
            }
        }
        return "";
    }
};

/// The segment's first cell.
class GuardedCell {
  public:
    using Value = std::array<std::uint64_t, 2>;

    static shm::TxCellStorage& of(const Arena& arena) { return arena.segment.cells()[0]; }

    static Value value_of(std::uint64_t number) {
        Value value;
        value.fill(number);
        return value;
    }

    static void set_up(const Arena& arena) {
        const Value value = value_of(1);
        of(arena).init(&value, sizeof(value));
    }

    static void add_one(const Arena& arena, Owner by) {
        Value value;
        (void)of(arena).begin(by, &value, sizeof(value));
        for (auto& word : value) {
            ++word;
        }
        of(arena).commit(&value, sizeof(value));
    }

    /// What a reader sees, who takes no lock: the number, or 0 if the value is not whole.
    static std::uint64_t read(const Arena& arena) {
        Value value{};
        return of(arena).read(&value, sizeof(value)) && value == value_of(value[0]) ? value[0] : 0;
    }

    /// Empty: a living one can change it as often as it wants, and readers see that.
    static std::string is_usable(const Arena& arena, Owner living) {
        const std::uint64_t before = read(arena);
        for (const std::uint64_t round : {1U, 2U}) {
            Value value{};
            if (of(arena).begin(living, &value, sizeof(value)) != shm::LockResult::Locked) {
                return "it cannot be changed any more";
            }
            const bool is_current = value == value_of(before + round - 1);
            value = value_of(before + round);
            of(arena).commit(&value, sizeof(value));
            if (!is_current || read(arena) != before + round) {
                return "a change is lost";
            }
        }
        return "";
    }
};

}  // namespace topsman::torture
