// What limits many workers at once: permits that come back, a number that stays within its bounds,
// a rate.

#include "expect.hpp"
#include "shm/bounded_counter.hpp"
#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"

namespace topsman::torture {
namespace {

using shm::BoundedCounter;
using shm::Deadline;
using shm::NameKind;
using shm::RateLimit;

constexpr std::uint32_t kPermits = 2;
constexpr std::uint64_t kNow = 1'000'000'000'000;

/// Acquires the one of two permits that a peer has not, and keeps it or gives it back. Meanwhile
/// the peer wants it too, and keeps what it gets.
class SemaphoreUse : public Operation {
  public:
    explicit SemaphoreUse(bool is_kept) : is_kept_(is_kept) {}

    [[nodiscard]] std::string name() const override {
        return is_kept_ ? "semaphore acquire" : "semaphore acquire and release";
    }

    [[nodiscard]] bool lives_on() const override { return !is_kept_; }

    void setup(const Arena& arena) override {
        row_ = add(arena.segment.array_names(), "limit", NameKind::Semaphore);
        semaphore(arena).init(kPermits);
        (void)semaphore(arena).try_acquire(kPeer);
        arena.in_scratch<Results>() = Results{};
    }

    void run(const Arena& arena) override {
        const auto permit = semaphore(arena).acquire(arena.segment.lanes(), kVictim, Deadline{});
        arena.in_scratch<Results>().victims_permit = permit ? *permit + 1 : 0;
        if (!is_kept_ && permit) {
            (void)semaphore(arena).release(arena.segment.lanes(), kVictim, *permit);
        }
    }

    void peers(const Arena& arena) override {
        const auto permit = semaphore(arena).try_acquire(kPeer);
        arena.in_scratch<Results>().peers_permit = permit ? *permit + 1 : 0;
    }

    std::string verify(Arena& arena, Fate fate) override {
        const Results& results = arena.in_scratch<Results>();
        const bool peer_has_both = results.peers_permit != 0;
        if (fate.is_done && results.victims_permit == 0 && !peer_has_both) {
            return "a free permit was refused";
        }
        if (is_kept_ && results.victims_permit != 0 && peer_has_both) {
            return "one permit was given to two";
        }
        // All are the peer's, or can be had by it.
        std::uint32_t had = peer_has_both ? 2 : 1;
        while (had <= kPermits && semaphore(arena).try_acquire(kPeer)) {
            ++had;
        }
        std::uint32_t owned = 0;
        semaphore(arena).visit_owners([&](Owner owner) { owned += owner == kPeer ? 1U : 0U; });
        return had == kPermits && owned == kPermits
                   ? ""
                   : std::to_string(owned) + " of two permits can be had";
    }

  private:
    struct Results {
        std::uint32_t victims_permit = 0;
        std::uint32_t peers_permit = 0;
    };

    [[nodiscard]] shm::Semaphore semaphore(const Arena& arena) const {
        return shm::Semaphore(arena.segment.arrays()[row_]);
    }

    bool is_kept_;
    std::uint32_t row_ = 0;
};

/// The victim frees the last permit; a peer sleeps until one is free.
class SemaphoreRelease : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "semaphore release"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        row_ = add(arena.segment.array_names(), "limit", NameKind::Semaphore);
        semaphore(arena).init(1);
        (void)semaphore(arena).try_acquire(kVictim);
        // As a thread of that lane leaves it on its way to sleep.
        reinterpret_cast<shm::LaneSet&>(arena.segment.arrays()[row_].parking[0]).insert(kPeer.lane);
        arena.segment.lanes()[kPeer.lane].parked.store(1);
    }

    void run(const Arena& arena) override {
        (void)semaphore(arena).release(arena.segment.lanes(), kVictim, 0);
    }

    std::string verify(Arena& arena, Fate fate) override {
        const bool is_called = arena.segment.lanes()[kPeer.lane].wake.load() != 0;
        if (semaphore(arena).taken() != 0) {
            return "the permit is still taken";
        }
        return is_called || (fate.peers_ran && !fate.is_done) ? "" : "nobody was told";
    }

  private:
    [[nodiscard]] shm::Semaphore semaphore(const Arena& arena) const {
        return shm::Semaphore(arena.segment.arrays()[row_]);
    }

    std::uint32_t row_ = 0;
};

