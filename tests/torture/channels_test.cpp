// Sending, receiving, leaving and sweeping of channels: a message is whole or not there, what was
// sent is received by whoever is the slot's receiver then, in each sender's order.

#include "expect.hpp"
#include "shm/base/check.hpp"
#include "shm/fence.hpp"
#include "shm/inbox_reader.hpp"
#include "shm/sweep.hpp"

#include <array>
#include <cstring>
#include <vector>

namespace topsman::torture {
namespace {

using shm::Channel;
using shm::InboxReader;
using shm::TailWord;

constexpr std::uint32_t kFirst = 3;         // messages that are there before: the values 1 to 3
constexpr std::uint32_t kVictims = 4;       // the values that the victim sends: 4 to 6
constexpr std::uint32_t kRun = 3;           // so many
constexpr std::uint32_t kFromPeers = 10;    // and those that its peers send: from here on
constexpr std::uint32_t kPeersRounds = 25;  // more than the inbox has cells
constexpr std::uint32_t kValues = kFromPeers + kPeersRounds + 8;
constexpr std::uint32_t kSleepyReceiver = 3;
constexpr std::uint32_t kSleepySender = 4;

/// How often each value was received; [0]: a message that was not whole, or out of order.
struct Ledger {
    std::array<std::uint32_t, kValues> times;
    std::uint32_t last_of_victim;
    std::uint32_t last_of_peers;
};

struct Message {
    std::uint32_t value;
    std::uint32_t copies[3];
};

Message message_of(std::uint32_t value) {
    return {value, {value, value, value}};
}

bool send(const Channel& channel, Owner by, std::uint32_t value) {
    const Message message = message_of(value);
    return channel.send(by, 0, std::as_bytes(std::span(&message, 1)));
}

class ChannelOperation : public Operation {
  public:
    explicit ChannelOperation(std::size_t which = 0) : which_(which) {}

    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        shm::join_fences();
        const Channel channel = channel_of(arena);
        channel.set_slots(channel.shape().slots);
        for (std::uint32_t value = 1; value <= kFirst; ++value) {
            CHECK(send(channel, kPeer, value));
        }
        new (arena.scratch.data()) Ledger{};
        prepare(arena);
        // As threads of those lanes leave them on their way to sleep.
        enter(arena, channel.inbox(0).receivers, kSleepyReceiver);
        enter(arena, channel.inbox(0).senders, kSleepySender);
        unread_before_ = channel.unread(0);
        freed_before_ = channel.inbox(0).freed.load();
    }

    void peers(const Arena& arena) override {
        const Channel channel = channel_of(arena);
        auto& ledger = arena.in_scratch<Ledger>();
        InboxReader reader(channel, 0, kPeer);
        std::uint32_t& sent = peers_sent(arena);
        for (std::uint32_t i = 0; i < kPeersRounds; ++i) {
            if (send(channel, kPeer, kFromPeers + sent)) {
                ++sent;
            }
            receive_one(reader, ledger);
        }
        // Past a sender that stands still there is as much room as it has left of the inbox, and
        // all that others have sent is received past its cells.
        while (receive_one(reader, ledger)) {
        }
        const std::uint32_t last = kFromPeers + sent - 1;
        CHECK(!peers_can_receive() || (sent >= kRun && ledger.times[last] == 1));
        while (sent < kValues - kFromPeers && send(channel, kPeer, kFromPeers + sent)) {
            ++sent;  // these are unread when the victim goes on
        }
        if (peers_can_receive()) {
            reader.leave();
        }
    }

    std::string verify(Arena& arena, Fate fate) override {
        const Channel channel = channel_of(arena);
        Ledger ledger = arena.in_scratch<Ledger>();
        if (std::string slept = who_sleeps(arena, channel); !slept.empty()) {
            return slept;
        }
        InboxReader reader(channel, 0, kPeer);
        while (receive_one(reader, ledger)) {
        }
        if (ledger.times[0] != 0) {
            return "a message is not whole, or out of order";
        }
        for (std::uint32_t value = 1; value < kValues; ++value) {
            const bool is_victims = value >= kVictims && value < kVictims + kRun;
            const bool is_there =
                value <= kFirst || (value >= kFromPeers &&
                                    value < kFromPeers + (fate.peers_ran ? peers_sent(arena) : 0));
            if (!is_victims && ledger.times[value] != (is_there ? 1U : 0U) &&
                !may_miss(value, fate)) {
                return "message " + std::to_string(value) + " was received " +
                       std::to_string(ledger.times[value]) + " times";
            }
        }
        if (std::string wrong = check(ledger, fate); !wrong.empty()) {
            return wrong;
        }
        return is_whole(channel, reader) ? "" : "its capacity is not whole";
    }

  protected:
    virtual void prepare(const Arena& /*arena*/) {}

    /// What must be so of the messages that are the victim's.
    virtual std::string check(const Ledger& ledger, Fate fate) = 0;

