// Channels as workers use them: over processes, deaths, draining, forks and event loops.

#include "topsman/channel.hpp"

#include "tests/unit/worker/herd.hpp"
#include "topsman/worker.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace topsman {
namespace {

using test::Herd;
using test::Member;
using test::MemberSetup;
using test::Signal;
using namespace std::chrono_literals;

Channel news() {
    return Worker::attach().value().channel("news").value();
}

bool is_readable(int fd, int ms = 0) {
    pollfd wanted{fd, POLLIN, 0};
    return ::poll(&wanted, 1, ms) == 1;
}

std::string next(Channel& channel) {
    auto message = channel.receive().value();
    if (!message) {
        return "(drains)";
    }
    std::string text(message->text());
    return message->ack() ? text : "(not acknowledged)";
}

MemberSetup in_slot(std::uint32_t slot, const std::string& pool = "web") {
    return {.environment = {{"TOPSMAN_SLOT", std::to_string(slot)}, {"TOPSMAN_POOL", pool}}};
}

class WorkersChannelTest : public testing::Test {
  protected:
    WorkersChannelTest() { herd_.segment().channel(0).set_slots(3); }

    [[nodiscard]] std::uint32_t unread(std::uint32_t slot) {
        return herd_.segment().channel(0).unread(slot);
    }

