// Negative controls: what is known not to survive its owner's death must be caught by the same
// harness. A test here passes when the operation fails.

#include "expect.hpp"
#include "shm/base/check.hpp"
#include "shm/robust_mutex.hpp"

#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <pthread.h>

namespace topsman::torture {
namespace {

namespace bi = boost::interprocess;

class Control : public Operation {
  public:
    [[nodiscard]] bool needs_real_deaths() const override { return true; }
};

class PlainMutex : public Control {
  public:
    [[nodiscard]] std::string name() const override { return "plain process-shared mutex"; }

    void setup(const Arena& arena) override {
        pthread_mutexattr_t attributes;
        CHECK(::pthread_mutexattr_init(&attributes) == 0);
        CHECK(::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
        CHECK(::pthread_mutex_init(&mutex(arena), &attributes) == 0);
    }

    void run(const Arena& arena) override {
        (void)::pthread_mutex_lock(&mutex(arena));
        (void)::pthread_mutex_unlock(&mutex(arena));
    }

    std::string verify(Arena& arena, Fate /*fate*/) override {
        if (::pthread_mutex_trylock(&mutex(arena)) != 0) {
            return "it is locked by the dead for ever";
        }
        (void)::pthread_mutex_unlock(&mutex(arena));
        return "";
    }

  private:
    static pthread_mutex_t& mutex(const Arena& arena) {
        return arena.in_scratch<pthread_mutex_t>();
    }
};

class BoostMutex : public Control {
  public:
    [[nodiscard]] std::string name() const override { return "boost interprocess_mutex"; }

    void setup(const Arena& arena) override { new (arena.scratch.data()) bi::interprocess_mutex; }

    void run(const Arena& arena) override {
        mutex(arena).lock();
        mutex(arena).unlock();
    }

    std::string verify(Arena& arena, Fate /*fate*/) override {
        // Once may be how it tells of the owner's death; for good is not.
        for (int attempt = 0; attempt < 3; ++attempt) {
            try {
                if (mutex(arena).try_lock()) {
                    mutex(arena).unlock();
                    return "";
                }
            } catch (const std::exception& error) {
                if (attempt == 2) {
                    return std::string("it throws for ever: ") + error.what();
                }
            }
        }
        return "it is locked by the dead for ever";
    }

  private:
    static bi::interprocess_mutex& mutex(const Arena& arena) {
        return arena.in_scratch<bi::interprocess_mutex>();
    }
};

/// A managed segment as Boost's documentation shows it, with its default mutexes inside.
class BoostAllocate : public Control {
  public:
    [[nodiscard]] std::string name() const override { return "boost managed segment allocate"; }

    void setup(const Arena& arena) override {
        const Buffer buffer(bi::create_only, arena.scratch.data(), arena.scratch.size());
    }

    void run(const Arena& arena) override {
        Buffer buffer(bi::open_only, arena.scratch.data(), arena.scratch.size());
        (void)buffer.allocate(200);
    }

    std::string verify(Arena& arena, Fate /*fate*/) override {
        for (int attempt = 0; attempt < 3; ++attempt) {
            try {
                Buffer buffer(bi::open_only, arena.scratch.data(), arena.scratch.size());
                buffer.deallocate(buffer.allocate(200));
                return "";
            } catch (const std::exception& error) {
                if (attempt == 2) {
                    return std::string("it throws for ever: ") + error.what();
                }
            }
        }
        return "";
    }

  private:
    using Buffer = bi::basic_managed_external_buffer<char, bi::rbtree_best_fit<bi::mutex_family>,
                                                     bi::iset_index>;
};

/// The lock is recovered; what it guards is not, as nobody repairs it.
class InPlaceUpdate : public Control {
  public:
    [[nodiscard]] std::string name() const override { return "update in place, no repair"; }

    void setup(const Arena& arena) override {
        arena.segment.mutexes()[0].init();
        arena.in_scratch<Value>() = Value{};
    }

    void run(const Arena& arena) override {
        (void)arena.segment.mutexes()[0].lock(kVictim);
        auto& value = const_cast<volatile Value&>(arena.in_scratch<Value>());
        for (auto& word : value.words) {
            word = word + 1;
        }
        arena.segment.mutexes()[0].unlock();
    }

    std::string verify(Arena& arena, Fate /*fate*/) override {
        shm::RobustMutex& mutex = arena.segment.mutexes()[0];
        if (mutex.lock(kPeer) == shm::LockResult::OwnerDied) {
            mutex.repaired();
        }
        bool is_whole = true;
        for (const std::uint64_t word : arena.in_scratch<Value>().words) {
            is_whole = is_whole && word == arena.in_scratch<Value>().words[0];
        }
        mutex.unlock();
        return is_whole ? "" : "it is neither the old value nor the new one";
    }

  private:
    static constexpr std::size_t kWords = 16;

    struct Value {
        std::uint64_t words[kWords];
    };
};

/// Permits as a number: when their holder dies, nobody knows that one is missing.
class PermitCount : public Control {
  public:
    [[nodiscard]] std::string name() const override { return "permits as a shared number"; }

    void setup(const Arena& arena) override { free(arena).store(kPermits); }

    void run(const Arena& arena) override {
        free(arena).fetch_sub(1);
        free(arena).fetch_add(1);
    }

