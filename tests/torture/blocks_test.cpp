// Blocks that are given to others without copying: wherever somebody dies, every block has one
// owner or is free, what others may read stays as it was, and none is lost.

#include "expect.hpp"
#include "shm/block_pool.hpp"

#include <algorithm>
#include <optional>
#include <string>

namespace topsman::torture {
namespace {

using shm::BlockPool;
using shm::BlockRef;

/// What is said outside the pool: who was told of which block, and what came of it.
struct Told {
    BlockRef ref;
    bool is_told = false;     ///< the victim's operation returned this reference
    bool peer_holds = false;  ///< a peer has taken or opened it
    BlockRef peers;           ///< what the peer then has
    bool is_refused = false;  ///< a peer was told, and could not take it
};

void fill(const BlockPool& pool, BlockRef ref, int byte) {
    const auto memory = pool.memory(ref);
    std::fill(memory.begin(), memory.end(), static_cast<std::byte>(byte));
}

bool is_filled(const BlockPool& pool, BlockRef ref, int byte) {
    const auto memory = pool.memory(ref);
    return std::all_of(memory.begin(), memory.end(),
                       [byte](std::byte one) { return one == static_cast<std::byte>(byte); });
}

/// Takes every block that can be had, writes it, and gives all back: those that somebody holds are
/// `held`, all others must be there. Returns what is wrong.
std::string all_but(BlockPool& pool, std::size_t held) {
    std::size_t count = 0;
    BlockRef refs[shm::kMaxBlockClasses]{};
    while (const auto ref = pool.allocate(1, kPeer)) {
        if (count == std::size(refs)) {
            return "more blocks than there are";
        }
        fill(pool, *ref, 0xee);
        refs[count++] = *ref;
    }
    for (std::size_t i = 0; i < count; ++i) {
        if (!pool.release(refs[i], kPeer)) {
            return "a block cannot be given back";
        }
    }
    return count + held == pool.blocks()
               ? ""
               : std::to_string(count) + " of " + std::to_string(pool.blocks()) +
                     " blocks are free, " + std::to_string(held) + " held";
}

class BlockOperation : public Operation {
  public:
    /// Checks what the peer holds, lets it go, and counts again.
    std::string verify(Arena& arena, Fate fate) override {
        BlockPool pool = arena.segment.blocks();
        const Told& told = arena.in_scratch<Told>();
        if (std::string wrong = look(arena, fate); !wrong.empty()) {
            return wrong;
        }
        if (std::string wrong = all_but(pool, told.peer_holds ? 1 : 0); !wrong.empty()) {
            return wrong;
        }
        if (told.peer_holds && !is_filled(pool, told.peers, kContent)) {
            return "what the peer holds was written by somebody else";
        }
        if (told.peer_holds) {
            let_go(pool, told.peers);
        }
        return all_but(pool, 0);
    }

  protected:
    static constexpr int kContent = 0x5a;

    /// What must hold before anything is done.
    virtual std::string look(const Arena& /*arena*/, Fate /*fate*/) { return ""; }

    virtual void let_go(BlockPool& pool, BlockRef ref) { (void)pool.release(ref, kPeer); }

    static Told& told_of(const Arena& arena) { return arena.in_scratch<Told>(); }

    static void give_to_victim(const Arena& arena) {
        BlockPool pool = arena.segment.blocks();
        told_of(arena).ref = pool.allocate(50, kVictim).value();
        fill(pool, told_of(arena).ref, kContent);
    }

    /// The peer tries to take what it was told of, or may have been.
    static void take_as_peer(const Arena& arena) {
        Told& told = told_of(arena);
        if (const auto taken = arena.segment.blocks().take(told.ref, kPeer)) {
            told.peer_holds = true;
            told.peers = *taken;
        }
    }

    static void open_as_peer(const Arena& arena) {
        Told& told = told_of(arena);
        if (arena.segment.blocks().open(told.ref, kPeer.lane)) {
            told.peer_holds = true;
            told.peers = told.ref;
        }
    }

    static void use_all_as_peer(const Arena& arena) {
        BlockPool pool = arena.segment.blocks();
        while (const auto ref = pool.allocate(1, kPeer)) {
            fill(pool, *ref, 0xdd);
            (void)pool.pass(*ref, kPeer);
        }
        pool.sweep(kPeer);
    }
};

class BlockAllocate : public BlockOperation {
  public:
    [[nodiscard]] std::string name() const override { return "block allocate"; }

