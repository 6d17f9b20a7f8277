// What two processes were doing to one object when both were killed: nothing that was done is lost,
// and nothing is stuck.

#include "expect_both.hpp"
#include "shm/base/check.hpp"
#include "shm/fence.hpp"
#include "shm/inbox_reader.hpp"
#include "shm/semaphore.hpp"

#include <array>
#include <cstring>

namespace topsman::torture {
namespace {

using shm::BlockPool;
using shm::BlockRef;
using shm::JobQueue;
using shm::NameKind;

std::span<const std::byte> bytes_of(const std::uint64_t& value) {
    return std::as_bytes(std::span(&value, 1));
}

std::uint64_t value_of(std::span<const std::byte> bytes) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(value)));
    return value;
}

/// How often each value came, 1 and 2 being those of the two.
using Came = std::array<std::uint32_t, 8>;

std::string came_as_they_should(const Came& came, Fates fates) {
    for (std::size_t value = 0; value < came.size(); ++value) {
        const bool is_sure =
            (value == 1 && fates.first_is_done) || (value == 2 && fates.second_is_done);
        if (came[value] > 1 || (is_sure && came[value] == 0) ||
            (came[value] != 0 && value != 1 && value != 2)) {
            return "value " + std::to_string(value) + " came " + std::to_string(came[value]) +
                   " times";
        }
    }
    return "";
}

/// All of the queue can be filled and emptied.
std::string queue_is_whole(JobQueue& queue) {
    const std::uint64_t value = 7;
    std::uint32_t jobs = 0;
    while (queue.submit(kSurvivor, bytes_of(value))) {
        ++jobs;
    }
    while (const auto job = queue.take(kSurvivor)) {
        jobs -= queue.ack(*job) ? 1U : 0U;
    }
    std::uint32_t room = 0;
    while (queue.submit(kSurvivor, bytes_of(value))) {
        ++room;
    }
    return jobs == 0 && room == kQueue.capacity ? "" : "room for " + std::to_string(room) + " jobs";
}

class JobsSubmitted : public Pair {
  public:
    [[nodiscard]] std::string name() const override { return "jobs submitted"; }

    void setup(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        for (const Owner owner : {kVictim, kPeer, kSurvivor}) {
            queue.join(owner);
        }
    }

    void first(const Arena& arena) override { submit(arena, kVictim, 1); }

    void second(const Arena& arena) override { submit(arena, kPeer, 2); }

    std::string verify(Arena& arena, Fates fates) override {
        JobQueue queue = arena.segment.queue(0);
        Came came{};
        while (const auto job = queue.take(kSurvivor)) {
            ++came[value_of(job->item) % came.size()];
            (void)queue.ack(*job);
        }
        const std::string wrong = came_as_they_should(came, fates);
        return wrong.empty() ? queue_is_whole(queue) : wrong;
    }

  private:
    static void submit(const Arena& arena, Owner owner, std::uint64_t value) {
        JobQueue queue = arena.segment.queue(0);
        (void)queue.submit(owner, bytes_of(value));
    }
};

class JobsExecuted : public Pair {
  public:
    [[nodiscard]] std::string name() const override { return "jobs taken and acknowledged"; }

    void setup(const Arena& arena) override {
        JobQueue queue = arena.segment.queue(0);
        for (const Owner owner : {kVictim, kPeer, kSurvivor}) {
            queue.join(owner);
        }
        for (const std::uint64_t value : {1U, 2U, 3U}) {
            CHECK(queue.submit(kSurvivor, bytes_of(value)));
        }
        arena.in_scratch<Took>() = Took{};
    }

    void first(const Arena& arena) override {
        execute(arena, kVictim, arena.in_scratch<Took>()[0]);
    }

    void second(const Arena& arena) override { execute(arena, kPeer, arena.in_scratch<Took>()[1]); }

    std::string verify(Arena& arena, Fates fates) override {
        JobQueue queue = arena.segment.queue(0);
        const Took took = arena.in_scratch<Took>();
        Came came{};
        while (const auto job = queue.take(kSurvivor)) {
            ++came[value_of(job->item) % came.size()];
            (void)queue.ack(*job);
        }
        for (const std::uint64_t value : {1U, 2U, 3U}) {
            // Acknowledged at most by one who had it.
            const bool may_be_gone = took[0] == value || took[1] == value;
            const bool is_gone = (fates.first_is_done && took[0] == value) ||
                                 (fates.second_is_done && took[1] == value);
            if (came[value] > 1 || (came[value] == 0 && !may_be_gone) ||
                (came[value] == 1 && is_gone)) {
                return "job " + std::to_string(value) + " came " + std::to_string(came[value]) +
                       " times";
            }
        }
        return took[0] != 0 && took[0] == took[1] ? "two had one job" : queue_is_whole(queue);
    }