    Herd herd_;
};

TEST_F(WorkersChannelTest, MessagesGoToTheSlotThatTheyAreFor) {
    Member sender = herd_.spawn(in_slot(0, "mail"), [] {
        Channel channel = news();
        CHILD_EXPECT(channel.slots() == 3);
        CHILD_EXPECT(channel.send(To::slot(1), "one").value() == 1);
        CHILD_EXPECT(channel.send(To::slot(1), "two").value() == 1);
        CHILD_EXPECT(channel.send(To::slot(2), "three").value() == 1);
        CHILD_EXPECT(channel.send(To::all(), "four").value() == 3);
        const std::vector<std::string_view> more = {"five", "six", "seven"};
        CHILD_EXPECT(channel.send_all(1, more).value() == 3);
        return 0;
    });
    EXPECT_EQ(herd_.reap(sender), 0);
    EXPECT_EQ(unread(0), 1U);
    Member first = herd_.spawn(in_slot(1), [] {
        Channel channel = news();
        for (const char* text : {"one", "two", "four", "five", "six", "seven"}) {
            CHILD_EXPECT(next(channel) == text);
        }
        CHILD_EXPECT(!channel.try_receive().value());
        CHILD_EXPECT(channel.send(To::all(), "not to myself").value() == 2);
        CHILD_EXPECT(!channel.try_receive().value());
        return 0;
    });
    EXPECT_EQ(herd_.reap(first), 0);
    Member second = herd_.spawn(in_slot(2), [] {
        Channel channel = news();
        CHILD_EXPECT(next(channel) == "three" && next(channel) == "four");
        CHILD_EXPECT(next(channel) == "not to myself");
        return 0;
    });
    EXPECT_EQ(herd_.reap(second), 0);
}

TEST_F(WorkersChannelTest, WhatADeadWorkerHadNotAcknowledgedItsSlotsNextOneReceives) {
    const Signal has_some;
    Member victim = herd_.spawn(in_slot(0), [&] {
        Channel channel = news();
        for (const char* text : {"one", "two", "three"}) {
            (void)channel.send(To::slot(0), text).value();
        }
        CHILD_EXPECT(next(channel) == "one");
        const auto held = channel.receive().value();
        CHILD_EXPECT(held && held->text() == "two");
        has_some.give();
        for (;;) {
            (void)::pause();
        }
    });
    has_some.wait();
    const Signal has_looked;
    Member heir = herd_.spawn(in_slot(0), [&] {
        Channel channel = news();
        CHILD_EXPECT(!channel.try_receive().value());  // the other one lives
        has_looked.give();
        CHILD_EXPECT(next(channel) == "two" && next(channel) == "three");
        return 0;
    });
    has_looked.wait();
    ASSERT_EQ(::kill(victim.pid, SIGKILL), 0);
    (void)herd_.reap(victim);
    EXPECT_EQ(herd_.reap(heir), 0);
}

TEST_F(WorkersChannelTest, WhoDrainsLeavesTheRestToTheSlotsNextWorker) {
    const Signal is_receiver;
    const Signal may_end;
    Member leaving = herd_.spawn(in_slot(0), [&] {
        Worker worker = Worker::attach().value();
        Channel channel = news();
        for (const char* text : {"one", "two", "three"}) {
            (void)channel.send(To::slot(0), text).value();
        }
        auto held = channel.receive().value();
        CHILD_EXPECT(held && held->text() == "one");
        worker.begin_drain();
        CHILD_EXPECT(!channel.receive().value() && !channel.try_receive().value());
        is_receiver.give();
        CHILD_EXPECT(held->ack().has_value());  // it had one in its hands: only now it leaves
        CHILD_EXPECT(!held->ack());
        may_end.wait();
        return 0;
    });
    is_receiver.wait();
    Member next_one = herd_.spawn(in_slot(0), [] {
        Channel channel = news();
        CHILD_EXPECT(next(channel) == "two" && next(channel) == "three");
        return 0;
    });
    EXPECT_EQ(herd_.reap(next_one), 0) << "while the leaving one lives";
    may_end.give();
    EXPECT_EQ(herd_.reap(leaving), 0);
}

TEST_F(WorkersChannelTest, AMessageThatIsNotAcknowledgedComesAgain) {
    Member worker = herd_.spawn(in_slot(0), [] {
        Channel channel = news();
        (void)channel.send(To::slot(0), "one").value();
        (void)channel.send(To::slot(0), "two").value();
        { CHILD_EXPECT(channel.receive().value()->text() == "one"); }
        auto one = channel.receive().value();
        auto two = channel.receive().value();
        CHILD_EXPECT(one->text() == "one" && two->text() == "two");
        Message moved = std::move(*two);
        CHILD_EXPECT(moved.ack().has_value() && !two->ack() && one->ack().has_value());
        CHILD_EXPECT(!channel.try_receive().value());
        return 0;
    });
    EXPECT_EQ(herd_.reap(worker), 0);
}

TEST_F(WorkersChannelTest, MessagesThatAreReceivedTogetherAreAcknowledgedTogether) {
    Member worker = herd_.spawn(in_slot(0), [] {
        Channel channel = news();
        CHILD_EXPECT(!channel.try_receive_all(9).value());
        CHILD_EXPECT(!channel.receive_all_until(std::chrono::steady_clock::now() + 1ms, 9).value());
        const std::vector<std::string_view> sent = {"one", "two", "three", "four"};
        CHILD_EXPECT(channel.send_all(0, sent).value() == 4);
        { CHILD_EXPECT(channel.receive_all(9).value()->size() == 4); }  // and not acknowledged
        auto first = channel.receive_all(3).value();
        CHILD_EXPECT(std::vector<std::string_view>(first->begin(), first->end()) ==
                     std::vector<std::string_view>(sent.begin(), sent.end() - 1));
        CHILD_EXPECT(first->data(2).size() == 5 && first->text(2) == "three");
        Messages moved = std::move(*first);
        CHILD_EXPECT(first->size() == 0 && !first->ack() && moved.ack().has_value());
        CHILD_EXPECT(moved.size() == 0 && moved.begin() == moved.end() && !moved.ack());
        auto last = channel.receive_all(9).value();
        CHILD_EXPECT(last->size() == 1 && last->text(0) == "four");
        moved = std::move(*last);
        CHILD_EXPECT(moved.size() == 1 && moved.ack().has_value());
        CHILD_EXPECT(!channel.try_receive().value());
        return 0;
    });
    EXPECT_EQ(herd_.reap(worker), 0);
    EXPECT_EQ(unread(0), 0U);
}

TEST_F(WorkersChannelTest, WhatADeadWorkerHadReceivedTogetherItsSlotsNextOneReceives) {
    Member victim = herd_.spawn(in_slot(0), [] {
        Channel channel = news();
        for (const char* text : {"one", "two", "three", "four"}) {
            (void)channel.send(To::slot(0), text).value();
        }
        auto ended = channel.receive_all(2).value();
        CHILD_EXPECT(ended->size() == 2 && ended->ack().has_value());
        const auto held = channel.receive_all(9).value();
        ::_exit(held->size() == 2 ? 0 : 1);
    });
    EXPECT_EQ(herd_.reap(victim), 0);
    Member heir = herd_.spawn(in_slot(0), [] {
        Channel channel = news();
        const auto again = channel.receive_all(9).value();
        CHILD_EXPECT(again->size() == 2 && again->text(0) == "three" && again->text(1) == "four");
        return 0;
    });
    EXPECT_EQ(herd_.reap(heir), 0);
}

TEST_F(WorkersChannelTest, AtMostOnceNobodyReceivesItAgain) {
    herd_.segment().channel(1).set_slots(1);
    Member first = herd_.spawn(in_slot(0), [] {
        Channel channel = Worker::attach().value().channel("ticks").value();
        CHILD_EXPECT(channel.size().at_most_once);
        for (const char* text : {"one", "two", "three"}) {
            (void)channel.send(To::slot(0), text).value();
        }
        CHILD_EXPECT(channel.receive().value()->text() == "one");
        const auto held = channel.receive().value();
        ::_exit(held->text() == "two" ? 0 : 1);
    });
    EXPECT_EQ(herd_.reap(first), 0);
    Member second = herd_.spawn(in_slot(0), [] {
        Channel channel = Worker::attach().value().channel("ticks").value();
        CHILD_EXPECT(next(channel) == "three" && !channel.try_receive().value());
        return 0;
    });
    EXPECT_EQ(herd_.reap(second), 0);
}

TEST_F(WorkersChannelTest, AFullInboxMakesWaitRefuseOrTimeOut) {
    const Signal is_full;
    const Signal has_received;
    Member sender = herd_.spawn(in_slot(0, "mail"), [&] {
        Worker worker = Worker::attach().value();
        Channel channel = news();
        const std::vector<std::string_view> many(10, "x");
        CHILD_EXPECT(channel.try_send_all(0, many).value() == 8);
        CHILD_EXPECT(channel.try_send(To::slot(0), "x").error().code == std::errc::no_buffer_space);
        CHILD_EXPECT(channel.send_until(To::slot(0), "x", std::chrono::steady_clock::now() + 1ms)
                         .error()
                         .code == std::errc::timed_out);
        CHILD_EXPECT(channel.try_send(To::all(), "y").value() == 2);
        CHILD_EXPECT(channel.try_send(To::any(), "z").value() == 1);
        is_full.give();
        CHILD_EXPECT(channel.send(To::slot(0), "the last").value() == 1);
        has_received.wait();
        while (channel.try_send(To::slot(0), "x")) {
        }
        worker.begin_drain();
        CHILD_EXPECT(channel.send(To::slot(0), "x").error().code == std::errc::operation_canceled);
        return 0;
    });
    is_full.wait();
    Member receiver = herd_.spawn(in_slot(0), [] {
        Channel channel = news();
        for (int i = 0; i < 8; ++i) {
            CHILD_EXPECT(next(channel) == "x");
        }
        CHILD_EXPECT(next(channel) == "the last");
        return 0;
    });
    EXPECT_EQ(herd_.reap(receiver), 0);
    has_received.give();
    EXPECT_EQ(herd_.reap(sender), 0);
    EXPECT_EQ(unread(1) + unread(2), 3U);
}

TEST_F(WorkersChannelTest, WhatCannotBeIsSaidInTheOperatorsWords) {
    herd_.segment().channel(1).set_slots(0);
    Member stranger = herd_.spawn(in_slot(0, "mail"), [] {
        Worker worker = Worker::attach().value();
        Channel channel = news();
        const auto has = [](const Error& error, const std::string& text) {
            return error.message.find(text) != std::string::npos;
        };
        CHILD_EXPECT(has(channel.receive().error(), "channel news: its messages are for pool web"));
        CHILD_EXPECT(
            has(channel.receive_all(9).error(), "channel news: its messages are for pool web"));
        CHILD_EXPECT(has(channel.receive_all(0).error(), "ask for at least 1"));
        CHILD_EXPECT(has(channel.event_fd().error(), "pool web"));
        CHILD_EXPECT(has(channel.send(To::slot(3), "x").error(), "there is no web/3 now"));
        CHILD_EXPECT(has(channel.send(To::slot(4), "x").error(),
                         "web/4 has no inbox: the file says slots: 4"));
        CHILD_EXPECT(has(channel.send_all(3, std::vector<std::string_view>{"x"}).error(),
                         "there is no web/3 now"));
        CHILD_EXPECT(has(channel.send(To::slot(0), std::string(33, 'x')).error(),
                         "a message has at most 32 bytes, this one has 33"));
        CHILD_EXPECT(has(worker.channel("views").error(),
                         "channel views: the cluster's file has none of that name"));
        Channel ticks = worker.channel("ticks").value();
        CHILD_EXPECT(has(ticks.send(To::any(), "x").error(), "pool web has no slots now"));
        CHILD_EXPECT(ticks.send(To::all(), "x").value() == 0);
        return 0;
    });
    EXPECT_EQ(herd_.reap(stranger), 0);
}

TEST_F(WorkersChannelTest, AForkedChildHasNoPartInIt) {
    Member parent = herd_.spawn(in_slot(0), [] {
        Channel channel = news();
        (void)channel.send(To::slot(0), "one").value();
        (void)channel.send(To::slot(0), "two").value();
        auto held = channel.receive().value();
        auto more = channel.receive_all(9).value();
        (void)channel.event_fd().value();
        const pid_t child = ::fork();
        if (child == 0) {
            const bool is_refused =
                channel.send(To::slot(0), "x").error().code == std::errc::not_connected &&
                channel.receive().error().code == std::errc::not_connected &&
                channel.receive_all(9).error().code == std::errc::not_connected &&
                more->ack().error().code == std::errc::not_connected &&
                held->ack().error().code == std::errc::not_connected;
            held.reset();
            more.reset();
            ::_exit(is_refused ? 0 : 1);
        }
        int status = 0;
        CHILD_EXPECT(::waitpid(child, &status, 0) == child && status == 0);
        CHILD_EXPECT(held->ack().has_value() && more->ack().has_value());
        CHILD_EXPECT(!channel.try_receive().value());
        return 0;
    });
    EXPECT_EQ(herd_.reap(parent), 0);
}

TEST_F(WorkersChannelTest, TheEventDescriptorIsReadableWhileThereIsSomething) {
    const Signal waits;
    const Signal may_send;
    Member receiver = herd_.spawn(in_slot(1), [&] {
        Worker worker = Worker::attach().value();
        Channel channel = news();
        const int event = channel.event_fd().value();
        CHILD_EXPECT(channel.event_fd().value() == event);
        CHILD_EXPECT(!channel.try_receive().value() && !is_readable(event));
        constexpr int kMs = 30'000;
        waits.give();
        for (int burst = 0; burst < 50; ++burst) {
            for (int i = 0; i < 3;) {
                CHILD_EXPECT(is_readable(event, kMs));
                while (auto message = channel.try_receive().value()) {
                    CHILD_EXPECT(message->text() == std::to_string(i++) && message->ack());
                }
                // Only for who looks: nothing has come since.
                CHILD_EXPECT(i < 3 || !is_readable(event));
            }
            may_send.give();
        }
        auto again = news().receive_until(std::chrono::steady_clock::now() + 1ms);
        CHILD_EXPECT(!again.value());
        worker.begin_drain();
        CHILD_EXPECT(is_readable(event, kMs));
        CHILD_EXPECT(!channel.try_receive().value());
        return 0;
    });
    Member sender = herd_.spawn(in_slot(0, "mail"), [&] {
        Channel channel = news();
        waits.wait();
        for (int burst = 0; burst < 50; ++burst) {
            for (const char* text : {"0", "1", "2"}) {
                CHILD_EXPECT(channel.send(To::slot(1), text).has_value());
            }
            may_send.wait();
        }
        return 0;
    });
    EXPECT_EQ(herd_.reap(sender), 0);
    EXPECT_EQ(herd_.reap(receiver), 0);
}

TEST_F(WorkersChannelTest, TheEventDescriptorTellsTheSlotsNextWorkerToo) {
    const Signal has_it;
    Member victim = herd_.spawn(in_slot(0), [&] {
        Channel channel = news();
        (void)channel.send(To::slot(0), "one").value();
        const auto held = channel.receive().value();
        CHILD_EXPECT(held.has_value());
        has_it.give();
        for (;;) {
            (void)::pause();
        }
    });
    has_it.wait();
    const Signal looks;
    Member heir = herd_.spawn(in_slot(0), [&] {
        Channel channel = news();
        const int event = channel.event_fd().value();
        CHILD_EXPECT(!channel.try_receive().value() && !is_readable(event));
        looks.give();
        CHILD_EXPECT(is_readable(event, 30'000));
        CHILD_EXPECT(next(channel) == "one");
        return 0;
    });
    looks.wait();
    ASSERT_EQ(::kill(victim.pid, SIGKILL), 0);
    (void)herd_.reap(victim);
    EXPECT_EQ(herd_.reap(heir), 0);
}

TEST_F(WorkersChannelTest, ABlockIsHandedOverByItsTicket) {
    const Signal is_sent;
    const Signal is_taken;
    Member sender = herd_.spawn(in_slot(0, "mail"), [&] {
        Worker worker = Worker::attach().value();
        Block block = worker.blocks().value().allocate(4'000).value();
        block.data()[3'999] = std::byte{42};
        const BlockTicket ticket = std::move(block).pass();
        CHILD_EXPECT(news().send(To::slot(0), std::as_bytes(std::span(&ticket, 1))).has_value());
        is_sent.give();
        is_taken.wait();
        return 0;
    });
    is_sent.wait();
    Member receiver = herd_.spawn(in_slot(0), [&] {
        Worker worker = Worker::attach().value();
        Channel channel = news();
        auto message = channel.receive().value();
        BlockTicket ticket;
        CHILD_EXPECT(message->data().size() == sizeof(ticket));
        std::memcpy(&ticket, message->data().data(), sizeof(ticket));
        const Block block = worker.blocks().value().take(ticket).value();
        is_taken.give();
        CHILD_EXPECT(block.data()[3'999] == std::byte{42} && message->ack());
        return 0;
    });
    EXPECT_EQ(herd_.reap(receiver), 0);
    EXPECT_EQ(herd_.reap(sender), 0);
}

}  // namespace
}  // namespace topsman
