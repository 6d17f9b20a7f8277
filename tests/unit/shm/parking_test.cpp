#include "shm/parking.hpp"

#include "shm/sweep.hpp"
#include "shm_test_helper.hpp"

#include <array>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace topsman::shm {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kThreeWords = 130;  // of lanes

/// Things that can be taken, one wake-up for each that is put there.
struct Units {
    Parking parking;
    std::array<Lane, kThreeWords> lanes;
    std::atomic<std::uint64_t> free;
    std::atomic<std::uint64_t> taken;

    void put() {
        free.fetch_add(1);
        (void)parking.wake_one(lanes);
    }

    bool try_take() {
        std::uint64_t left = free.load();
        while (left != 0) {
            if (free.compare_exchange_weak(left, left - 1)) {
                taken.fetch_add(1);
                return true;
            }
        }
        return false;
    }

    Parked take(std::uint32_t lane, Deadline deadline = kNoDeadline) {
        return parking.park(lanes, lane, deadline, [this] { return !try_take(); });
    }
};

/// Until a thread of the lane waits there, asleep or about to be.
void await_waiting(const Parking& parking, std::uint32_t lane) {
    while (!parking.has(lane)) {
        std::this_thread::yield();
    }
}

TEST(ParkingTest, WhatIsThereIsNotWaitedFor) {
    auto& units = shared<Units>();
    units.put();
    EXPECT_EQ(units.take(1), Parked::Ready);
    EXPECT_EQ(units.taken.load(), 1U);
}

TEST(ParkingTest, ADeadlineEndsTheWaitAndLeavesNothingBehind) {
    auto& units = shared<Units>();
    for (const Deadline deadline :
         {Deadline::min(), Deadline{}, steady_clock::now() + std::chrono::milliseconds(2)}) {
        EXPECT_EQ(units.take(129, deadline), Parked::TimedOut);
        EXPECT_GE(steady_clock::now(), deadline);
        EXPECT_FALSE(units.parking.has(129));
        EXPECT_EQ(units.lanes[129].parked.load(), 0U);
    }
}

TEST(ParkingTest, AnotherProcessIsWoken) {
    auto& units = shared<Units>();
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::_exit(units.take(129) == Parked::Ready ? 0 : 1);
    }
    await_waiting(units.parking, 129);
    units.put();
    int status = -1;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(units.taken.load(), 1U);
}

/// Whoever is never served by looking looks once before it enters, and more often now and then.
TEST(ParkingTest, WhoHasLookedInVainForLongLooksLessAndTriesAgain) {
    if (std::thread::hardware_concurrency() == 1) {
        GTEST_SKIP() << "with one CPU there is one look anyway";
    }
    auto& units = shared<Units>();
    const auto looks_in_vain = [&units] {
        std::uint32_t looks = 0;
        EXPECT_EQ(units.parking.park(units.lanes, 1, Deadline{}, [&] { return ++looks != 0; }),
                  Parked::TimedOut);
        return looks;
    };
    std::thread newcomer([&] {
        const std::uint32_t at_first = looks_in_vain();
        for (int i = 0; i < 100; ++i) {
            (void)looks_in_vain();
        }
        std::uint32_t most = 0;
        std::uint32_t all = 0;
        for (int i = 0; i < 100; ++i) {
            const std::uint32_t looks = looks_in_vain();
            most = std::max(most, looks);
            all += looks;
        }
        EXPECT_LT(all, 100 * at_first / 2);
        EXPECT_GT(most, at_first) << "it never tries again";
        EXPECT_EQ(units.parking.park(units.lanes, 1, kNoDeadline, [] { return false; }),
                  Parked::Ready);
        EXPECT_GE(looks_in_vain(), at_first) << "looking has paid off";
    });
    newcomer.join();
}