    std::string verify(Arena& arena, Fate /*fate*/) override {
        return free(arena).load() == kPermits ? "" : "a permit has died with its holder";
    }

  private:
    static constexpr std::uint64_t kPermits = 20;

    static std::atomic<std::uint64_t>& free(const Arena& arena) {
        return arena.in_scratch<std::atomic<std::uint64_t>>();
    }
};

/// Odd while it is written: a writer that dies then leaves it odd.
class Seqlock : public Control {
  public:
    [[nodiscard]] std::string name() const override { return "seqlock"; }

    void setup(const Arena& arena) override { new (arena.scratch.data()) Cell{}; }

    void run(const Arena& arena) override {
        Cell& cell = arena.in_scratch<Cell>();
        cell.sequence.fetch_add(1);
        for (auto& word : cell.words) {
            word.store(2);
        }
        cell.sequence.fetch_add(1);
    }

    std::string verify(Arena& arena, Fate /*fate*/) override {
        const Cell& cell = arena.in_scratch<Cell>();
        for (int attempt = 0; attempt < 1'000; ++attempt) {
            if (cell.sequence.load() % 2 == 0) {
                return "";
            }
        }
        return "its readers wait for the dead for ever";
    }

  private:
    struct Cell {
        std::atomic<std::uint64_t> sequence;
        std::array<std::atomic<std::uint64_t>, 4> words;
    };
};

/// Vyukov's bounded queue of many producers and consumers: a position is claimed by one exchange,
/// and the cell published by a later store. Who dies between the two stops all who come after.
class VyukovsQueue : public Control {
  public:
    [[nodiscard]] std::string name() const override { return "Vyukov's bounded queue"; }

    void setup(const Arena& arena) override {
        auto& queue = *new (arena.scratch.data()) Queue{};
        for (std::uint64_t i = 0; i < queue.cells.size(); ++i) {
            queue.cells[i].sequence.store(i);
        }
    }

    void run(const Arena& arena) override { (void)push(arena.in_scratch<Queue>(), 1); }

    std::string verify(Arena& arena, Fate fate) override {
        auto& queue = arena.in_scratch<Queue>();
        std::uint64_t value = 0;
        if (pop(queue, value) != fate.is_done && value != 1) {
            return "what was pushed is not there";
        }
        for (std::uint64_t i = 0; i < 3 * queue.cells.size(); ++i) {
            if (!push(queue, i + 2) || !pop(queue, value) || value != i + 2) {
                return "nothing goes through it any more";
            }
        }
        return "";
    }

  private:
    struct Queue {
        struct Cell {
            std::atomic<std::uint64_t> sequence;
            std::uint64_t value;
        };

        std::array<Cell, 8> cells;
        std::atomic<std::uint64_t> head;
        std::atomic<std::uint64_t> tail;
    };

    static bool push(Queue& queue, std::uint64_t value) {
        std::uint64_t at = queue.tail.load();
        for (;;) {
            Queue::Cell& cell = queue.cells[at % queue.cells.size()];
            const std::uint64_t sequence = cell.sequence.load();
            if (sequence < at) {
                return false;
            }
            if (sequence == at && queue.tail.compare_exchange_strong(at, at + 1)) {
                cell.value = value;
                cell.sequence.store(at + 1);
                return true;
            }
            if (sequence != at) {
                at = queue.tail.load();
            }
        }
    }

    static bool pop(Queue& queue, std::uint64_t& value) {
        std::uint64_t at = queue.head.load();
        for (;;) {
            Queue::Cell& cell = queue.cells[at % queue.cells.size()];
            const std::uint64_t sequence = cell.sequence.load();
            if (sequence < at + 1) {
                return false;
            }
            if (sequence == at + 1 && queue.head.compare_exchange_strong(at, at + 1)) {
                value = cell.value;
                cell.sequence.store(at + queue.cells.size());
                return true;
            }
            if (sequence != at + 1) {
                at = queue.head.load();
            }
        }
    }
};

TEST(ControlTest, APlainMutexIsCaught) {
    SKIP_WITHOUT_PTRACE();
    PlainMutex control;
    expect_is_caught(control);
}

TEST(ControlTest, BoostsInterprocessMutexIsCaught) {
    SKIP_WITHOUT_PTRACE();
    BoostMutex control;
    expect_is_caught(control);
}

TEST(ControlTest, BoostsAllocatorWithItsOwnMutexIsCaught) {
    SKIP_WITHOUT_PTRACE();
    BoostAllocate control;
    expect_is_caught(control, 40);
}

TEST(ControlTest, AnUpdateInPlaceWithoutRepairIsCaught) {
    SKIP_WITHOUT_PTRACE();
    InPlaceUpdate control;
    expect_is_caught(control);
}

TEST(ControlTest, APermitCountIsCaught) {
    SKIP_WITHOUT_PTRACE();
    PermitCount control;
    expect_is_caught(control);
}

TEST(ControlTest, VyukovsBoundedQueueIsCaught) {
    SKIP_WITHOUT_PTRACE();
    VyukovsQueue control;
    expect_is_caught(control);
}

TEST(ControlTest, ASeqlockIsCaught) {
    SKIP_WITHOUT_PTRACE();
    Seqlock control;
    expect_is_caught(control);
}

}  // namespace
}  // namespace topsman::torture
