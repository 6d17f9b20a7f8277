// Semaphores, bounded counters and rate limits between workers, and what a death gives back.

#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"
#include "tests/unit/worker/herd.hpp"
#include "topsman/worker.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace topsman {
namespace {

using std::chrono::steady_clock;
using test::Herd;
using test::Member;
using test::Signal;

Member spawn_holder(Herd& herd, const Signal& held) {
    return herd.spawn({}, [&held] {
        Semaphore db = Worker::attach().value().semaphore("db", 2).value();
        const Semaphore::Permit first = db.acquire().value();
        const Semaphore::Permit second = db.acquire().value();
        held.give();
        (void)::pause();
        return 0;
    });
}

TEST(LimitsTest, PermitsOfTheDeadComeBackToThoseWhoWait) {
    Herd herd;
    const Signal held;
    Member holder = spawn_holder(herd, held);
    held.wait();
    const Signal in_vain;
    Member waiter = herd.spawn({}, [&in_vain] {
        Semaphore db = Worker::attach().value().semaphore("db").value();
        CHILD_EXPECT(db.permits() == 2 && db.taken() == 2);
        CHILD_EXPECT(db.try_acquire().error().code == std::errc::device_or_resource_busy);
        CHILD_EXPECT(db.acquire_until(steady_clock::now()).error().code == std::errc::timed_out);
        in_vain.give();
        const auto permit = db.acquire();  // until the holder is dead and swept
        CHILD_EXPECT(permit && db.taken() == 1);
        return 0;
    });
    in_vain.wait();
    while (herd.segment().lanes()[waiter.grant.lane].parked.load() == 0) {
        std::this_thread::yield();
    }
    ASSERT_EQ(::kill(holder.pid, SIGKILL), 0);
    (void)herd.reap(holder);
    EXPECT_EQ(herd.reap(waiter), 0);
}

TEST(LimitsTest, APermitIsGivenBackOnceAndByItsHolderAlone) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Semaphore db = Worker::attach().value().semaphore("db", 3).value();
        Semaphore::Permit first = db.acquire().value();
        {
            Semaphore::Permit second = db.acquire().value();
            CHILD_EXPECT(db.taken() == 2);
            first = std::move(second);
        }
        CHILD_EXPECT(db.taken() == 1);
        const pid_t child = ::fork();
        if (child == 0) {
            CHILD_EXPECT(db.acquire().error().code == std::errc::not_connected);
            first.release();
            ::_exit(0);
        }
        int status = -1;
        CHILD_EXPECT(::waitpid(child, &status, 0) == child && status == 0);
        CHILD_EXPECT(db.taken() == 1);
        first.release();
        first.release();
        CHILD_EXPECT(db.taken() == 0);
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(LimitsTest, ABoundedCounterIsOneForAllAndKeepsWhatTheDeadAdded) {
    Herd herd;
    Member seller = herd.spawn({}, [] {
        BoundedCounter sold = Worker::attach().value().bounded_counter("sold", 10).value();
        CHILD_EXPECT(sold.try_add(9) && !sold.try_add(2));
        return ::kill(::getpid(), SIGKILL);
    });
    EXPECT_TRUE(WIFSIGNALED(herd.reap(seller)));
    Member other = herd.spawn({}, [] {
        BoundedCounter sold = Worker::attach().value().bounded_counter("sold", 10).value();
        CHILD_EXPECT(sold.value() == 9 && sold.limit() == 10);
        CHILD_EXPECT(sold.add_until(steady_clock::now(), 2).error().code == std::errc::timed_out);
        std::thread maker([&] { (void)sold.subtract(5); });
        CHILD_EXPECT(sold.add_until(steady_clock::time_point::max(), 6));
        maker.join();
        CHILD_EXPECT(sold.value() == 10 && !sold.subtract(11));
        return 0;
    });
    EXPECT_EQ(herd.reap(other), 0);
}

TEST(LimitsTest, ARateIsOneForAll) {
    Herd herd;
    for (int i = 0; i < 2; ++i) {
        Member member = herd.spawn({}, [i] {
            RateLimiter api =
                Worker::attach().value().rate_limiter("api", std::chrono::hours(1), 2).value();
            CHILD_EXPECT(api.burst() == 2 && api.interval() == std::chrono::hours(1));
            CHILD_EXPECT(api.allow() && (i == 0 || !api.allow()));
            CHILD_EXPECT(!api.allow(3));
            CHILD_EXPECT(api.delay_until(3) == steady_clock::time_point::max());
            const auto next = api.delay_until();
            const auto now = steady_clock::now();
            CHILD_EXPECT(i == 0 ? next <= now : next > now + std::chrono::minutes(59));
            return 0;
        });
        EXPECT_EQ(herd.reap(member), 0);
    }
}

TEST(LimitsTest, WhatTheFileDeclaresNeedsNoNumbers) {
    Herd herd;
    shm::Segment& segment = herd.segment();
    const auto db =
        segment.array_names().find_or_add("db", shm::NameKind::Semaphore, 0, {}, nullptr);
    shm::Semaphore(segment.arrays()[db.value()]).init(20);
    const auto api =
        segment.object_names().find_or_add("api", shm::NameKind::RateLimit, 0, {}, nullptr);
    shm::RateLimit(segment.objects()[api.value()]).init({.interval_ns = 1'000'000, .burst = 200});
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.semaphore("db").value().permits() == 20);
        CHILD_EXPECT(worker.rate_limiter("api").value().burst() == 200);
        CHILD_EXPECT(worker.semaphore("disk").error().message ==
                     "semaphore disk: declare it under shared.semaphores, or give its numbers "
                     "here");
        CHILD_EXPECT(!worker.rate_limiter("mail"));
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(LimitsTest, MistakesAreSaid) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.semaphore("db", 2));
        CHILD_EXPECT(worker.semaphore("db", 3).error().message ==
                     "semaphore db: it has 2 permits, not 3");
        CHILD_EXPECT(worker.semaphore("all", 1'024).error().message ==
                     "semaphore all: it can have 1 to 1023 permits, not 1024");
        CHILD_EXPECT(worker.bounded_counter("sold", 5));
        CHILD_EXPECT(worker.bounded_counter("sold", 6).error().message ==
                     "bounded counter sold: its limit is 5, not 6");
        CHILD_EXPECT(worker.atomic<int>("sold").error().message ==
                     "atomic sold: the name is taken by a bounded counter");
        CHILD_EXPECT(!worker.rate_limiter("api", std::chrono::nanoseconds(999), 1));
        CHILD_EXPECT(!worker.rate_limiter("api", std::chrono::seconds(1), 0));
        CHILD_EXPECT(worker.rate_limiter("api", std::chrono::seconds(1), 1));
        CHILD_EXPECT(!worker.rate_limiter("api", std::chrono::seconds(2), 1));
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

}  // namespace
}  // namespace topsman