  private:
    using Took = std::array<std::uint64_t, 2>;

    static void execute(const Arena& arena, Owner owner, std::uint64_t& took) {
        JobQueue queue = arena.segment.queue(0);
        if (const auto job = queue.take(owner)) {
            took = value_of(job->item);
            (void)queue.ack(*job);
        }
    }
};

class MessagesSent : public Pair {
  public:
    [[nodiscard]] std::string name() const override { return "messages sent"; }

    void setup(const Arena& arena) override {
        shm::join_fences();
        arena.segment.channel(0).set_slots(kChannel.slots);
    }

    void first(const Arena& arena) override { send(arena, kVictim, 1); }

    void second(const Arena& arena) override { send(arena, kPeer, 2); }

    std::string verify(Arena& arena, Fates fates) override {
        const shm::Channel channel = arena.segment.channel(0);
        shm::InboxReader reader(channel, 0, kSurvivor);
        Came came{};
        while (const auto message = reader.receive()) {
            ++came[value_of(message->bytes) % came.size()];
            reader.done(message->position);
        }
        if (std::string wrong = came_as_they_should(came, fates); !wrong.empty()) {
            return wrong;
        }
        std::uint32_t room = 0;
        while (channel.send(kSurvivor, 0, bytes_of(room))) {
            ++room;
        }
        return room >= kChannel.capacity ? "" : "room for " + std::to_string(room) + " messages";
    }

  private:
    static void send(const Arena& arena, Owner owner, std::uint64_t value) {
        (void)arena.segment.channel(0).send(owner, 0, bytes_of(value));
    }
};

class NamesRegistered : public Pair {
  public:
    [[nodiscard]] std::string name() const override { return "one name registered"; }

    void setup(const Arena& arena) override { arena.in_scratch<Rows>() = Rows{}; }

    void first(const Arena& arena) override { arena.in_scratch<Rows>()[0] = add(arena, kVictim); }

    void second(const Arena& arena) override { arena.in_scratch<Rows>()[1] = add(arena, kPeer); }

    std::string verify(Arena& arena, Fates fates) override {
        const Rows rows = arena.in_scratch<Rows>();
        const std::uint64_t row = add(arena, kSurvivor);
        if ((fates.first_is_done && rows[0] != row) || (fates.second_is_done && rows[1] != row)) {
            return "they were given other rows than the name has";
        }
        auto& names = arena.segment.cell_names();
        for (std::uint32_t i = 0; names.entries().size() < shm::kMaxCells; ++i) {
            if (!names.find_or_add("n" + std::to_string(i), NameKind::Cell, 8, kSurvivor,
                                   nullptr)) {
                return "rows are lost: full with " + std::to_string(names.entries().size());
            }
        }
        return "";
    }

  private:
    using Rows = std::array<std::uint64_t, 2>;

    static std::uint64_t add(const Arena& arena, Owner owner) {
        const auto row =
            arena.segment.cell_names().find_or_add("stock", NameKind::Cell, 8, owner, nullptr);
        return row ? *row + 1 : 0;
    }
};

class PermitsAcquired : public Pair {
  public:
    [[nodiscard]] std::string name() const override { return "permits acquired and released"; }

    void setup(const Arena& arena) override {
        row_ = add(arena.segment.array_names(), "limit", NameKind::Semaphore);
        semaphore(arena).init(kPermits);
    }

    void first(const Arena& arena) override { use(arena, kVictim); }

    void second(const Arena& arena) override { use(arena, kPeer); }

    std::string verify(Arena& arena, Fates /*fates*/) override {
        std::uint32_t had = 0;
        while (semaphore(arena).try_acquire(kSurvivor)) {
            ++had;
        }
        return had == kPermits ? "" : std::to_string(had) + " permits";
    }

  private:
    static constexpr std::uint32_t kPermits = 2;

