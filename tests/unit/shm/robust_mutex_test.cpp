#include "shm/robust_mutex.hpp"

#include "shm_test_helper.hpp"

#include <csignal>
#include <memory>
#include <thread>

namespace topsman::shm {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr Owner kVictim{2, 7};

RobustMutex& new_mutex() {
    auto& mutex = shared<RobustMutex>();
    mutex.init();
    return mutex;
}

/// A mutex whose holder was killed.
RobustMutex& orphaned_mutex() {
    auto& mutex = new_mutex();
    Victim victim([&mutex] { ASSERT_EQ(mutex.lock(kVictim), LockResult::Locked); });
    EXPECT_EQ(mutex.try_lock(kMe), LockResult::Busy);
    EXPECT_EQ(mutex.owner(), kVictim);
    victim.kill();
    return mutex;
}

TEST(RobustMutexTest, LocksAndShowsItsOwner) {
    auto& mutex = new_mutex();
    EXPECT_EQ(mutex.owner(), Owner{});
    ASSERT_EQ(mutex.lock(kMe), LockResult::Locked);
    EXPECT_EQ(mutex.owner(), kMe);
    mutex.unlock();
    EXPECT_EQ(mutex.owner(), Owner{});
    EXPECT_EQ(mutex.try_lock(kMe), LockResult::Locked);
    mutex.unlock();
}

TEST(RobustMutexTest, ItsOwnThreadIsRefusedInsteadOfHanging) {
    auto& mutex = new_mutex();
    ASSERT_EQ(mutex.lock(kMe), LockResult::Locked);
    EXPECT_EQ(mutex.lock(kMe), LockResult::Busy);
    EXPECT_EQ(mutex.try_lock(kMe), LockResult::Busy);
    mutex.unlock();
}

TEST(RobustMutexTest, ADeadlineEndsTheWait) {
    auto& mutex = new_mutex();
    Victim holder([&mutex] { ASSERT_EQ(mutex.lock(kVictim), LockResult::Locked); });
    EXPECT_EQ(mutex.lock_until(kMe, steady_clock::now() + std::chrono::milliseconds(1)),
              LockResult::Busy);
    EXPECT_EQ(mutex.lock_until(kMe, steady_clock::now() - seconds(1)), LockResult::Busy);
}

TEST(RobustMutexTest, WhoWaitsAndSinceWhenItIsHeldCanBeSeen) {
    auto& mutex = new_mutex();
    EXPECT_EQ(mutex.held_since_ns(), 0);
    const auto holder = std::make_unique<Victim>([&mutex] {
        ASSERT_EQ(mutex.lock({3, 1}), LockResult::Locked);
    });
    EXPECT_GT(mutex.held_since_ns(), 0);
    EXPECT_LE(mutex.held_since_ns(), steady_clock::now().time_since_epoch().count());
    EXPECT_FALSE(mutex.is_waited_for_by(kMe.lane));
    std::thread waiter([&mutex] {
        EXPECT_EQ(mutex.lock(kMe), LockResult::OwnerDied);
        mutex.repaired();
        mutex.unlock();
    });
    while (!mutex.is_waited_for_by(kMe.lane)) {
        std::this_thread::yield();
    }
    holder->kill();
    waiter.join();
    EXPECT_FALSE(mutex.is_waited_for_by(kMe.lane));
}

TEST(RobustMutexTest, EachEntryLearnsOfTheOwnersDeath) {
    const auto lock = [](RobustMutex& m) { return m.lock(kMe); };
    const auto try_lock = [](RobustMutex& m) { return m.try_lock(kMe); };
    const auto lock_until = [](RobustMutex& m) {
        return m.lock_until(kMe, steady_clock::now() + seconds(30));
    };
    for (const auto& enter :
         {std::function<LockResult(RobustMutex&)>(lock), {try_lock}, {lock_until}}) {
        auto& mutex = orphaned_mutex();
        ASSERT_EQ(enter(mutex), LockResult::OwnerDied);
        EXPECT_EQ(mutex.owner_deaths(), 1U);
        EXPECT_EQ(mutex.owner(), kMe);
        mutex.repaired();
        mutex.unlock();
        ASSERT_EQ(enter(mutex), LockResult::Locked);
        mutex.unlock();
        EXPECT_FALSE(mutex.is_poisoned());
    }
}

TEST(RobustMutexTest, WhoWaitsWhenTheOwnerDiesGetsTheLock) {
    auto& mutex = new_mutex();
    auto& is_waiting = shared<std::atomic<bool>>();
    Victim victim([&mutex] { ASSERT_EQ(mutex.lock(kVictim), LockResult::Locked); });
    std::thread killer([&] {
        while (!is_waiting.load()) {
            std::this_thread::yield();
        }
        victim.kill();
    });
    is_waiting.store(true);
    EXPECT_EQ(mutex.lock_until(kMe, steady_clock::now() + seconds(30)), LockResult::OwnerDied);
    mutex.repaired();
    mutex.unlock();
    killer.join();
}

TEST(RobustMutexTest, WhoDiesRepairingLeavesTheQuestionToTheNext) {
    auto& mutex = orphaned_mutex();
    Victim second([&mutex] { ASSERT_EQ(mutex.lock(Owner{3, 1}), LockResult::OwnerDied); });
    second.kill();
    ASSERT_EQ(mutex.lock(kMe), LockResult::OwnerDied);
    EXPECT_EQ(mutex.owner_deaths(), 2U);
    mutex.repaired();
    mutex.unlock();
    EXPECT_EQ(mutex.lock(kMe), LockResult::Locked);
    mutex.unlock();
}

TEST(RobustMutexTest, WhatCannotBeRepairedIsPoisonedForEverybody) {
    auto& mutex = orphaned_mutex();
    ASSERT_EQ(mutex.lock(kMe), LockResult::OwnerDied);
    mutex.poison();
    EXPECT_TRUE(mutex.is_poisoned());
    EXPECT_EQ(mutex.owner(), Owner{});
    EXPECT_EQ(mutex.lock(kMe), LockResult::Poisoned);
    EXPECT_EQ(mutex.try_lock(kMe), LockResult::Poisoned);
    EXPECT_EQ(mutex.lock_until(kMe, steady_clock::now() + seconds(30)), LockResult::Poisoned);
}

TEST(RobustMutexTest, UnlockingWithoutAnAnswerPoisons) {
    auto& mutex = orphaned_mutex();
    ASSERT_EQ(mutex.lock(kMe), LockResult::OwnerDied);
    mutex.unlock();
    EXPECT_TRUE(mutex.is_poisoned());
    EXPECT_EQ(mutex.lock(kMe), LockResult::Poisoned);
}

TEST(RobustMutexTest, TheChildOfAForkDoesNotHoldItsParentsLock) {
    auto& mutex = new_mutex();
    ASSERT_EQ(mutex.lock(kMe), LockResult::Locked);
    EXPECT_EQ(in_child([&mutex] {
                  EXPECT_EQ(mutex.try_lock(kVictim), LockResult::Busy);
                  mutex.unlock();
                  EXPECT_EQ(mutex.try_lock(kVictim), LockResult::Busy);
              }),
              0);
    EXPECT_EQ(mutex.try_lock(kMe), LockResult::Busy);
    mutex.unlock();
}

TEST(RobustMutexTest, TheDeadAreForgottenAndOnlyThey) {
    auto& mutex = orphaned_mutex();
    mutex.forget(Owner{2, 6});
    EXPECT_EQ(mutex.owner(), kVictim);
    mutex.forget(kVictim);
    EXPECT_EQ(mutex.owner(), Owner{});
    EXPECT_EQ(mutex.lock(kMe), LockResult::OwnerDied) << "the kernel's answer is not the hint's";
    mutex.repaired();
    mutex.unlock();
}

TEST(RobustMutexThreadsTest, OnlyOneThreadIsInside) {
    auto& mutex = new_mutex();
    std::uint64_t counter = 0;
    std::vector<std::thread> threads;
    for (std::uint32_t i = 1; i <= 4; ++i) {
        threads.emplace_back([&, i] {
            for (int n = 0; n < 5'000; ++n) {
                ASSERT_EQ(mutex.lock(Owner{i, 1}), LockResult::Locked);
                ++counter;
                mutex.unlock();
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(counter, 20'000U);
}

}  // namespace
}  // namespace topsman::shm
