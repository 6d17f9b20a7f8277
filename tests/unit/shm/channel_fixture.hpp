#pragma once

// A channel of three inboxes with room for five messages each, and who sends and receives there.

#include "shm/channel.hpp"
#include "shm/inbox_reader.hpp"
#include "shm_test_helper.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <span>
#include <vector>

namespace topsman::shm::channel_test {

inline constexpr Owner kSender{1, 1};
inline constexpr Owner kReceiver{3, 3};
inline constexpr Owner kNext{4, 5};
using Values = std::vector<std::uint64_t>;

inline bool never() noexcept {
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

}  // namespace topsman::shm::channel_test
