// Receiving from a channel, one message or a row of them: what was received is received once, what
// was not ended by a receiver that died is there again, in each sender's order.

#include "channel_operation.hpp"

#include <optional>

namespace topsman::torture::channels {
namespace {

constexpr const char* kTwice = "a message was received twice";

/// How many of those that were there before nobody received; none: one was received twice.
std::optional<std::uint32_t> missing_in(const Ledger& ledger) {
    std::uint32_t missing = 0;
    for (std::uint32_t value = 1; value <= kFirst; ++value) {
        missing += ledger.times[value] == 0 ? 1U : 0U;
        if (ledger.times[value] > 1) {
            return std::nullopt;
        }
    }
    return missing;
}

class ChannelReceive : public ChannelOperation {
  public:
    ChannelReceive(std::size_t which, bool is_ended) : ChannelOperation(which), ends_(is_ended) {}

    [[nodiscard]] std::string name() const override {
        return std::string("channel receive") +
               (is_at_most_once() ? ", at most once" : (ends_ ? ", end and leave" : ""));
    }

    /// Unless it ends what it has received, and leaves.
    [[nodiscard]] bool lives_on() const override { return ends_; }

    [[nodiscard]] bool peers_can_receive() const override { return false; }

    void run(const Arena& arena) override {
        InboxReader reader(channel_of(arena), 0, kVictim);
        const auto message = reader.receive();
        if (message && ends_) {
            reader.done(message->position);
            reader.leave();
        }
    }

    /// Peers that ran before it became the receiver have received all.
    [[nodiscard]] bool may_miss(std::uint32_t value, Fate fate) const override {
        return (ends_ || is_at_most_once()) && (value == 1 || fate.peers_ran);
    }

    std::string check(const Ledger& ledger, Fate fate) override {
        const auto missing = missing_in(ledger);
        if (!missing) {
            return kTwice;
        }
        const bool is_gone = ends_ || is_at_most_once();
        if (*missing > (is_gone ? 1U : 0U)) {
            return "messages are lost";
        }
        return is_gone && fate.is_done && !fate.peers_ran && *missing != 1
                   ? "what was received is there again"
                   : "";
    }

  private:
    [[nodiscard]] bool is_at_most_once() const { return !ends_; }

    bool ends_;
};

/// Receiving at least once, and dying with it.
class ChannelHold : public ChannelReceive {
  public:
    ChannelHold() : ChannelReceive(0, true) {}

    [[nodiscard]] std::string name() const override { return "channel receive, and not end"; }

    [[nodiscard]] bool lives_on() const override { return false; }

    void run(const Arena& arena) override {
        InboxReader reader(channel_of(arena), 0, kVictim);
        (void)reader.receive();
    }

    [[nodiscard]] bool may_miss(std::uint32_t /*value*/, Fate /*fate*/) const override {
        return false;
    }

    std::string check(const Ledger& ledger, Fate /*fate*/) override {
        return ledger.times[1] == 1 ? "" : "it is lost";
    }
};

/// Receiving all that there is, together: all of it is received, or none.
class ChannelReceiveRow : public ChannelReceive {
  public:
    explicit ChannelReceiveRow(std::size_t which) : ChannelReceive(which, which == 0) {}

    [[nodiscard]] std::string name() const override { return ChannelReceive::name() + ", a row"; }

    void run(const Arena& arena) override {
        InboxReader reader(channel_of(arena), 0, kVictim);
        const shm::ReceivedRow row = reader.receive_row(kFirst);
        if (row && lives_on()) {
            reader.done(row);
            reader.leave();
        }
    }

    [[nodiscard]] bool may_miss(std::uint32_t value, Fate fate) const override {
        return value <= kFirst || fate.peers_ran;
    }

