// Spares of programs that use the library: where they wait, for how long, and what they know.

#include "shm/parking.hpp"
#include "tests/unit/worker/herd.hpp"
#include "topsman/acceptor.hpp"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <csignal>
#include <functional>

namespace topsman {
namespace {

using test::Herd;
using test::Member;
using test::Signal;

test::MemberSetup as_spare() {
    test::MemberSetup setup;
    setup.is_spare = true;
    return setup;
}

bool is_parked(Herd& herd, const Member& member) {
    return (herd.segment().lanes()[member.grant.lane].flags.load() & shm::kLaneParked) != 0;
}

TEST(Spare, WaitsInReadyAndLearnsItsSlotThere) {
    Herd herd;
    Signal seated;
    Member spare = herd.spawn(as_spare(), [&] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.is_spare());
        CHILD_EXPECT(worker.slot() == UINT32_MAX);
        CHILD_EXPECT(worker.name() == "web/spare");
        CHILD_EXPECT(worker.ready());
        CHILD_EXPECT(!worker.is_spare());
        CHILD_EXPECT(worker.slot() == 7);
        CHILD_EXPECT(worker.name() == "web/7");
        seated.give();
        return 0;
    });
    EXPECT_EQ(Herd::next_message(spare), "READY=1");
    EXPECT_TRUE(is_parked(herd, spare)) << "whoever hears it finds it so";
    shm::wake_everyone(herd.segment().lanes());  // as any sweep does: that is no seat
    EXPECT_TRUE(is_parked(herd, spare));
    shm::release_spare(herd.segment(), spare.grant.lane, 7);
    seated.wait();
    EXPECT_FALSE(is_parked(herd, spare));
    EXPECT_EQ(Herd::next_message(spare), "READY=1");
    EXPECT_EQ(herd.reap(spare), 0);
}

TEST(Spare, TheStopSignalEndsTheWait) {
    Herd herd;
    Member spare = herd.spawn(as_spare(), [] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.ready());
        CHILD_EXPECT(worker.draining());
        CHILD_EXPECT(worker.is_spare());
        return 0;
    });
    EXPECT_EQ(Herd::next_message(spare), "READY=1");
    ASSERT_EQ(::kill(spare.pid, SIGTERM), 0);
    EXPECT_EQ(herd.reap(spare), 0);
}

TEST(Spare, OneThatIsToLeaveGoesOnWithoutASlot) {
    Herd herd;
    Member spare = herd.spawn(as_spare(), [] {
        // Its own loop handles the signal, and has to run for that.
        Worker worker = Worker::attach({.handle_stop_signal = false}).value();
        CHILD_EXPECT(worker.ready());
        CHILD_EXPECT(!worker.draining());
        CHILD_EXPECT(worker.is_spare());
        return 0;
    });
    EXPECT_EQ(Herd::next_message(spare), "READY=1");
    shm::release_spare(herd.segment(), spare.grant.lane, kNoSlot);
    EXPECT_EQ(herd.reap(spare), 0);
}

TEST(Spare, OneThatIsReleasedBeforeItWaitsDoesNot) {
    Herd herd;
    Signal released;
    Member spare = herd.spawn(as_spare(), [&] {
        Worker worker = Worker::attach().value();
        released.wait();
        CHILD_EXPECT(worker.ready());
        CHILD_EXPECT(worker.slot() == 0);
        return 0;
    });
    shm::release_spare(herd.segment(), spare.grant.lane, 0);
    released.give();
    EXPECT_EQ(herd.reap(spare), 0);
}

TEST(Spare, TakesNoConnectionBeforeItHasASeat) {
    Herd herd;
    std::uint16_t port = 0;
    const UniqueFd listener = test::listen_somewhere(port);
    test::MemberSetup setup = as_spare();
    setup.listeners = {{"http", listener.get()}};
    Member spare = herd.spawn(setup, [] {
        boost::asio::io_context loop;
        Worker worker = Worker::attach().value();
        auto acceptor = Acceptor::open(loop, worker, "http").value();
        acceptor.start([](UniqueFd) {});
        CHILD_EXPECT(worker.slot() == 3);
        return 0;
    });
    EXPECT_EQ(Herd::next_message(spare), "READY=1");
    EXPECT_TRUE(is_parked(herd, spare));
    shm::release_spare(herd.segment(), spare.grant.lane, 3);
    EXPECT_EQ(herd.reap(spare), 0);
}

TEST(Spare, ReceivesTheMessagesOfItsSlot) {
    Herd herd;
    herd.segment().channel(0).set_slots(3);
    Member spare = herd.spawn(as_spare(), [] {
        Worker worker = Worker::attach().value();
        Channel news = worker.channel("news").value();
        CHILD_EXPECT(worker.slot() == 2);
        CHILD_EXPECT(news.send(To::slot(2), "hello"));
        const auto message = news.receive();
        CHILD_EXPECT(message && *message && (*message)->text() == "hello");
        return 0;
    });
    EXPECT_EQ(Herd::next_message(spare), "READY=1");
    shm::release_spare(herd.segment(), spare.grant.lane, 2);
    EXPECT_EQ(herd.reap(spare), 0);
}

TEST(Spare, AWorkerThatHasASlotNeverWaits) {
    Herd herd;
    Member worker_of_a_slot = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(!worker.is_spare());
        CHILD_EXPECT(worker.ready());
        return 0;
    });
    shm::release_spare(herd.segment(), worker_of_a_slot.grant.lane, 9);  // means nothing to it
    EXPECT_EQ(herd.reap(worker_of_a_slot), 0);
}

TEST(Spare, TheLanesNextHolderIsNone) {
    Herd herd;
    Member spare = herd.spawn(as_spare(), [] { return 0; });
    const std::uint32_t lane = spare.grant.lane;
    EXPECT_EQ(herd.reap(spare), 0);
    Member next = herd.spawn({}, [] { return Worker::attach().value().is_spare() ? 1 : 0; });
    EXPECT_EQ(next.grant.lane, lane);
    EXPECT_EQ(herd.reap(next), 0);
}

}  // namespace
}  // namespace topsman
