// Sending, leaving and sweeping of channels: a message is whole or not there, what was sent is
// received by whoever is the slot's receiver then.

#include "channel_operation.hpp"

#include <array>
#include <span>

namespace topsman::torture::channels {
namespace {

class ChannelSend : public ChannelOperation {
  public:
    ChannelSend(std::uint32_t count, bool is_after_claim)
        : count_(count), is_after_claim_(is_after_claim) {}

    [[nodiscard]] std::string name() const override {
        return "channel send of " + std::to_string(count_) +
               (is_after_claim_ ? ", after one that stands still" : "");
    }

    void prepare(const Arena& arena) override {
        if (is_after_claim_) {
            claim_only(channel_of(arena), kVictim, 1);  // another thread of it
        }
    }

    /// The victim lives on with a thread that never goes on: it is swept in the end.
    [[nodiscard]] bool lives_on() const override { return !is_after_claim_; }

    void run(const Arena& arena) override {
        std::array<Message, kRun> messages{};
        std::array<Channel::Bytes, kRun> bytes;
        for (std::uint32_t i = 0; i < count_; ++i) {
            messages[i] = message_of(kVictims + i);
            bytes[i] = std::as_bytes(std::span(&messages[i], 1));
        }
        const std::uint32_t sent =
            channel_of(arena).send(kVictim, 0, std::span(bytes).first(count_));
        victims_sent(arena) = sent;
    }

    std::string verify(Arena& arena, Fate fate) override {
        fate.is_done = fate.is_done && victims_sent(arena) == count_;  // there may be no room
        return ChannelOperation::verify(arena, fate);
    }

    std::string check(const Ledger& ledger, Fate fate) override {
        const std::uint32_t first = ledger.times[kVictims];
        for (std::uint32_t i = 0; i < kRun; ++i) {
            const std::uint32_t times = ledger.times[kVictims + i];
            if (times != (i < count_ ? first : 0) || times > 1) {
                return "the run is not whole";
            }
        }
        return fate.is_done && first != 1 ? "what was sent is lost" : "";
    }

  private:
    std::uint32_t count_;
    bool is_after_claim_;
};

/// Each of them with a step of its own: the later ones come after a claim of the same worker.
class ChannelSendOneByOne : public ChannelSend {
  public:
    ChannelSendOneByOne() : ChannelSend(kRun, false) {}

    [[nodiscard]] std::string name() const override { return "channel send one by one"; }

    void run(const Arena& arena) override {
        std::uint32_t sent = 0;
        while (sent < kRun && send(channel_of(arena), kVictim, kVictims + sent)) {
            ++sent;
        }
        victims_sent(arena) = sent;
    }

    std::string check(const Ledger& ledger, Fate fate) override {
        for (std::uint32_t i = 0; i < kRun; ++i) {
            const std::uint32_t times = ledger.times[kVictims + i];
            if (times > (i == 0 ? 1 : ledger.times[kVictims + i - 1])) {
                return "one was received twice, or before it was sent";
            }
        }
        return fate.is_done && ledger.times[kVictims + kRun - 1] != 1 ? "what was sent is lost"
                                                                      : "";
    }
};

class ChannelLeave : public ChannelOperation {
  public:
    [[nodiscard]] std::string name() const override { return "channel leave"; }

    void prepare(const Arena& arena) override {
        channel_of(arena).inbox(0).receiver.store(kVictim.pack());
    }

    [[nodiscard]] bool peers_can_receive() const override { return false; }

    void run(const Arena& arena) override {
        InboxReader reader(channel_of(arena), 0, kVictim);
        reader.leave();
    }

    /// The peers may have found it gone, and are the receiver themselves.
    void peers(const Arena& arena) override {
        ChannelOperation::peers(arena);
        std::uint64_t mine = kPeer.pack();
        (void)channel_of(arena).inbox(0).receiver.compare_exchange_strong(mine, 0);
    }

    std::string check(const Ledger& /*ledger*/, Fate /*fate*/) override { return ""; }
};

/// The sweep, of a lane that has left everything half done.
class ChannelSweep : public ChannelOperation {
  public:
    explicit ChannelSweep(bool is_recorded) : is_recorded_(is_recorded) {}

    [[nodiscard]] std::string name() const override {
        return std::string("channel sweep") + (is_recorded_ ? ", a claim before the last" : "");
    }

    void prepare(const Arena& arena) override {
        const Channel channel = channel_of(arena);
        channel.inbox(0).receiver.store(kVictim.pack());
        claim_only(channel, kVictim, 2);
        if (is_recorded_) {
            CHECK(send(channel, kPeer, kFromPeers - 1));  // says whose the claim before is
        }
    }

    void run(const Arena& arena) override { (void)channel_of(arena).sweep(kVictim); }

    void sweep(Arena& arena) override { sweep_as_new_master(arena); }

    [[nodiscard]] bool peers_can_receive() const override { return false; }

    void peers(const Arena& arena) override {
        ChannelOperation::peers(arena);
        std::uint64_t mine = kPeer.pack();
        (void)channel_of(arena).inbox(0).receiver.compare_exchange_strong(mine, 0);
    }

    [[nodiscard]] bool may_miss(std::uint32_t value, Fate /*fate*/) const override {
        return value == kFromPeers - 1;
    }

    std::string check(const Ledger& ledger, Fate /*fate*/) override {
        return ledger.times[kFromPeers - 1] == (is_recorded_ ? 1U : 0U) ? "" : "it is lost";
    }

  private:
    bool is_recorded_;
};

TEST(TortureTest, ChannelSend) {
    SKIP_WITHOUT_PTRACE();
    for (const std::uint32_t count : {1U, kRun}) {
        ChannelSend operation(count, false);
        expect_survives(operation);
    }
}

TEST(TortureTest, ChannelSendOneByOne) {
    SKIP_WITHOUT_PTRACE();
    ChannelSendOneByOne operation;
    expect_survives(operation);
}

TEST(TortureTest, ChannelSendAfterAClaim) {
    SKIP_WITHOUT_PTRACE();
    ChannelSend operation(1, true);
    expect_survives(operation);
}

TEST(TortureTest, ChannelLeave) {
    SKIP_WITHOUT_PTRACE();
    ChannelLeave operation;
    expect_survives(operation);
}

TEST(TortureTest, ChannelSweep) {
    SKIP_WITHOUT_PTRACE();
    for (const bool is_recorded : {false, true}) {
        ChannelSweep operation(is_recorded);
        expect_survives(operation);
    }
}

}  // namespace
}  // namespace topsman::torture::channels
