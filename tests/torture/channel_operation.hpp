#pragma once

// What operations of channels have in common: messages whose wholeness can be seen, a ledger of
// what was received, two who sleep, and what must be so afterwards.

#include "expect.hpp"
#include "shm/base/check.hpp"
#include "shm/fence.hpp"
#include "shm/inbox_reader.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>

/// A namespace of its own: jobs have the same words for what is theirs.
namespace topsman::torture::channels {

using shm::Channel;
using shm::InboxReader;
using shm::TailWord;

inline constexpr std::uint32_t kFirst = 3;    // messages that are there before: the values 1 to 3
inline constexpr std::uint32_t kVictims = 4;  // the values that the victim sends: 4 to 6
inline constexpr std::uint32_t kRun = 3;      // so many
inline constexpr std::uint32_t kFromPeers = 10;    // and those that its peers send: from here on
inline constexpr std::uint32_t kPeersRounds = 25;  // more than the inbox has cells
inline constexpr std::uint32_t kValues = kFromPeers + kPeersRounds + 8;
inline constexpr std::uint32_t kSleepyReceiver = 3;
inline constexpr std::uint32_t kSleepySender = 4;

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

inline Message message_of(std::uint32_t value) {
    return {value, {value, value, value}};
}

inline bool send(const Channel& channel, Owner by, std::uint32_t value) {
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

}  // namespace topsman::torture::channels