// In this mode of seccomp(2) any other system call than read, write and exit is death.
TEST(ParkingTest, NoSystemCallWhenNobodyWaitsAndNothingIsWaitedFor) {
    auto& units = shared<Units>();
    const int status = in_child([&] {
        (void)units.parking.park(units.lanes, 1, kNoDeadline, [] { return false; });
        (void)::prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
        for (int i = 0; i < 100; ++i) {
            units.put();
            (void)units.take(1);
            (void)units.parking.wake_all(units.lanes);
        }
        wake_everyone(units.lanes);
        (void)::syscall(SYS_exit, 7);
    });
    ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(ParkingTest, TheWaitingTakeTurnsAndLanesThatThereAreNotAreIgnored) {
    auto& units = shared<Units>();
    std::memset(static_cast<void*>(&units.parking), 0xff, sizeof(Parking));
    for (std::size_t i = 0; i < kThreeWords; ++i) {
        EXPECT_TRUE(units.parking.wake_one(units.lanes));
    }
    for (const Lane& lane : units.lanes) {
        EXPECT_EQ(lane.wake.load(), 1U);
    }
    EXPECT_FALSE(units.parking.wake_one(units.lanes));
}

TEST(ParkingTest, AWakeUpThatADeadWaiterTookAlongIsMadeUpForByTheSweep) {
    const TestName name;
    auto segment = Segment::create(name.options(4)).value();
    auto& units = shared<Units>();
    const std::span<Lane> lanes = segment.lanes();
    const auto wait_in = [&](std::uint32_t lane) {
        return units.parking.park(lanes, lane, kNoDeadline, [&] { return !units.try_take(); });
    };
    const LaneGrant dead = grant_lane(segment, 1, 0).value();
    const LaneGrant alive = grant_lane(segment, 2, 0).value();
    ASSERT_LT(dead.lane, alive.lane);
    const pid_t victim = ::fork();
    if (victim == 0) {
        (void)wait_in(dead.lane);
        ::_exit(1);
    }
    await_waiting(units.parking, dead.lane);
    ASSERT_EQ(::kill(victim, SIGKILL), 0);
    ASSERT_EQ(::waitpid(victim, nullptr, 0), victim);
    const pid_t waiter = ::fork();
    if (waiter == 0) {
        ::_exit(wait_in(alive.lane) == Parked::Ready ? 0 : 1);
    }
    await_waiting(units.parking, alive.lane);

    // Somebody's wake-up for one goes to the dead.
    units.free.store(1);
    std::thread([&] { EXPECT_TRUE(units.parking.wake_one(lanes)); }).join();
    EXPECT_EQ(lanes[dead.lane].wake.load(), 1U);
    EXPECT_EQ(lanes[alive.lane].wake.load(), 0U);

    units.parking.forget(dead.lane);
    sweep_lane(segment, dead.lane, dead.generation);
    int status = -1;
    ASSERT_EQ(::waitpid(waiter, &status, 0), waiter);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(units.taken.load(), 1U);
}

TEST(ParkingTest, ANewMasterWakesEveryone) {
    const TestName name;
    auto segment = Segment::create(name.options(4)).value();
    auto& units = shared<Units>();
    const LaneGrant grant = grant_lane(segment, 1, 0).value();
    const pid_t waiter = ::fork();
    if (waiter == 0) {
        (void)claim_lane(segment.lanes()[grant.lane], grant.generation, segment.epoch(), 1);
        (void)units.parking.park(segment.lanes(), grant.lane, kNoDeadline,
                                 [&] { return !units.try_take(); });
        ::_exit(0);
    }
    await_waiting(units.parking, grant.lane);
    units.free.store(1);  // by a process that died before it said so
    EXPECT_EQ(sweep_dead_lanes(segment, [](std::uint32_t, std::uint64_t) { return true; }).size(),
              1U);
    int status = -1;
    ASSERT_EQ(::waitpid(waiter, &status, 0), waiter);
    EXPECT_EQ(status, 0);
}

/// Threads of `waiters` lanes take what others put; some come and go with a deadline. A wake-up
/// that is lost is a test that does not end.
void expect_all_taken(Units& units, std::uint32_t lanes, std::uint32_t threads_of_a_lane,
                      std::uint64_t count) {
    std::atomic<bool> is_over{false};
    std::vector<std::thread> takers;
    for (std::uint32_t i = 0; i < lanes * threads_of_a_lane; ++i) {
        takers.emplace_back([&, i] {
            const std::uint32_t lane = 1 + (i % lanes) * 60;
            const bool is_hasty = i % 3 == 0;
            while (!is_over.load()) {
                (void)units.parking.park(
                    units.lanes, lane,
                    is_hasty ? steady_clock::now() + std::chrono::microseconds(20) : kNoDeadline,
                    [&] { return !is_over.load() && !units.try_take(); });
            }
        });
    }
    for (std::uint64_t i = 0; i < count; ++i) {
        units.put();
        // One at a time and in bursts: to those that sleep, and to those that are about to.
        while (i % 7 == 0 && units.taken.load() <= i) {
            std::this_thread::yield();
        }
    }
    while (units.taken.load() < count) {
        std::this_thread::yield();
    }
    is_over.store(true);
    (void)units.parking.wake_all(units.lanes);
    for (std::thread& taker : takers) {
        taker.join();
    }
    EXPECT_EQ(units.taken.load(), count);
    EXPECT_EQ(units.free.load(), 0U);
    for (const Lane& lane : units.lanes) {
        EXPECT_EQ(lane.parked.load(), 0U);
    }
}

TEST(ParkingThreadsTest, NoWakeUpIsLost) {
    expect_all_taken(shared<Units>(), 3, 1, 20'000);
}

TEST(ParkingThreadsTest, NoWakeUpIsLostAmongThreadsOfOneLane) {
    expect_all_taken(shared<Units>(), 2, 3, 10'000);
}

}  // namespace
}  // namespace topsman::shm
