// What a reload adds comes out of the reserve: it is there whole, or not at all, and what a master
// that died over it has left is no obstacle to the next one.

#include "expect.hpp"
#include "shm/base/check.hpp"
#include "shm/header.hpp"

#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::torture {
namespace {

const shm::NamedQueue kMails{"mails", {.capacity = 2, .item_size = 8}};
const shm::NamedChannel kLate{"late", "web", {.slots = 1, .capacity = 2, .message_size = 8}};
constexpr shm::BlockClass kTiny{32, 2};

/// What another process does to the segment: ours goes on knowing what it knew.
void in_another_process(const std::function<void()>& body) {
    const pid_t pid = ::fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        body();
        ::_exit(0);
    }
    int status = 0;
    CHECK(::waitpid(pid, &status, 0) == pid && status == 0);
}

/// The master adds one while others use the segment, and dies over it.
class Added : public Operation {
  public:
    void setup(const Arena& arena) override {
        // As one that has gone wild would leave it: what is added begins with zeros all the same.
        auto* begin = static_cast<std::byte*>(const_cast<void*>(arena.segment.address()));
        const auto& header = *reinterpret_cast<const shm::Header*>(begin);
        const auto& reserve = header.directory[static_cast<std::size_t>(shm::Part::Reserve)];
        CHECK(reserve.size >= 4'096);
        std::memset(begin + reserve.offset, 0xff, reserve.size);
    }

    void run(const Arena& arena) override { add(const_cast<Segment&>(arena.segment)); }

    void peers(const Arena& arena) override {
        shm::JobQueue jobs = arena.segment.queue(0);
        CHECK(jobs.submit(kPeer, {}));
    }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }

    std::string verify(Arena& arena, Fate fate) override {
        Segment seen = as_a_worker_sees(arena);
        if (fate.is_done && !is_there(seen)) {
            return "it was added, and nobody can find it";
        }
        if (!is_there(seen)) {
            in_another_process([&] { add(arena.segment); });
            seen = as_a_worker_sees(arena);
        }
        return is_there(seen) ? use(seen) : "the next master cannot add it any more";
    }

  protected:
    virtual void add(Segment& segment) = 0;
    [[nodiscard]] virtual bool is_there(const Segment& segment) = 0;
    [[nodiscard]] virtual std::string use(Segment& segment) = 0;

  private:
    static Segment as_a_worker_sees(const Arena& arena) {
        return Segment::attach(UniqueFd(::dup(arena.segment.fd()))).value();
    }
};

class QueueAdded : public Added {
  public:
    [[nodiscard]] std::string name() const override { return "queue added"; }

  protected:
    void add(Segment& segment) override { (void)segment.add_queue(kMails); }

    bool is_there(const Segment& segment) override {
        return segment.queues().back().name == kMails.name;
    }

    std::string use(Segment& segment) override {
        if (segment.queues().back() != kMails) {
            return "it is not the one that was added";
        }
        shm::JobQueue queue = segment.queue(segment.queues().size() - 1);
        std::uint32_t jobs = 0;
        while (queue.submit(kPeer, {})) {
            ++jobs;
        }
        return jobs == kMails.shape.capacity && queue.take(kPeer)
                   ? ""
                   : "it has room for " + std::to_string(jobs);
    }
};

class ChannelAdded : public Added {
  public:
    [[nodiscard]] std::string name() const override { return "channel added"; }

  protected:
    void add(Segment& segment) override { (void)segment.add_channel(kLate); }

    bool is_there(const Segment& segment) override {
        return segment.channels().back().name == kLate.name;
    }

    std::string use(Segment& segment) override {
        if (segment.channels().back() != kLate) {
            return "it is not the one that was added";
        }
        const shm::Channel channel = segment.channel(segment.channels().size() - 1);
        const std::array<std::byte, 8> bytes{};
        const shm::Channel::Bytes message(bytes);
        const bool is_empty = channel.slots() == 0 && channel.unread(0) == 0;
        const std::uint32_t sent = channel.send(kPeer, 0, std::span(&message, 1));
        return is_empty && sent == 1 && channel.unread(0) == 1 ? "" : "it was not empty";
    }
};

class BlocksAdded : public Added {
  public:
    [[nodiscard]] std::string name() const override { return "blocks added"; }

  protected:
    void add(Segment& segment) override { (void)segment.add_blocks(kTiny); }

    bool is_there(const Segment& segment) override { return segment.blocks().blocks() == 7; }

    std::string use(Segment& segment) override {
        shm::BlockPool pool = segment.blocks();
        for (std::uint64_t i = 0; i < kTiny.count; ++i) {
            const auto ref = pool.allocate(1, kPeer);
            if (!ref || pool.memory(*ref).size() != kTiny.size || !pool.share(*ref, kPeer) ||
                !pool.release(*ref, kPeer)) {
                return "one of them cannot be used";
            }
        }
        return pool.usage(2).free == kTiny.count ? "" : "they have readers that nobody was";
    }
};

TEST(TortureTest, QueueAdded) {
    SKIP_WITHOUT_PTRACE();
    QueueAdded operation;
    expect_survives(operation);
}

TEST(TortureTest, ChannelAdded) {
    SKIP_WITHOUT_PTRACE();
    ChannelAdded operation;
    expect_survives(operation);
}

TEST(TortureTest, BlocksAdded) {
    SKIP_WITHOUT_PTRACE();
    BlocksAdded operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
