#include "shm/channel.hpp"

#include "shm/inbox_reader.hpp"
#include "shm_test_helper.hpp"

#include <array>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

namespace topsman::shm {
namespace {

constexpr Owner kSender{1, 1};
constexpr Owner kReceiver{3, 3};
constexpr Owner kNext{4, 5};
using Values = std::vector<std::uint64_t>;

bool never() noexcept {
    return false;
}

class ChannelTest : public testing::Test {
  protected:
    ChannelTest() { channel_.set_slots(kShape.slots); }

    bool send(std::uint64_t value, Owner by = kSender, std::uint32_t slot = 0) {
        return channel_.send(by, slot, std::as_bytes(std::span(&value, 1)));
    }

    std::uint32_t send_run(const Values& values, Owner by = kSender) {
        std::vector<Channel::Bytes> messages;
        for (const std::uint64_t& value : values) {
            messages.push_back(std::as_bytes(std::span(&value, 1)));
        }
        return channel_.send(by, 0, messages);
    }

    /// As a sender leaves it that stands still, or dies, after its claim.
    void claim_only(Owner by, std::uint32_t count) {
        std::atomic<std::uint64_t>& tail = channel_.inbox(0).tail;
        const TailWord last = TailWord::unpack(tail.load());
        channel_.inbox(0).users.insert(by.lane);
        tail.store(TailWord{last.end(), count, by.lane, by.generation & 0xfU}.pack());
    }

    static std::uint64_t value_of(const ReceivedMessage& message) {
        std::uint64_t value = 0;
        EXPECT_EQ(message.bytes.size(), sizeof(value));
        std::memcpy(&value, message.bytes.data(), std::min(message.bytes.size(), sizeof(value)));
        return value;
    }

    /// Receives and ends all there is.
    static Values drain(InboxReader& reader) {
        Values values;
        while (const auto message = reader.receive()) {
            values.push_back(value_of(*message));
            reader.done(message->position);
        }
        return values;
    }

    static Values values_of(const InboxReader& reader, const ReceivedRow& row) {
        Values values;
        for (std::uint32_t i = 0; i < row.count; ++i) {
            const Position position = after(row.first, i);
            values.push_back(value_of({position, reader.bytes_at(position)}));
        }
        return values;
    }

    /// As a sender that goes on after its claim of cells from `first` on.
    static void put(Channel& channel, Position first, std::uint32_t count) {
        for (std::uint32_t i = count; i-- != 0;) {
            const std::uint64_t value = first + i + 1;
            channel.cell(0, first + i).length.store(sizeof(value));
            std::memcpy(channel.message(0, first + i), &value, sizeof(value));
            const CellWord ready{CellState::Ready, kOther.lane, kOther.generation,
                                 i == 0 ? count : 1U, 1};
            channel.cell(0, first + i).word.store(ready.pack());
        }
    }

    static void expect_whole(Channel& channel, InboxReader& reader) {
        for (std::uint64_t round = 0; round < 3; ++round) {
            std::uint32_t sent = 0;
            while (channel.send(kSender, 0, std::as_bytes(std::span(&round, 1)))) {
                ++sent;
            }
            EXPECT_EQ(sent, kShape.capacity);
            EXPECT_EQ(drain(reader), Values(kShape.capacity, round));
        }
    }

    static constexpr ChannelShape kShape{
        .slots = 3, .capacity = 5, .message_size = 40, .delivery = Delivery::AtLeastOnce};

    static ChannelShape at_most_once() {
        ChannelShape shape = kShape;
        shape.delivery = Delivery::AtMostOnce;
        return shape;
    }

