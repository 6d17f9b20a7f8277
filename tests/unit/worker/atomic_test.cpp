// Atomics and arrays between workers: what they read, what they wait for, and who is woken when
// one of them dies.

#include "tests/unit/worker/herd.hpp"
#include "topsman/worker.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace topsman {
namespace {

using std::chrono::steady_clock;
using test::Herd;
using test::Member;

/// Until the worker waits for the first number that was named.
void await_waiting(Herd& herd, const Member& member) {
    while (!herd.segment().objects()[0].parking.has(member.grant.lane)) {
        std::this_thread::yield();
    }
}

template <class T>
int every_operation() {
    Atomic<T> number = Worker::attach().value().template atomic<T>("number", 5).value();
    CHILD_EXPECT(number.load() == 5);
    CHILD_EXPECT(number.fetch_add(3) == 5);
    CHILD_EXPECT(number.fetch_sub(1) == 8);
    CHILD_EXPECT(number.fetch_and(6) == 7);
    CHILD_EXPECT(number.fetch_or(8) == 6);
    CHILD_EXPECT(number.fetch_xor(15) == 14);
    CHILD_EXPECT(number.exchange(40) == 1);
    T expected = 41;
    CHILD_EXPECT(!number.compare_exchange(expected, 42) && expected == 40);
    CHILD_EXPECT(number.compare_exchange(expected, 42));
    number.store(static_cast<T>(number.load() + 1));
    CHILD_EXPECT(number.load() == 43);
    number.store(T{} - T{1});
    CHILD_EXPECT(number.fetch_add(2) == static_cast<T>(-1) && number.load() == 1);
    return 0;
}

TEST(AtomicTest, EveryOperationDoesWhatStdAtomicsDoes) {
    for (int (*body)() : {every_operation<std::int32_t>, every_operation<std::uint32_t>,
                          every_operation<std::int64_t>, every_operation<std::uint64_t>,
                          every_operation<long>, every_operation<long long>}) {
        Herd herd;
        Member member = herd.spawn({}, body);
        EXPECT_EQ(herd.reap(member), 0);
    }
}

TEST(AtomicTest, WorkersChangeTheSameNumber) {
    Herd herd;
    std::vector<Member> members;
    for (int i = 0; i < 3; ++i) {
        members.push_back(herd.spawn({}, [] {
            Atomic<int> number = Worker::attach().value().atomic<int>("number", 100).value();
            for (int n = 0; n < 1'000; ++n) {
                number.fetch_add(1);
            }
            return 0;
        }));
    }
    for (Member& member : members) {
        EXPECT_EQ(herd.reap(member), 0);
    }
    Member reader = herd.spawn({}, [] {
        CHILD_EXPECT(Worker::attach().value().atomic<int>("number", 7).value().load() == 3'100);
        return 0;
    });
    EXPECT_EQ(herd.reap(reader), 0);
}

TEST(AtomicTest, AWaiterIsWokenByAnotherWorker) {
    Herd herd;
    Member waiter = herd.spawn({}, [] {
        const auto number = Worker::attach().value().atomic<std::int64_t>("number").value();
        CHILD_EXPECT(number.wait(0).value() == -3);
        CHILD_EXPECT(number.wait(7, steady_clock::time_point{}).value() == -3);
        return 0;
    });
    await_waiting(herd, waiter);
    Member notifier = herd.spawn({}, [] {
        auto number = Worker::attach().value().atomic<std::int64_t>("number").value();
        CHILD_EXPECT(number.notify_all() == 1);  // it looks again, and goes on waiting
        number.store(-3);
        (void)number.notify();
        return 0;
    });
    EXPECT_EQ(herd.reap(notifier), 0);
    EXPECT_EQ(herd.reap(waiter), 0);
}

TEST(AtomicTest, ADeadlineEndsTheWait) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        const auto number = Worker::attach().value().atomic<int>("number", 1).value();
        const auto deadline = steady_clock::now() + std::chrono::milliseconds(3);
        CHILD_EXPECT(number.wait(1, deadline).error().code == std::errc::timed_out);
        CHILD_EXPECT(steady_clock::now() >= deadline);
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(AtomicTest, WhoDiesBetweenAChangeAndItsNotifyDoesNotLeaveOthersAsleep) {
    Herd herd;
    Member waiter = herd.spawn({}, [] {
        const auto number = Worker::attach().value().atomic<int>("number").value();
        return number.wait(0).value() == 1 ? 0 : 1;
    });
    await_waiting(herd, waiter);
    Member victim = herd.spawn({}, [] {
        Worker::attach().value().atomic<int>("number").value().store(1);
        return ::kill(::getpid(), SIGKILL);
    });
    (void)herd.reap(victim);
    EXPECT_EQ(herd.reap(waiter), 0);
}

TEST(AtomicTest, WhoDiesWithTheOnlyWakeUpPassesItOn) {
    Herd herd;
    const auto wait_for_one = [] {
        auto number = Worker::attach().value().atomic<int>("number").value();
        return number.wait(0).value() == 1 ? 0 : 1;
    };
    // Its lane is asked first.
    Member victim = herd.spawn({}, wait_for_one);
    await_waiting(herd, victim);
    ASSERT_EQ(::kill(victim.pid, SIGSTOP), 0);
    Member waiter = herd.spawn({}, wait_for_one);
    await_waiting(herd, waiter);
    Member notifier = herd.spawn({}, [] {
        auto number = Worker::attach().value().atomic<int>("number").value();
        number.store(1);
        CHILD_EXPECT(number.notify(1) == 1);
        return 0;
    });
    EXPECT_EQ(herd.reap(notifier), 0);
    ASSERT_EQ(::kill(victim.pid, SIGKILL), 0);
    (void)herd.reap(victim);
    EXPECT_EQ(herd.reap(waiter), 0);
}

TEST(AtomicTest, AnArrayIsOneForAllAndItsElementsAreWaitedForOneByOne) {
    Herd herd;
    Member waiter = herd.spawn({}, [] {
        const auto row = Worker::attach().value().array<std::uint32_t>("row", 2'048).value();
        CHILD_EXPECT(row[2'047].wait(0).value() == 9);
        CHILD_EXPECT(row[7].load() == 0);
        return 0;
    });
    while (!herd.segment().arrays()[0].parking[2'047 % 8].has(waiter.grant.lane)) {
        std::this_thread::yield();
    }
    Member writer = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        const auto row = worker.array<std::uint32_t>("row", 2'048).value();
        CHILD_EXPECT(row.size() == 2'048);
        // At the same place as 2,047: looked at in vain.
        CHILD_EXPECT(row[15].notify() == 1 && row[14].notify_all() == 0);
        row[2'047].store(9);
        (void)row[2'047].notify();
        return 0;
    });
    EXPECT_EQ(herd.reap(writer), 0);
    EXPECT_EQ(herd.reap(waiter), 0);
}

TEST(AtomicTest, MistakesAreSaid) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.atomic<int>("number"));
        CHILD_EXPECT(worker.atomic<long>("number").error().message ==
                     "atomic number: it has 4 bytes, not 8");
        CHILD_EXPECT(worker.array<int>("row", 2'049).error().message ==
                     "array row: it can have 1 to 2048 elements of 4 bytes, not 2049");
        CHILD_EXPECT(!worker.array<int>("row", 0));
        CHILD_EXPECT(worker.array<int>("row", 4));
        CHILD_EXPECT(worker.array<int>("row", 5).error().message ==
                     "array row: it has 16 bytes, not 20");
        CHILD_EXPECT(worker.array<long>("row", 2).error().message ==
                     "array row: its elements have 4 bytes, not 8");
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
    Member careless = herd.spawn({}, [] {
        const auto row = Worker::attach().value().array<int>("row", 4).value();
        return row[4].load();
    });
    EXPECT_TRUE(WIFSIGNALED(herd.reap(careless)));
}

TEST(AtomicTest, AForkedChildSharesNothingAndWaitsForNothing) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        auto number = Worker::attach().value().atomic<int>("number", 3).value();
        const pid_t child = ::fork();
        if (child == 0) {
            const int own = number.load();
            number.store(own + 1);
            CHILD_EXPECT(number.notify_all() == 0);
            ::_exit(number.wait(own + 1).error().code == std::errc::not_connected ? 0 : 1);
        }
        int status = -1;
        CHILD_EXPECT(::waitpid(child, &status, 0) == child && status == 0);
        CHILD_EXPECT(number.load() == 3);
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(AtomicTest, AloneItIsForTheThreadsOfTheProcess) {
    Herd herd;
    Member member = herd.spawn({.has_segment = false}, [] {
        auto number = Worker::attach().value().atomic<int>("number").value();
        std::thread waiter([&] { (void)number.wait(0); });
        number.store(1);
        (void)number.notify_all();
        waiter.join();
        return number.load() == 1 ? 0 : 1;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

}  // namespace
}  // namespace topsman
