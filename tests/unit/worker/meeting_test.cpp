// Events and barriers between workers, some of which die on the way.

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

void wait_until_parked(Herd& herd, const Member& member) {
    while (herd.segment().lanes()[member.grant.lane].parked.load() == 0) {
        std::this_thread::yield();
    }
}

TEST(EventTest, AllWhoWaitGoOnWhenOneWorkerSetsIt) {
    Herd herd;
    std::vector<Member> waiters;
    for (int i = 0; i < 3; ++i) {
        waiters.push_back(herd.spawn({}, [] {
            Worker worker = Worker::attach().value();
            Event warm = worker.event("warm", EventReset::Manual).value();
            CHILD_EXPECT(warm.wait());
            return 0;
        }));
    }
    for (const Member& waiter : waiters) {
        wait_until_parked(herd, waiter);
    }
    Member setter = herd.spawn({}, [] {
        Event warm = Worker::attach().value().event("warm", EventReset::Manual).value();
        CHILD_EXPECT(!warm.is_set());
        CHILD_EXPECT(warm.try_wait().error().code == std::errc::device_or_resource_busy);
        CHILD_EXPECT(warm.wait_until(steady_clock::now()).error().code == std::errc::timed_out);
        warm.set();
        CHILD_EXPECT(warm.try_wait() && warm.wait());
        return 0;
    });
    for (Member& waiter : waiters) {
        EXPECT_EQ(herd.reap(waiter), 0);
    }
    EXPECT_EQ(herd.reap(setter), 0);
}

TEST(EventTest, OneThatIsOfTheOtherKindIsRefused) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        Event next = worker.event("next", EventReset::Auto).value();
        CHILD_EXPECT(next.kind() == EventReset::Auto);
        CHILD_EXPECT(worker.event("next", EventReset::Manual).error().message ==
                     "event next: it is automatic, not manual");
        next.set();
        CHILD_EXPECT(next.try_wait() && !next.try_wait());
        next.set();
        next.reset();
        CHILD_EXPECT(!next.is_set());
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(BarrierTest, TheReplacementOfADeadOneArrivesInItsPlace) {
    Herd herd;
    const auto arrive = [] {
        Barrier start = Worker::attach().value().barrier("start", 2).value();
        CHILD_EXPECT(start.parties() == 2);
        CHILD_EXPECT(start.arrive());
        return 0;
    };
    Member victim = herd.spawn({}, arrive);
    wait_until_parked(herd, victim);
    ASSERT_EQ(::kill(victim.pid, SIGKILL), 0);
    (void)herd.reap(victim);
    Member first = herd.spawn({}, arrive);
    wait_until_parked(herd, first);  // it would have gone on with the dead one
    Member second = herd.spawn({}, arrive);
    EXPECT_EQ(herd.reap(first), 0);
    EXPECT_EQ(herd.reap(second), 0);
}

TEST(BarrierTest, OneOfThemIsTheLastAndWhoIsTooEarlyIsTold) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        Barrier start = worker.barrier("start", 2).value();
        const auto alone = start.arrive_until(steady_clock::now());
        CHILD_EXPECT(!alone && alone.error().code == std::errc::timed_out);
        CHILD_EXPECT(start.arrived() == 0);
        bool is_other_last = false;
        std::thread other([&] { is_other_last = start.arrive().value(); });
        const bool is_last = start.arrive().value();
        other.join();
        CHILD_EXPECT(is_last != is_other_last);
        CHILD_EXPECT(worker.barrier("start", 3).error().message ==
                     "barrier start: it has 2 parties, not 3");
        CHILD_EXPECT(worker.barrier("huge", 65).error().message ==
                     "barrier huge: it can have 1 to 64 parties, not 65");
        CHILD_EXPECT(!worker.barrier("none", 0));
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(MeetingTest, AForkedChildMeetsNobody) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        Event warm = worker.event("warm", EventReset::Manual).value();
        Barrier start = worker.barrier("start", 2).value();
        const pid_t child = ::fork();
        if (child == 0) {
            warm.set();
            const bool is_refused = warm.wait().error().code == std::errc::not_connected &&
                                    warm.try_wait().error().code == std::errc::not_connected &&
                                    start.arrive().error().code == std::errc::not_connected;
            ::_exit(is_refused ? 0 : 1);
        }
        int status = -1;
        (void)::waitpid(child, &status, 0);
        CHILD_EXPECT(status == 0 && !warm.is_set());
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

}  // namespace
}  // namespace topsman