class BoundedAdd : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "bounded counter add"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        row_ = add(arena.segment.object_names(), "limit", NameKind::BoundedCounter);
        counter(arena).init(10);
        (void)counter(arena).try_add(8);
        arena.in_scratch<Results>() = Results{};
    }

    void run(const Arena& arena) override {
        arena.in_scratch<Results>().victims = counter(arena).try_add(2) ? 1 : 2;
    }

    void peers(const Arena& arena) override {
        arena.in_scratch<Results>().peers = counter(arena).try_add(1) ? 1 : 2;
    }

    std::string verify(Arena& arena, Fate fate) override {
        const Results& results = arena.in_scratch<Results>();
        const std::uint64_t value = counter(arena).value();
        const std::uint64_t known =
            8 + (results.victims == 1 ? 2U : 0U) + (results.peers == 1 ? 1U : 0U);
        const bool is_unsaid =
            !fate.is_done && value == known + 2;  // done, and dead before it said so
        if (value > 10 || (value != known && !is_unsaid)) {
            return "it is " + std::to_string(value) + ", " + std::to_string(known) + " were added";
        }
        if (fate.is_done && results.victims == 2 && results.peers != 1) {
            return "it was refused although there was room";
        }
        return counter(arena).subtract(arena.segment.lanes(), value) && counter(arena).try_add(10)
                   ? ""
                   : "it cannot be used any more";
    }

  private:
    struct Results {
        std::uint32_t victims = 0;  // 1: added, 2: refused
        std::uint32_t peers = 0;
    };

    [[nodiscard]] BoundedCounter counter(const Arena& arena) const {
        return BoundedCounter(arena.segment.objects()[row_]);
    }

    std::uint32_t row_ = 0;
};

/// A burst of three, of which one is left: of the victim and its peers one is let in.
class RateAllow : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "rate limit allow"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        row_ = add(arena.segment.object_names(), "limit", NameKind::RateLimit);
        limit(arena).init({.interval_ns = 1'000'000, .burst = 3});
        (void)limit(arena).allow(2, kNow);
        arena.in_scratch<Results>() = Results{};
    }

    void run(const Arena& arena) override {
        arena.in_scratch<Results>().victims = limit(arena).allow(1, kNow) ? 1 : 2;
    }

    void peers(const Arena& arena) override {
        arena.in_scratch<Results>().peers = limit(arena).allow(1, kNow) ? 1 : 2;
    }

    std::string verify(Arena& arena, Fate fate) override {
        const Results& results = arena.in_scratch<Results>();
        if (results.victims == 1 && results.peers == 1) {
            return "two were let in where there was room for one";
        }
        if (fate.is_done && results.victims == 2 && results.peers != 1) {
            return "nobody was let in where there was room for one";
        }
        const std::uint64_t left = limit(arena).available(kNow);
        const bool is_used = results.victims == 1 || results.peers == 1;
        if (is_used ? left != 0 : left > 1) {
            return std::to_string(left) + " are left";
        }
        return limit(arena).available(kNow + 3'000'000) == 3 ? "" : "it does not fill up again";
    }

  private:
    struct Results {
        std::uint32_t victims = 0;  // 1: let in, 2: refused
        std::uint32_t peers = 0;
    };

    [[nodiscard]] RateLimit limit(const Arena& arena) const {
        return RateLimit(arena.segment.objects()[row_]);
    }

    std::uint32_t row_ = 0;
};

/// The textbook's token bucket: how many tokens, and when they were last filled up.
class TokenBucket : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "control: token bucket"; }

    void setup(const Arena& arena) override {
        arena.in_scratch<Bucket>().tokens.store(0);
        arena.in_scratch<Bucket>().filled.store(kNow);
    }

    void run(const Arena& arena) override { refill(arena.in_scratch<Bucket>(), kNow + 10); }

    std::string verify(Arena& arena, Fate /*fate*/) override {
        Bucket& bucket = arena.in_scratch<Bucket>();
        refill(bucket, kNow + 20);
        return bucket.tokens.load() == 20 ? "" : std::to_string(bucket.tokens.load()) + " tokens";
    }

  private:
    struct Bucket {
        std::atomic<std::uint64_t> tokens;
        std::atomic<std::uint64_t> filled;
    };

    static void refill(Bucket& bucket, std::uint64_t now) {
        bucket.tokens.fetch_add(now - bucket.filled.load());
        bucket.filled.store(now);
    }
};

TEST(TortureTest, SemaphoreAcquire) {
    SKIP_WITHOUT_PTRACE();
    SemaphoreUse operation(true);
    expect_survives(operation);
}

TEST(TortureTest, SemaphoreAcquireAndRelease) {
    SKIP_WITHOUT_PTRACE();
    SemaphoreUse operation(false);
    expect_survives(operation);
}

TEST(TortureTest, SemaphoreRelease) {
    SKIP_WITHOUT_PTRACE();
    SemaphoreRelease operation;
    expect_survives(operation);
}

TEST(TortureTest, BoundedCounterAdd) {
    SKIP_WITHOUT_PTRACE();
    BoundedAdd operation;
    expect_survives(operation);
}

TEST(TortureTest, RateLimitAllow) {
    SKIP_WITHOUT_PTRACE();
    RateAllow operation;
    expect_survives(operation);
}

TEST(ControlTest, ATokenBucketIsCaught) {
    SKIP_WITHOUT_PTRACE();
    TokenBucket operation;
    expect_is_caught(operation);
}

}  // namespace
}  // namespace topsman::torture
