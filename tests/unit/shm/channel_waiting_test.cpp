// Waiting at a channel, and threads that send to it at once.

#include "channel_fixture.hpp"

#include <atomic>
#include <thread>
#include <vector>

namespace topsman::shm::channel_test {
namespace {

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
}  // namespace topsman::shm::channel_test