    void run(const Arena& arena) override {
        BlockPool pool = arena.segment.blocks();
        if (const auto ref = pool.allocate(50, kVictim)) {
            std::fill_n(pool.memory(*ref).begin(), 8, static_cast<std::byte>(kContent));
            told_of(arena).is_told = true;
        }
    }

    /// Somebody uses all that is left meanwhile, and keeps the first that the victim looks at.
    void peers(const Arena& arena) override {
        use_all_as_peer(arena);
        BlockPool pool = arena.segment.blocks();
        BlockRef refs[shm::kMaxBlockClasses]{};
        std::size_t count = 0;
        while (const auto ref = pool.allocate(50, kPeer)) {
            refs[count++] = *ref;
        }
        for (std::size_t i = 0; i < count; ++i) {
            if (refs[i].block != 0) {
                (void)pool.release(refs[i], kPeer);
                continue;
            }
            fill(pool, refs[i], kContent);
            told_of(arena).peer_holds = true;
            told_of(arena).peers = refs[i];
        }
    }

  protected:
    std::string look(const Arena& arena, Fate fate) override {
        return !fate.is_done || told_of(arena).is_told ? "" : "there are blocks, and none was had";
    }
};

class BlockRelease : public BlockOperation {
  public:
    [[nodiscard]] std::string name() const override { return "block release"; }

    void setup(const Arena& arena) override { give_to_victim(arena); }

    void run(const Arena& arena) override {
        told_of(arena).is_told = arena.segment.blocks().release(told_of(arena).ref, kVictim);
    }

    void peers(const Arena& arena) override { use_all_as_peer(arena); }

    /// Given back by its owner, not by the sweep.
    [[nodiscard]] bool lives_on() const override { return true; }

  protected:
    std::string look(const Arena& arena, Fate fate) override {
        return !fate.is_done || told_of(arena).is_told ? "" : "its owner could not release it";
    }
};

class BlockPass : public BlockOperation {
  public:
    [[nodiscard]] std::string name() const override { return "block pass"; }

    void setup(const Arena& arena) override { give_to_victim(arena); }

    void run(const Arena& arena) override {
        told_of(arena).is_told = arena.segment.blocks().pass(told_of(arena).ref, kVictim);
    }

    void peers(const Arena& arena) override {
        take_as_peer(arena);
        told_of(arena).is_refused = told_of(arena).is_told && !told_of(arena).peer_holds;
    }

  protected:
    std::string look(const Arena& arena, Fate fate) override {
        if (told_of(arena).is_refused) {
            return "passed, and nobody can take it";
        }
        return !fate.is_done || told_of(arena).is_told ? "" : "it could not be passed";
    }
};

class BlockTake : public BlockOperation {
  public:
    [[nodiscard]] std::string name() const override { return "block take"; }

    void setup(const Arena& arena) override {
        BlockPool pool = arena.segment.blocks();
        told_of(arena).ref = pool.allocate(50, kPeer).value();
        fill(pool, told_of(arena).ref, kContent);
        (void)pool.pass(told_of(arena).ref, kPeer);
    }

    void run(const Arena& arena) override {
        told_of(arena).is_told =
            arena.segment.blocks().take(told_of(arena).ref, kVictim).has_value();
    }

    /// Two show the same reference: one becomes the owner.
    void peers(const Arena& arena) override { take_as_peer(arena); }

  protected:
    std::string look(const Arena& arena, Fate fate) override {
        Told& told = told_of(arena);
        if (fate.is_done && told.is_told == told.peer_holds) {
            return told.is_told ? "it has two owners" : "nobody could take it";
        }
        // Not taken: it is still the living peer's.
        if (!told.peer_holds && arena.segment.blocks().release(told.ref, kPeer) && told.is_told) {
            return "taken, and still the sender's";
        }
        return "";
    }
};

class BlockShare : public BlockOperation {
  public:
    [[nodiscard]] std::string name() const override { return "block share, release"; }

    void setup(const Arena& arena) override { give_to_victim(arena); }

    void run(const Arena& arena) override {
        BlockPool pool = arena.segment.blocks();
        const BlockRef ref = told_of(arena).ref;
        told_of(arena).is_told = pool.share(ref, kVictim) && pool.release(ref, kVictim);
    }

    void peers(const Arena& arena) override { open_as_peer(arena); }

    [[nodiscard]] bool lives_on() const override { return true; }

  protected:
    std::string look(const Arena& arena, Fate fate) override {
        return !fate.is_done || told_of(arena).is_told ? "" : "it could not be shared and released";
    }

