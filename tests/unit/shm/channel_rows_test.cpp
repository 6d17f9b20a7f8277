// Messages that are received, ended and put back together.

#include "channel_fixture.hpp"

#include <cstdint>

namespace topsman::shm::channel_test {
namespace {

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

}  // namespace
}  // namespace topsman::shm::channel_test