    std::string check(const Ledger& ledger, Fate fate) override {
        const auto missing = missing_in(ledger);
        if (!missing) {
            return kTwice;
        }
        if (*missing != 0 && *missing != kFirst) {
            return "the row is not whole";
        }
        return fate.is_done && !fate.peers_ran && *missing == 0 ? "what was received is there again"
                                                                : "";
    }
};

/// Rows while a claim before them is finished by its sender, who sends more then.
class ChannelReceiveRowsPastAGap : public ChannelOperation {
  public:
    [[nodiscard]] std::string name() const override {
        return "channel receive of rows, past a gap";
    }

    void prepare(const Arena& arena) override {
        const Channel channel = channel_of(arena);
        claim_only(channel, kPeer, 1);
        CHECK(send(channel, kPeer, kBehind));
        seen(arena) = Seen{};
    }

    void run(const Arena& arena) override {
        InboxReader reader(channel_of(arena), 0, kVictim);
        while (const shm::ReceivedRow row = reader.receive_row(kFirst)) {
            for (std::uint32_t i = 0; i < row.count; ++i) {
                std::uint32_t value = 0;
                std::memcpy(&value, reader.bytes_at(shm::after(row.first, i)).data(),
                            sizeof(value));
                Seen& so_far = seen(arena);
                so_far.gap |= value == kInGap ? 1U : 0U;
                so_far.wrong |= value >= kFromPeers && so_far.gap == 0 ? 1U : 0U;
            }
            reader.done(row);
        }
        reader.leave();
    }

    void peers(const Arena& arena) override {
        finish_claim(arena);
        const Channel channel = channel_of(arena);
        peers_sent(arena) = 0;
        for (std::uint32_t i = 0; i < 2 && send(channel, kPeer, kFromPeers + i); ++i) {
            ++peers_sent(arena);
        }
    }

    std::string verify(Arena& arena, Fate fate) override {
        if (!fate.peers_ran) {
            finish_claim(arena);
        }
        return seen(arena).wrong != 0 ? "what its sender sent later was received before"
                                      : ChannelOperation::verify(arena, fate);
    }

    [[nodiscard]] bool may_miss(std::uint32_t /*value*/, Fate /*fate*/) const override {
        return true;
    }

    std::string check(const Ledger& /*ledger*/, Fate /*fate*/) override { return ""; }

  private:
    static constexpr std::uint32_t kInGap = 8;
    static constexpr std::uint32_t kBehind = 9;

    struct Seen {
        std::uint32_t gap;
        std::uint32_t wrong;
    };

    static Seen& seen(const Arena& arena) {
        return *reinterpret_cast<Seen*>(arena.scratch.data() + 8'200);
    }

    /// The sender that stood still after its claim, of the fourth cell, goes on.
    static void finish_claim(const Arena& arena) {
        const Channel channel = arena.segment.channel(0);
        const Message message = message_of(kInGap);
        channel.cell(0, kFirst).length.store(sizeof(message));
        std::memcpy(channel.message(0, kFirst), &message, sizeof(message));
        channel.cell(0, kFirst).word.store(
            shm::CellWord{shm::CellState::Ready, kPeer.lane, kPeer.generation, 1, 1}.pack());
        channel.wake_receivers(0);
    }
};

TEST(TortureTest, ChannelReceiveAndEnd) {
    SKIP_WITHOUT_PTRACE();
    ChannelReceive operation(0, true);
    expect_survives(operation);
}

TEST(TortureTest, ChannelReceiveAtMostOnce) {
    SKIP_WITHOUT_PTRACE();
    ChannelReceive operation(1, false);
    expect_survives(operation);
}

TEST(TortureTest, ChannelReceiveAndNotEnd) {
    SKIP_WITHOUT_PTRACE();
    ChannelHold operation;
    expect_survives(operation);
}

TEST(TortureTest, ChannelReceiveRow) {
    SKIP_WITHOUT_PTRACE();
    for (const std::size_t which : {std::size_t{0}, std::size_t{1}}) {
        ChannelReceiveRow operation(which);
        expect_survives(operation);
    }
}

TEST(TortureTest, ChannelReceiveRowsPastAGap) {
    SKIP_WITHOUT_PTRACE();
    ChannelReceiveRowsPastAGap operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture::channels