    void use(const Arena& arena, Owner owner) {
        if (const auto permit = semaphore(arena).try_acquire(owner)) {
            (void)semaphore(arena).release(arena.segment.lanes(), owner, *permit);
        }
    }

    [[nodiscard]] shm::Semaphore semaphore(const Arena& arena) const {
        return shm::Semaphore(arena.segment.arrays()[row_]);
    }

    std::uint32_t row_ = 0;
};

/// All blocks can be had.
std::string all_are_free(const Arena& arena) {
    BlockPool pool = arena.segment.blocks();
    std::size_t had = 0;
    while (pool.allocate(1, kSurvivor)) {
        ++had;
    }
    return had == pool.blocks() ? "" : std::to_string(had) + " blocks";
}

class BlockSharedAndOpened : public Pair {
  public:
    [[nodiscard]] std::string name() const override { return "block shared, opened and released"; }

    void setup(const Arena& arena) override {
        BlockPool pool = arena.segment.blocks();
        ref_ = pool.allocate(50, kVictim).value();
        CHECK(pool.share(ref_, kVictim));
    }

    void first(const Arena& arena) override { (void)arena.segment.blocks().release(ref_, kVictim); }

    void second(const Arena& arena) override {
        BlockPool pool = arena.segment.blocks();
        if (pool.open(ref_, kPeer.lane)) {
            pool.close(ref_, kPeer.lane);
        }
    }

    std::string verify(Arena& arena, Fates /*fates*/) override { return all_are_free(arena); }

  private:
    BlockRef ref_;
};

class BlockPassedAndTaken : public Pair {
  public:
    [[nodiscard]] std::string name() const override { return "block passed and taken"; }

    void setup(const Arena& arena) override {
        ref_ = arena.segment.blocks().allocate(50, kVictim).value();
    }

    void first(const Arena& arena) override {
        BlockPool pool = arena.segment.blocks();
        (void)pool.pass(ref_, kVictim);
        (void)pool.release(ref_, kVictim);
    }

    void second(const Arena& arena) override {
        BlockPool pool = arena.segment.blocks();
        const auto taken = pool.take(ref_, kPeer);
        const auto another = pool.allocate(1, kPeer);
        if (taken && another) {
            (void)pool.release(*taken, kPeer);
        }
    }

    std::string verify(Arena& arena, Fates /*fates*/) override { return all_are_free(arena); }

  private:
    BlockRef ref_;
};

/// A control: a plain count of permits, which nobody can give back for the dead.
class PermitsCounted : public Pair {
  public:
    [[nodiscard]] std::string name() const override { return "permits counted"; }

    void setup(const Arena& arena) override { count(arena).store(2); }

    void first(const Arena& arena) override { use(arena); }

    void second(const Arena& arena) override { use(arena); }

    std::string verify(Arena& arena, Fates /*fates*/) override {
        return count(arena).load() == 2 ? "" : "a permit is lost";
    }

  private:
    static std::atomic<std::uint64_t>& count(const Arena& arena) {
        return arena.in_scratch<std::atomic<std::uint64_t>>();
    }

    static void use(const Arena& arena) {
        count(arena).fetch_sub(1);
        count(arena).fetch_add(1);
    }
};

TEST(TwoVictimsTest, JobsSubmitted) {
    expect_two_victims_harm_nobody<JobsSubmitted>();
}

TEST(TwoVictimsTest, JobsExecuted) {
    expect_two_victims_harm_nobody<JobsExecuted>();
}

TEST(TwoVictimsTest, MessagesSent) {
    expect_two_victims_harm_nobody<MessagesSent>();
}

TEST(TwoVictimsTest, NamesRegistered) {
    expect_two_victims_harm_nobody<NamesRegistered>();
}

TEST(TwoVictimsTest, PermitsAcquired) {
    expect_two_victims_harm_nobody<PermitsAcquired>();
}

TEST(TwoVictimsTest, BlockSharedAndOpened) {
    expect_two_victims_harm_nobody<BlockSharedAndOpened>();
}

TEST(TwoVictimsTest, BlockPassedAndTaken) {
    expect_two_victims_harm_nobody<BlockPassedAndTaken>();
}

TEST(TwoVictimsTest, APlainCountOfPermitsIsCaught) {
    SKIP_WITHOUT_PTRACE();
    PermitsCounted pair;
    expect_both_are_caught(pair);
}

}  // namespace
}  // namespace topsman::torture
