// Senders and receivers of one channel, killed at random while they work and while they wait,
// beside a ledger outside: nothing that was sent is lost, nothing is seen half, and the messages of
// each sender come in their order.

#include "endless_storm.hpp"
#include "shm/base/check.hpp"
#include "shm/inbox_reader.hpp"
#include "shm/sweep.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <sched.h>

namespace topsman::torture {
namespace {

using shm::Channel;
using shm::InboxReader;
using shm::Owner;

constexpr std::uint32_t kWorkers = 8;  // odd lanes send, even ones receive
constexpr std::uint32_t kSlots = 2;    // two workers contend for each
constexpr std::uint64_t kMostKills = 5'000;
constexpr std::uint64_t kMostEach = 4'000'000;
constexpr std::uint32_t kRun = 3;
constexpr std::uint32_t kRow = 5;

/// Outside of the segment.
struct Ledger {
    std::atomic<bool> is_over;
    std::atomic<std::uint64_t> progress[kWorkers + 1];
    std::atomic<std::uint64_t> out_of_order;
    /// By receiving slot and sending lane: the highest number that was ended.
    std::atomic<std::uint64_t> last[kSlots][kWorkers + 1];
    std::atomic<std::uint8_t> sent[kWorkers + 1][kMostEach];  ///< 1 + the slot
    std::atomic<std::uint8_t> received[kWorkers + 1][kMostEach];
};

Ledger*& ledger = EndlessStormTest<Ledger>::ledger;
constexpr auto is_over = EndlessStormTest<Ledger>::is_over;

struct Message {
    std::uint64_t lane;
    std::uint64_t number;
    std::uint64_t sum[6];  // that it is whole
};

Message message_of(std::uint64_t lane, std::uint64_t number) {
    Message message{lane, number, {}};
    for (std::uint64_t& word : message.sum) {
        word = lane ^ number;
    }
    return message;
}

/// To one slot or the other, one message or a run of them.
void send_some(const Channel& channel, Owner me) {
    std::atomic<std::uint64_t>& next = ledger->progress[me.lane];
    // What the lane's last one was about to send, and perhaps has: each number is sent once at
    // most.
    next.fetch_add(kRun);
    while (!is_over() && next.load() + kRun < kMostEach) {
        const std::uint64_t number = next.load();
        const auto slot = static_cast<std::uint32_t>(number / 100 % kSlots);
        std::array<Message, kRun> messages{};
        std::array<Channel::Bytes, kRun> bytes;
        for (std::uint32_t i = 0; i < kRun; ++i) {
            messages[i] = message_of(me.lane, number + i);
            bytes[i] = std::as_bytes(std::span(&messages[i], 1));
        }
        std::uint32_t count = 0;
        if (number % 2 == 0) {
            count = channel.send(me, slot, bytes);
        } else if (channel.send_until(me, slot, bytes[0], shm::kNoDeadline, is_over) ==
                   Channel::Sent::Yes) {
            count = 1;
        }
        for (std::uint32_t i = 0; i < count; ++i) {
            ledger->sent[me.lane][number + i].store(static_cast<std::uint8_t>(1 + slot));
        }
        next.store(number + std::max(count, 1U));
    }
}

/// Whole, and in its sender's order.
Message look_at(const InboxReader& reader, Owner me, shm::Position position) {
    const std::span<const std::byte> bytes = reader.bytes_at(position);
    Message message{};
    CHECK(bytes.size() == sizeof(message));
    std::memcpy(&message, bytes.data(), sizeof(message));
    const Message whole = message_of(message.lane, message.number);
    CHECK(std::memcmp(&message, &whole, sizeof(message)) == 0);
    (void)ledger->received[message.lane][message.number].fetch_add(1);
    // Again only what was received before and not ended.
    if (message.number + 1 < ledger->last[reader.slot()][message.lane].load()) {
        ledger->out_of_order.fetch_add(1);
    }
    ledger->progress[me.lane].fetch_add(1);
    if (message.number % 16 == 0) {
        (void)::sched_yield();  // so that some die with a message in their hands
    }
    return message;
}

void note_end(const InboxReader& reader, const Message& message) {
    ledger->last[reader.slot()][message.lane].store(message.number + 1);
}

/// Those that lie behind, by one store: a death before it gives all of them again.
void receive_row(InboxReader& reader, Owner me) {
    std::array<Message, kRow> messages{};
    const shm::ReceivedRow row = reader.receive_row(kRow);
    for (std::uint32_t i = 0; i < row.count; ++i) {
        messages[i] = look_at(reader, me, shm::after(row.first, i));
    }
    if (row) {
        reader.done(row);
    }
    for (std::uint32_t i = 0; i < row.count; ++i) {
        note_end(reader, messages[i]);
    }
}

/// In turns one message and a row of them.
void receive_all(const Channel& channel, Owner me) {
    InboxReader reader(channel, me.lane / 2 % kSlots, me);
    while (const auto received = reader.receive_until(shm::kNoDeadline, is_over)) {
        const Message message = look_at(reader, me, received->position);
        note_end(reader, message);
        reader.done(received->position);
        receive_row(reader, me);
        if (message.number % 64 == 0 && reader.in_hand() == 0) {
            reader.leave();  // for the other one
        }
    }
}

class ChannelStormTest : public EndlessStormTest<Ledger> {
  protected:
    ChannelStormTest() : EndlessStormTest("channels") {}
};

TEST_F(ChannelStormTest, NothingThatWasSentIsLostOrOutOfOrderWhoeverIsKilled) {
    constexpr shm::ChannelShape kShape{.slots = kSlots,
                                       .capacity = 50,
                                       .message_size = sizeof(Message),
                                       .delivery = shm::Delivery::AtLeastOnce};
    shm::Segment segment =
        shm::Segment::create(
            {.name = name_, .lanes = kWorkers, .channels = {{"news", "web", kShape}}})
            .value();
    const Channel channel = segment.channel(0);
    channel.set_slots(kSlots);
    storm(segment, kMostKills,
          [&](Owner me) { me.lane % 2 != 0 ? send_some(channel, me) : receive_all(channel, me); });

    ledger->is_over.store(true);
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
        channel.inbox(slot).receiver.store(0);  // those have ended without leaving
        InboxReader reader(channel, slot, Owner{2, 99});
        while (const auto received = reader.receive()) {
            Message message{};
            std::memcpy(&message, received->bytes.data(), sizeof(message));
            (void)ledger->received[message.lane][message.number].fetch_add(1);
            reader.done(received->position);
        }
        EXPECT_EQ(channel.unread(slot), 0U);
        std::uint32_t room = 0;
        while (channel.send(Owner{2, 99}, slot, Channel::Bytes{})) {
            ++room;
        }
        EXPECT_EQ(room, kShape.capacity) << "its capacity is whole";
    }
    std::uint64_t sent = 0;
    std::uint64_t lost = 0;
    std::uint64_t again = 0;
    for (std::uint32_t lane = 1; lane <= kWorkers; lane += 2) {
        for (std::uint64_t i = 0; i < kMostEach; ++i) {
            const std::uint8_t times = ledger->received[lane][i].load();
            const bool is_sent = ledger->sent[lane][i].load() != 0;
            sent += is_sent ? 1U : 0U;
            lost += is_sent && times == 0 ? 1U : 0U;
            again += times > 1 ? times - 1U : 0U;
        }
    }
    std::printf("    %" PRIu64 " kills, %" PRIu64 " messages sent, %" PRIu64 " lost, %" PRIu64
                " received again, %" PRIu64 " out of order\n",
                kMostKills, sent, lost, again, ledger->out_of_order.load());
    EXPECT_GT(sent, kMostKills);
    EXPECT_EQ(lost, 0U);
    EXPECT_EQ(channel.control().illegal.load(), 0U);
    EXPECT_EQ(ledger->out_of_order.load(), 0U);
}

}  // namespace
}  // namespace topsman::torture
