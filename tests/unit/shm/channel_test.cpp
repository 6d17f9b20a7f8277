#include "channel_fixture.hpp"

#include <array>
#include <cstdint>

namespace topsman::shm::channel_test {
namespace {

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

TEST_F(ChannelTest, BehindASenderThatStandsStillThereIsTheRestOfTheInbox) {
    claim_only(kOther, 2);
    for (std::uint64_t i = 0; i < kShape.capacity - 2; ++i) {
        ASSERT_TRUE(send(i));
        EXPECT_EQ(drain(reader_), (Values{i}));
    }
    EXPECT_FALSE(send(9)) << "its cells, and all behind them, are not free";
    EXPECT_TRUE(send(9, kSender, 1)) << "another inbox";
    put(channel_, 0, 2);
    EXPECT_EQ(drain(reader_), (Values{1, 2}));
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

}  // namespace
}  // namespace topsman::shm::channel_test