    void let_go(BlockPool& pool, BlockRef ref) override { pool.close(ref, kPeer.lane); }
};

class BlockRead : public BlockOperation {
  public:
    [[nodiscard]] std::string name() const override { return "block open, close"; }

    void setup(const Arena& arena) override {
        BlockPool pool = arena.segment.blocks();
        told_of(arena).ref = pool.allocate(50, kPeer).value();
        fill(pool, told_of(arena).ref, kContent);
        (void)pool.share(told_of(arena).ref, kPeer);
    }

    void run(const Arena& arena) override {
        BlockPool pool = arena.segment.blocks();
        Told& told = told_of(arena);
        if (pool.open(told.ref, kVictim.lane)) {
            // Nobody else may write it until close().
            told.is_told = pool.memory(told.ref)[0] != static_cast<std::byte>(kContent);
            pool.close(told.ref, kVictim.lane);
        }
    }

    /// Its owner leaves, and others use whatever is free.
    void peers(const Arena& arena) override {
        (void)arena.segment.blocks().release(told_of(arena).ref, kPeer);
        use_all_as_peer(arena);
    }

    [[nodiscard]] bool lives_on() const override { return true; }

  protected:
    std::string look(const Arena& arena, Fate fate) override {
        if (told_of(arena).is_told) {
            return "overwritten while it was being read";
        }
        if (!fate.peers_ran) {
            (void)arena.segment.blocks().release(told_of(arena).ref, kPeer);
        }
        return "";
    }
};

/// The sweep itself, of somebody who died with a block in each state.
class BlockSweep : public BlockOperation {
  public:
    [[nodiscard]] std::string name() const override { return "block sweep"; }

    void setup(const Arena& arena) override {
        BlockPool pool = arena.segment.blocks();
        (void)pool.allocate(1, kVictim);
        (void)pool.pass(pool.allocate(1, kVictim).value(), kVictim);
        const BlockRef read = pool.allocate(1, kPeer).value();
        (void)pool.share(read, kPeer);
        (void)pool.open(read, kVictim.lane);
        (void)pool.release(read, kPeer);
        told_of(arena).ref = pool.allocate(50, kVictim).value();
        fill(pool, told_of(arena).ref, kContent);
        (void)pool.share(told_of(arena).ref, kVictim);
    }

    void run(const Arena& arena) override { arena.segment.blocks().sweep(kVictim); }

    void peers(const Arena& arena) override { open_as_peer(arena); }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }

  protected:
    void let_go(BlockPool& pool, BlockRef ref) override { pool.close(ref, kPeer.lane); }
};

/// A control: the readers of a block as a number. Nobody can say how many of them are dead.
class CountedReaders : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "control: a reference count"; }

    void setup(const Arena& arena) override { count(arena).store(1); }

    void run(const Arena& arena) override {
        count(arena).fetch_add(1);
        count(arena).fetch_sub(1);
    }

    std::string verify(Arena& arena, Fate /*fate*/) override {
        return count(arena).fetch_sub(1) == 1 ? "" : "the block is never freed";
    }

  private:
    static std::atomic<int>& count(const Arena& arena) {
        return arena.in_scratch<std::atomic<int>>();
    }
};

TEST(TortureTest, BlockAllocate) {
    SKIP_WITHOUT_PTRACE();
    BlockAllocate operation;
    expect_survives(operation);
}

TEST(TortureTest, BlockRelease) {
    SKIP_WITHOUT_PTRACE();
    BlockRelease operation;
    expect_survives(operation);
}

TEST(TortureTest, BlockPass) {
    SKIP_WITHOUT_PTRACE();
    BlockPass operation;
    expect_survives(operation);
}

TEST(TortureTest, BlockTake) {
    SKIP_WITHOUT_PTRACE();
    BlockTake operation;
    expect_survives(operation);
}

TEST(TortureTest, BlockShare) {
    SKIP_WITHOUT_PTRACE();
    BlockShare operation;
    expect_survives(operation);
}

TEST(TortureTest, BlockRead) {
    SKIP_WITHOUT_PTRACE();
    BlockRead operation;
    expect_survives(operation);
}

TEST(TortureTest, BlockSweep) {
    SKIP_WITHOUT_PTRACE();
    BlockSweep operation;
    expect_survives(operation);
}

TEST(ControlTest, AReferenceCountIsCaught) {
    SKIP_WITHOUT_PTRACE();
    CountedReaders operation;
    expect_is_caught(operation);
}

}  // namespace
}  // namespace topsman::torture
