// Who waits at a channel is woken, in every order in which the steps of the others may be seen: a
// message and the end of one are plain stores, which others see later than their own process.

#define shm_explored shm_explored_channel  // NOLINT: not what another test's file has
#include "explored_shm.hpp"

namespace topsman::shm {
namespace {

constexpr ChannelShape kShape{.slots = 1, .capacity = 2, .message_size = 8};

class ChannelExploredTest : public ExploredMemory {
  protected:
    ChannelExploredTest() : ExploredMemory(channel_bytes(kShape)) {}

    void TearDown() override { has_fences = true; }

    Channel channel() { return Channel(all().data(), kShape, lanes()); }

    static bool never() noexcept { return false; }

    void send(std::uint32_t lane, std::uint64_t value) {
        looks = 0;
        (void)channel().send_until({lane, 1}, 0, std::as_bytes(std::span(&value, 1)), kNoDeadline,
                                   never);
    }

    /// As a sender leaves it that stands between its claim and the first store after that.
    void claim_only(std::uint32_t lane) {
        InboxControl& inbox = channel().inbox(0);
        inbox.users.insert(lane);
        inbox.tail.store(TailWord{TailWord::unpack(inbox.tail.load()).end(), 1, lane, 1}.pack());
    }

    /// It goes on: the claim is of the first cell.
    void send_what_is_claimed(std::uint32_t lane) {
        channel().cell(0, 0).length.store(0, std::memory_order_relaxed);
        channel().cell(0, 0).word.store(CellWord{CellState::Ready, lane, 1, 1, 1}.pack(),
                                        std::memory_order_release);
        channel().wake_receivers(0);
    }

    /// Those of lanes 1 and 2: made before each run, as a run may be left amid them.
    InboxReader& reader(std::uint32_t lane) { return *readers_.at(lane - 1); }

    void receive(std::uint32_t lane, std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i) {
            looks = 0;
            if (const auto message = reader(lane).receive_until(kNoDeadline, never)) {
                ++received_;
                reader(lane).done(message->position);
            }
        }
    }

    explorer::Explored explore(
        const std::vector<std::function<void()>>& processes, const std::vector<bool>& may_die,
        const std::function<void()>& begin = [] {}) {
        explorer::Scenario scenario;
        scenario.arena = all();
        scenario.shared = scenario.arena;
        scenario.begin = [&] {
            forget_what_was_learned();
            received_ = 0;
            detail::fences_are_joined.store(true);
            channel().set_slots(1);
            for (std::uint32_t lane : {1U, 2U}) {
                readers_.at(lane - 1).emplace(channel(), 0, Owner{lane, 1});
            }
            begin();
        };
        scenario.processes = processes;
        scenario.may_die = may_die;
        scenario.has_store_buffers = true;
        scenario.sweep = [&](std::size_t dead) {
            (void)channel().sweep({static_cast<std::uint32_t>(dead + 1), 1});
            wake_everyone(lanes());
        };
        scenario.end = [&](std::size_t /*dead*/, const std::vector<std::size_t>& asleep) {
            const std::uint32_t unread = channel().unread(0);
            for (const std::size_t who : asleep) {
                if (unread != (is_sender_.at(who) ? kShape.capacity : 0)) {
                    return std::to_string(who) + " sleeps, and " + std::to_string(unread) +
                           " messages are there";
                }
            }
            return std::string();
        };
        return explorer::explore(scenario);
    }

    std::uint32_t received_ = 0;
    std::vector<bool> is_sender_ = {false, true, true};
    std::array<std::optional<InboxReader>, 2> readers_;
};

TEST_F(ChannelExploredTest, AReceiverIsWokenByAMessage) {
    expect_right(explore({[this] { receive(1, 1); }, [this] { send(2, 1); }}, {true, true}));
}

/// The same without what makes sure of it.
TEST_F(ChannelExploredTest, AReceiverThatSleepsForEverIsFound) {
    has_fences = false;
    const auto found = explore({[this] { receive(1, 1); }, [this] { send(2, 1); }}, {false, false});
    EXPECT_NE(found.failure.find("0 sleeps"), std::string::npos) << found.failure;
}

/// It has passed by the sender's claim, as what was sent behind it was there.
TEST_F(ChannelExploredTest, AReceiverIsWokenByASenderThatWasSlow) {
    expect_right(explore({[this] { receive(1, 1); }, [this] { send_what_is_claimed(2); }},
                         {true, true}, [this] {
                             claim_only(2);
                             send(3, 2);
                             receive(1, 1);
                         }));
}

TEST_F(ChannelExploredTest, WhoWaitsToBecomeTheReceiverIsWoken) {
    is_sender_ = {false, false, true};
    expect_right(explore({[this] { reader(1).leave(); }, [this] { receive(2, 1); },
                          [this] { send_what_is_claimed(3); }},
                         {false, false, false}, [this] {
                             (void)reader(1).receive();
                             claim_only(3);
                         }));
}

TEST_F(ChannelExploredTest, WhoWaitsForRoomIsWoken) {
    is_sender_ = {false, true};
    expect_right(explore({[this] { receive(1, 1); }, [this] { send(2, 3); }}, {true, true}, [this] {
        send(3, 1);
        send(3, 2);
        (void)reader(1).has_something();  // it is the receiver
    }));
}

TEST_F(ChannelExploredTest, WhoWaitsForRoomForEverIsFound) {
    has_fences = false;
    is_sender_ = {false, true};
    const auto found =
        explore({[this] { receive(1, 1); }, [this] { send(2, 3); }}, {false, false}, [this] {
            send(3, 1);
            send(3, 2);
        });
    EXPECT_NE(found.failure.find("1 sleeps"), std::string::npos) << found.failure;
}

}  // namespace
}  // namespace topsman::shm