    /// A message that the victim may have received.
    [[nodiscard]] virtual bool may_miss(std::uint32_t /*value*/, Fate /*fate*/) const {
        return false;
    }

    [[nodiscard]] virtual bool peers_can_receive() const { return true; }

    [[nodiscard]] Channel channel_of(const Arena& arena) const {
        return arena.segment.channel(which_);
    }

    static bool receive_one(InboxReader& reader, Ledger& ledger) {
        const auto received = reader.receive();
        if (!received) {
            return false;
        }
        Message message{};
        std::memcpy(&message, received->bytes.data(),
                    std::min(received->bytes.size(), sizeof(message)));
        const Message whole = message_of(message.value);
        std::uint32_t value = message.value;
        if (received->bytes.size() != sizeof(message) || value >= kValues ||
            std::memcmp(&message, &whole, sizeof(message)) != 0) {
            value = 0;
        }
        const bool is_victims = value >= kVictims && value < kVictims + kRun;
        std::uint32_t& last = is_victims ? ledger.last_of_victim : ledger.last_of_peers;
        ++ledger.times[value > last ? value : 0];
        last = value;
        reader.done(received->position);
        return true;
    }

    /// Beside the ledger: how many could be sent.
    static std::uint32_t& peers_sent(const Arena& arena) {
        return *reinterpret_cast<std::uint32_t*>(arena.scratch.data() + 8'192);
    }

    static std::uint32_t& victims_sent(const Arena& arena) {
        return *reinterpret_cast<std::uint32_t*>(arena.scratch.data() + 8'196);
    }

    /// As a sender leaves it that stands still, or dies, after its claim.
    static void claim_only(const Channel& channel, Owner by, std::uint32_t count) {
        std::atomic<std::uint64_t>& tail = channel.inbox(0).tail;
        channel.inbox(0).users.insert(by.lane);
        tail.store(
            TailWord{TailWord::unpack(tail.load()).end(), count, by.lane, by.generation}.pack());
    }

  private:
    static void enter(const Arena& arena, shm::Parking& parking, std::uint32_t lane) {
        reinterpret_cast<shm::LaneSet&>(parking).insert(lane);
        arena.segment.lanes()[lane].parked.store(1);
    }

    [[nodiscard]] std::string who_sleeps(const Arena& arena, const Channel& channel) const {
        const auto sleeps = [&](const shm::Parking& parking, std::uint32_t lane) {
            return parking.has(lane) && arena.segment.lanes()[lane].wake.load() == 0;
        };
        const std::uint32_t unread = channel.unread(0);
        // The first ones were there before they went to sleep.
        if (unread > unread_before_ && sleeps(channel.inbox(0).receivers, kSleepyReceiver)) {
            return "there is a message, and the one who waits for it sleeps";
        }
        if (channel.inbox(0).freed.load() != freed_before_ &&
            sleeps(channel.inbox(0).senders, kSleepySender)) {
            return "there is room, and the one who waits for it sleeps";
        }
        return "";
    }

    static bool is_whole(const Channel& channel, InboxReader& reader) {
        for (std::uint32_t round = 0; round < 3; ++round) {
            std::uint32_t there = 0;
            while (send(channel, kPeer, 1)) {
                ++there;
            }
            std::uint32_t gone = 0;
            while (const auto received = reader.receive()) {
                reader.done(received->position);
                ++gone;
            }
            if (there != channel.shape().capacity || gone != there || channel.unread(0) != 0) {
                return false;
            }
        }
        return channel.control().illegal.load() == 0;
    }

    std::size_t which_;
    std::uint32_t unread_before_ = 0;
    std::uint64_t freed_before_ = 0;
};

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
        std::uint32_t missing = 0;
        for (std::uint32_t value = 1; value <= kFirst; ++value) {
            missing += ledger.times[value] == 0 ? 1U : 0U;
            if (ledger.times[value] > 1) {
                return "a message was received twice";
            }
        }
        const bool is_gone = ends_ || is_at_most_once();
        if (missing > (is_gone ? 1U : 0U)) {
            return "messages are lost";
        }
        return is_gone && fate.is_done && !fate.peers_ran && missing != 1
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
        std::uint32_t missing = 0;
        for (std::uint32_t value = 1; value <= kFirst; ++value) {
            missing += ledger.times[value] == 0 ? 1U : 0U;
            if (ledger.times[value] > 1) {
                return "a message was received twice";
            }
        }
        if (missing != 0 && missing != kFirst) {
            return "the row is not whole";
        }
        return fate.is_done && !fate.peers_ran && missing == 0 ? "what was received is there again"
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

TEST(TortureTest, ChannelSendAfterAClaim) {
    SKIP_WITHOUT_PTRACE();
    ChannelSend operation(1, true);
    expect_survives(operation);
}

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
}  // namespace topsman::torture