    std::byte* memory_ = static_cast<std::byte*>(shared_memory(channel_bytes(kShape)));
    std::span<Lane> lanes_{static_cast<Lane*>(shared_memory(sizeof(Lane) * 32)), 32};
    Channel channel_{memory_, kShape, lanes_};
    InboxReader reader_{channel_, 0, kReceiver};
};

TEST_F(ChannelTest, MessagesComeWholeAndInTheirOrder) {
    for (std::uint64_t round = 0; round < 50; ++round) {
        for (std::uint64_t i = 0; i < 4; ++i) {
            ASSERT_TRUE(send(round * 4 + i, i % 2 == 0 ? kSender : kOther));
        }
        EXPECT_EQ(drain(reader_), (Values{round * 4, round * 4 + 1, round * 4 + 2, round * 4 + 3}));
    }
    const std::array<std::byte, 40> longest{std::byte{7}};
    ASSERT_TRUE(channel_.send(kSender, 0, longest));
    ASSERT_TRUE(channel_.send(kSender, 0, Channel::Bytes{}));
    const auto first = reader_.receive();
    ASSERT_TRUE(first && first->bytes.size() == 40);
    EXPECT_EQ(first->bytes[0], std::byte{7});
    EXPECT_TRUE(reader_.receive()->bytes.empty());
}

TEST_F(ChannelTest, AnInboxHasRoomForItsCapacityAndIsNotTheOthers) {
    for (std::uint64_t i = 0; i < kShape.capacity; ++i) {
        EXPECT_TRUE(send(i));
    }
    EXPECT_FALSE(send(9));
    EXPECT_EQ(channel_.unread(0), kShape.capacity);
    EXPECT_TRUE(send(1, kSender, 1));
    EXPECT_EQ(channel_.unread(1), 1U);
    EXPECT_EQ(drain(reader_), (Values{0, 1, 2, 3, 4}));
    EXPECT_EQ(channel_.unread(0), 0U);
    expect_whole(channel_, reader_);
}

TEST_F(ChannelTest, ARunIsSeenAtOnceAsFarAsThereIsRoom) {
    ASSERT_TRUE(send(1));
    EXPECT_EQ(send_run({2, 3, 4}), 3U);
    EXPECT_EQ(send_run({5, 6, 7}), 1U) << "there was room for one";
    EXPECT_EQ(drain(reader_), (Values{1, 2, 3, 4, 5}));
    expect_whole(channel_, reader_);
}

TEST_F(ChannelTest, WhatADeadReceiverHadNotEndedTheNextOneGetsInOrder) {
    ASSERT_EQ(send_run({1, 2, 3, 4}), 4U);
    const auto first = reader_.receive();
    const auto second = reader_.receive();
    ASSERT_TRUE(first && second);
    reader_.done(first->position);
    InboxReader next(channel_, 0, kNext);
    EXPECT_FALSE(next.receive()) << "the other one lives";
    EXPECT_EQ(channel_.sweep(kReceiver).inboxes, 1U);
    EXPECT_EQ(channel_.sweep(kReceiver).inboxes, 0U);
    EXPECT_EQ(drain(next), (Values{2, 3, 4}));
    expect_whole(channel_, next);
}

TEST_F(ChannelTest, AtMostOnceWhatWasHandedOutIsGone) {
    Channel channel(memory_, at_most_once(), lanes_);
    InboxReader reader(channel, 0, kReceiver);
    ASSERT_EQ(send_run({1, 2, 3, 4}), 4U);
    ASSERT_TRUE(reader.receive());
    EXPECT_EQ(channel.unread(0), 3U);
    const auto second = reader.receive();
    reader.put_back(second->position);
    EXPECT_EQ(channel.sweep(kReceiver).inboxes, 1U);
    InboxReader next(channel, 0, kNext);
    EXPECT_EQ(drain(next), (Values{3, 4}));
    expect_whole(channel, next);
}

TEST_F(ChannelTest, AtMostOnceASenderThatStoodStillIsHeardAfterTheReceiversDeath) {
    Channel channel(memory_, at_most_once(), lanes_);
    InboxReader reader(channel, 0, kReceiver);
    claim_only(kOther, 2);
    ASSERT_TRUE(send(3));
    EXPECT_EQ(value_of(*reader.receive()), 3U);
    (void)channel.sweep(kReceiver);
    InboxReader next(channel, 0, kNext);
    EXPECT_FALSE(next.receive());
    put(channel, 0, 2);
    EXPECT_EQ(drain(next), (Values{1, 2}));
    expect_whole(channel, next);
}

TEST_F(ChannelTest, AtMostOnceTheFirstOfALateRunIsGoneWithItsReceiver) {
    Channel channel(memory_, at_most_once(), lanes_);
    InboxReader reader(channel, 0, kReceiver);
    claim_only(kOther, 3);
    channel.cell(0, 0).word.store(
        CellWord{CellState::Writing, kOther.lane, kOther.generation, 3, 1}.pack());
    EXPECT_FALSE(reader.receive()) << "it passes by the claim";
    put(channel, 0, 3);
    EXPECT_EQ(value_of(*reader.receive()), 1U);
    EXPECT_EQ(channel.unread(0), 2U);
    (void)channel.sweep(kReceiver);
    InboxReader next(channel, 0, kNext);
    EXPECT_EQ(drain(next), (Values{2, 3}));
    expect_whole(channel, next);
}

TEST_F(ChannelTest, ARowIsReceivedTogether) {
    EXPECT_FALSE(reader_.receive_row(8));
    for (std::uint64_t round = 0; round < 20; ++round) {
        ASSERT_EQ(send_run({1, 2}), 2U);
        ASSERT_TRUE(send(3, kOther));
        ASSERT_EQ(send_run({4, 5}), 2U);
        const ReceivedRow row = reader_.receive_row(3);
        EXPECT_EQ(values_of(reader_, row), (Values{1, 2, 3}));
        const ReceivedRow rest = reader_.receive_row(UINT32_MAX);
        EXPECT_EQ(values_of(reader_, rest), (Values{4, 5}));
        EXPECT_EQ(reader_.in_hand(), 5U);
        EXPECT_EQ(channel_.unread(0), 5U);
        reader_.done(round % 2 == 0 ? row : rest);
        EXPECT_EQ(channel_.unread(0), round % 2 == 0 ? 2U : 5U);
        reader_.done(round % 2 == 0 ? rest : row);
        EXPECT_EQ(channel_.unread(0), 0U);
        EXPECT_EQ(reader_.in_hand(), 0U);
    }
    expect_whole(channel_, reader_);
}

TEST_F(ChannelTest, ARowEndsWhereAMessageIsMissingAndAGapComesFirst) {
    ASSERT_TRUE(send(1));
    claim_only(kOther, 2);
    ASSERT_EQ(send_run({4, 5}), 2U);
    EXPECT_EQ(values_of(reader_, reader_.receive_row(8)), (Values{1}));
    const ReceivedRow behind = reader_.receive_row(8);
    EXPECT_EQ(values_of(reader_, behind), (Values{4, 5}));
    reader_.done(behind);
    put(channel_, 1, 2);
    const ReceivedRow late = reader_.receive_row(8);
    EXPECT_EQ(values_of(reader_, late), (Values{2, 3}));
    reader_.done(late);
    (void)channel_.sweep(kReceiver);
    InboxReader next(channel_, 0, kNext);
    EXPECT_EQ(drain(next), (Values{1})) << "the others were received past it";
    expect_whole(channel_, next);
}

TEST_F(ChannelTest, ARowThatIsPutBackComesFirst) {
    ASSERT_EQ(send_run({1, 2, 3, 4, 5}), 5U);
    const ReceivedRow first = reader_.receive_row(2);
    const ReceivedRow second = reader_.receive_row(2);
    reader_.put_back(second);
    reader_.put_back(first);
    EXPECT_EQ(values_of(reader_, reader_.receive_row(8)), (Values{1, 2}));
    EXPECT_EQ(values_of(reader_, reader_.receive_row(1)), (Values{3}));
    EXPECT_EQ(values_of(reader_, reader_.receive_row(8)), (Values{4}));
    EXPECT_EQ(values_of(reader_, reader_.receive_row(8)), (Values{5}));
    EXPECT_FALSE(reader_.receive_row(8));
}

TEST_F(ChannelTest, AtMostOnceARowIsGoneWithItsReceiver) {
    Channel channel(memory_, at_most_once(), lanes_);
    InboxReader reader(channel, 0, kReceiver);
    ASSERT_EQ(send_run({1, 2, 3, 4}), 4U);
    EXPECT_EQ(values_of(reader, reader.receive_row(3)), (Values{1, 2, 3}));
    EXPECT_EQ(channel.unread(0), 1U);
    (void)channel.sweep(kReceiver);
    InboxReader next(channel, 0, kNext);
    EXPECT_EQ(drain(next), (Values{4}));
    expect_whole(channel, next);
}

TEST_F(ChannelTest, ARowIsNeverLongerThanTheInboxWhateverItsWordsSay) {
    for (Position at = 0; at < 3 * channel_.cells(); ++at) {
        channel_.cell(0, at).length.store(UINT32_MAX);
        channel_.cell(0, at).word.store(
            CellWord{CellState::Ready, kOther.lane, 7, 1, channel_.turn_of(at)}.pack());
        if ((at + 1) % channel_.cells() == 0) {
            const ReceivedRow row = reader_.receive_row(UINT32_MAX);
            EXPECT_EQ(row.count, channel_.cells());
            EXPECT_EQ(reader_.bytes_at(row.first).size(), kShape.message_size);
            EXPECT_FALSE(reader_.receive_row(UINT32_MAX));
            reader_.done(row);
        }
    }
}

TEST_F(ChannelTest, TheReceiverLeavesAndAnotherComes) {
    ASSERT_EQ(send_run({1, 2}), 2U);
    const auto first = reader_.receive();
    reader_.done(first->position);
    InboxReader next(channel_, 0, kNext);
    EXPECT_FALSE(next.has_something());
    reader_.leave();
    EXPECT_FALSE(reader_.is_receiver());
    EXPECT_TRUE(next.has_something());
    EXPECT_EQ(drain(next), (Values{2}));
    EXPECT_FALSE(reader_.receive());
}

TEST_F(ChannelTest, ASenderThatStandsStillHoldsUpNobody) {
    claim_only(kOther, 2);
    ASSERT_TRUE(send(3));
    EXPECT_EQ(drain(reader_), (Values{3}));
    EXPECT_EQ(channel_.unread(0), 3U) << "the cursor waits for it";
    EXPECT_EQ(CellWord::unpack(channel_.cell(0, 0).word.load()).state, CellState::Writing)
        << "whoever claimed after it has said whose it is";
    EXPECT_FALSE(reader_.has_something());
    EXPECT_EQ(channel_.sweep(kSender).unfinished, 0U);
    EXPECT_EQ(channel_.sweep(kOther).unfinished, 1U);
    EXPECT_EQ(channel_.sweep(kOther).unfinished, 0U);
    EXPECT_TRUE(reader_.has_something());
    EXPECT_EQ(drain(reader_), Values{});
    EXPECT_EQ(channel_.unread(0), 0U);
    expect_whole(channel_, reader_);
}

TEST_F(ChannelTest, WhatASenderAloneHasSentSaysNothingOfItsNextClaim) {
    const InboxControl& inbox = channel_.inbox(0);
    ASSERT_TRUE(send(1));
    ASSERT_TRUE(send(2));
    EXPECT_EQ(inbox.sent.load(), inbox.tail.load());
    claim_only(kSender, 1);  // another thread of it
    ASSERT_TRUE(send(4));
    EXPECT_EQ(CellWord::unpack(channel_.cell(0, 2).word.load()).state, CellState::Writing);
    const std::uint64_t before = inbox.sent.load();
    ASSERT_TRUE(send(5, kOther));
    EXPECT_EQ(inbox.sent.load(), before) << "it is not alone";
    EXPECT_EQ(drain(reader_), (Values{1, 2, 4, 5}));
    EXPECT_EQ(channel_.sweep(kSender).unfinished, 1U);
    EXPECT_EQ(drain(reader_), Values{});
    expect_whole(channel_, reader_);
}

TEST_F(ChannelTest, NoTwoCellsShareALineOfCache) {
    for (const std::uint32_t size : {1U, 40U, 48U, 49U, 64U, 256U}) {
        ChannelShape shape = kShape;
        shape.message_size = size;
        const Channel channel(memory_, shape, lanes_);
        const auto line_of = [](const void* at) {
            return reinterpret_cast<std::uintptr_t>(at) / (kCacheLine / 2);
        };
        EXPECT_LT(line_of(channel.message(0, 0) + size - 1), line_of(&channel.cell(0, 1)));
    }
}

TEST_F(ChannelTest, TheLastClaimOfTheDeadIsFoundThoughNobodyHasComeAfterIt) {
    claim_only(kOther, 5);
    EXPECT_FALSE(send(1));
    EXPECT_EQ(channel_.sweep(kOther).unfinished, 1U);
    EXPECT_EQ(drain(reader_), Values{});
    expect_whole(channel_, reader_);
}

TEST_F(ChannelTest, WhatIsPutBackComesFirst) {
    ASSERT_EQ(send_run({1, 2, 3, 4}), 4U);
    const auto first = reader_.receive();
    const auto second = reader_.receive();
    const auto third = reader_.receive();
    reader_.put_back(third->position);
    reader_.put_back(first->position);
    reader_.done(second->position);
    EXPECT_EQ(reader_.in_hand(), 0U);
    EXPECT_TRUE(reader_.has_something());
    EXPECT_EQ(drain(reader_), (Values{1, 3, 4}));
    expect_whole(channel_, reader_);
}

TEST_F(ChannelTest, OneThatIsDoneBeforeAnEarlierOneIsNotGivenAgain) {
    ASSERT_EQ(send_run({1, 2, 3}), 3U);
    const auto first = reader_.receive();
    const auto second = reader_.receive();
    reader_.done(second->position);
    EXPECT_EQ(channel_.unread(0), 3U) << "its cell is free only after the first one's";
    reader_.done(first->position);
    EXPECT_EQ(channel_.unread(0), 1U);
    ASSERT_EQ(send_run({4, 5}), 2U);
    ASSERT_TRUE(reader_.receive());
    const auto fourth = reader_.receive();
    reader_.done(fourth->position);
    (void)channel_.sweep(kReceiver);
    InboxReader next(channel_, 0, kNext);
    EXPECT_EQ(drain(next), (Values{3, 5}));
    expect_whole(channel_, next);
}

TEST_F(ChannelTest, WordsThatNobodyOfOursWroteArePassedOverAndCounted) {
    claim_only(kOther, 2);
    ASSERT_TRUE(send(3));
    EXPECT_EQ(drain(reader_), (Values{3}));
    channel_.cell(0, 0).word.store(CellWord{CellState::Writing, 1, 1, 40, 1}.pack());  // a gap
    EXPECT_EQ(drain(reader_), Values{});
    EXPECT_EQ(channel_.unread(0), 0U);
    ASSERT_EQ(send_run({4, 5}), 2U);
    CellWord spoilt = CellWord::unpack(channel_.cell(0, 3).word.load());
    spoilt.state = static_cast<CellState>(9);
    channel_.cell(0, 3).word.store(spoilt.pack());  // the next one
    EXPECT_EQ(drain(reader_), (Values{5}));
    EXPECT_EQ(channel_.control().illegal.load(), 2U);
    expect_whole(channel_, reader_);
}

TEST_F(ChannelTest, PositionsAndTurnsWrap) {
    InboxControl& inbox = channel_.inbox(0);
    const Position begin = kPositionMask - 20;
    inbox.tail.store(TailWord{begin - 1, 1, 0, 0}.pack());
    for (std::uint32_t back = 1; back <= 8; ++back) {
        const Position at = begin - back;
        channel_.cell(0, at).word.store(
            CellWord{CellState::Ready, 1, 1, 1, channel_.turn_of(at)}.pack());
    }
    inbox.freed.store(begin);
    for (std::uint64_t i = 0; i < 60; ++i) {
        ASSERT_TRUE(send(i));
        ASSERT_EQ(send_run({i, i}), 2U);
        ASSERT_EQ(drain(reader_), (Values{i, i, i}));
    }
    EXPECT_LT(inbox.freed.load(), 200U);
    expect_whole(channel_, reader_);
}

TEST_F(ChannelTest, WhoeverHasAReceiverIsPreferred) {
    InboxReader at_two(channel_, 2, kReceiver);
    lanes_[kReceiver.lane].word.store(LaneWord{LanePhase::Started, kReceiver.generation, 1}.pack());
    EXPECT_FALSE(at_two.receive());
    const std::uint64_t value = 1;
    const auto bytes = std::as_bytes(std::span(&value, 1));
    for (std::uint32_t i = 0; i < kShape.capacity; ++i) {
        EXPECT_EQ(channel_.send_any(kSender, i, bytes), 2U);
    }
    EXPECT_EQ(channel_.send_any(kSender, 1, bytes), 1U) << "that one is full";
    EXPECT_EQ(channel_.send_any(kSender, 2, bytes), 0U);
    channel_.set_slots(0);
    EXPECT_EQ(channel_.send_any(kSender, 0, bytes), std::nullopt);
}

TEST_F(ChannelTest, WhoWaitsForRoomInASlotThatGoesIsTold) {
    while (send(1, kSender, 1)) {
    }
    const std::uint64_t value = 2;
    const auto bytes = std::as_bytes(std::span(&value, 1));
    EXPECT_EQ(channel_.send_until(kSender, 1, bytes, Deadline{}, never), Channel::Sent::Full);
    std::atomic<bool> is_refused = false;
    std::jthread waiter([&] {
        is_refused =
            channel_.send_until(kSender, 1, bytes, kNoDeadline, never) == Channel::Sent::NoSlot;
    });
    while (lanes_[kSender.lane].parked.load() == 0) {
        std::this_thread::yield();
    }
    channel_.set_slots(1);
    waiter.join();
    EXPECT_TRUE(is_refused);
    EXPECT_EQ(channel_.slots(), 1U);
    channel_.set_slots(100);
    EXPECT_EQ(channel_.slots(), kShape.slots) << "no more than it has inboxes";
}

TEST_F(ChannelTest, WhoWaitsForAMessageIsWoken) {
    std::jthread receiver([&] {
        const auto message = reader_.receive_until(kNoDeadline, never);
        EXPECT_EQ(value_of(*message), 42U);
    });
    while (lanes_[kReceiver.lane].parked.load() == 0) {
        std::this_thread::yield();
    }
    ASSERT_TRUE(send(42));
}

TEST_F(ChannelTest, WhoWaitsToBecomeTheReceiverIsWoken) {
    ASSERT_TRUE(send(1));
    EXPECT_TRUE(reader_.receive());
    InboxReader next(channel_, 0, kNext);
    std::jthread waiter([&] {
        const auto message = next.receive_until(kNoDeadline, never);
        EXPECT_EQ(value_of(*message), 1U);
    });
    while (lanes_[kNext.lane].parked.load() == 0) {
        std::this_thread::yield();
    }
    (void)channel_.sweep(kReceiver);
}

TEST_F(ChannelTest, ThreadsAndProcessesSendAtOnce) {
    constexpr std::uint64_t kEach = 4'000;
    Values last(4, 0);
    {
        std::vector<std::jthread> senders;
        for (std::uint64_t t = 1; t < 4; ++t) {
            senders.emplace_back([this, t] {
                for (std::uint64_t i = 1; i <= kEach; ++i) {
                    const std::uint64_t value = t << 32U | i;
                    const auto bytes = std::as_bytes(std::span(&value, 1));
                    // Two of them share a lane, as threads of one process do.
                    const Owner owner{static_cast<std::uint32_t>(t == 3 ? 2 : t), 1};
                    EXPECT_EQ(channel_.send_until(owner, 0, bytes, kNoDeadline, never),
                              Channel::Sent::Yes);
                }
            });
        }
        for (std::uint64_t i = 0; i < 3 * kEach; ++i) {
            const auto message = reader_.receive_until(kNoDeadline, never);
            const std::uint64_t value = value_of(*message);
            EXPECT_EQ(value & 0xffff'ffffU, ++last.at(value >> 32U)) << "in each one's order";
            reader_.done(message->position);
        }
    }
    EXPECT_EQ(last, (Values{0, kEach, kEach, kEach}));
    expect_whole(channel_, reader_);
}

}  // namespace
}  // namespace topsman::shm
