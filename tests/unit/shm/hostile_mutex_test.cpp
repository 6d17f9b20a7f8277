// A worker that has gone wild writes over mutexes. glibc believes what it finds in one: it aborts
// when it takes it for another type, and waits for ever for a holder that there is not. So whatever
// lies there, who locks it comes back, and knows that it has it or why not.

#include "shm/robust_mutex.hpp"
#include "shm_test_helper.hpp"

#include <climits>
#include <cstring>
#include <linux/futex.h>
#include <random>
#include <unistd.h>

namespace topsman::shm {
namespace {

using std::chrono::steady_clock;

/// No thread has an id of so many bits.
constexpr std::uint32_t kNobodysId = 0x0040'0000;
constexpr int kGivenUp = INT_MAX - 1;  // glibc's PTHREAD_MUTEX_NOTRECOVERABLE
constexpr unsigned kMostSeconds = 20;

pthread_mutex_t& words_of(RobustMutex& mutex) {
    return reinterpret_cast<pthread_mutex_t&>(mutex);
}

RobustMutex& made_mutex() {
    auto& mutex = shared<RobustMutex>();
    mutex.init();
    return mutex;
}

/// In a process of its own, which neither aborts nor hangs.
void expect_to_come_back(const std::function<void()>& body) {
    EXPECT_EQ(in_child([&body] {
                  ::alarm(kMostSeconds);
                  body();
              }),
              0);
}

/// Locked in every way, and given back: as whoever has it does.
void use(RobustMutex& mutex) {
    for (int way = 0; way < 6; ++way) {
        LockResult result = LockResult::Busy;
        switch (way % 3) {
            case 0:
                result = mutex.try_lock(kMe);
                break;
            case 1:
                result = mutex.lock_until(kMe, steady_clock::now());
                break;
            default:
                result = mutex.lock(kMe);
                break;
        }
        if (result == LockResult::OwnerDied && way % 2 == 0) {
            mutex.repaired();
        }
        if (result == LockResult::Locked || result == LockResult::OwnerDied) {
            mutex.unlock();
        } else if (result == LockResult::Poisoned) {
            EXPECT_TRUE(mutex.is_poisoned());
        }
    }
}

/// A lock word names no living thread: that one's lock could not be told from it.
void name_nobody(RobustMutex& mutex) {
    int& lock = words_of(mutex).__data.__lock;
    if (lock != 0) {
        lock |= static_cast<int>(kNobodysId);
    }
}

/// All of it is random; or pthread's part, with a kind that there may be; or one word; or all but
/// the kind.
void overwrite(RobustMutex& mutex, std::mt19937& random, unsigned way) {
    const int kind = words_of(mutex).__data.__kind;
    std::uint32_t bytes[sizeof(RobustMutex) / sizeof(std::uint32_t)];
    constexpr std::size_t kPthreads = sizeof(pthread_mutex_t) / sizeof(std::uint32_t);
    std::memcpy(bytes, static_cast<const void*>(&mutex), sizeof(mutex));
    const std::size_t words = way == 0 ? std::size(bytes) : kPthreads;
    for (std::size_t i = 0; i < words; ++i) {
        const bool changes = way != 2 || random() % words == 0;
        bytes[i] = changes ? static_cast<std::uint32_t>(random()) : bytes[i];
    }
    std::memcpy(static_cast<void*>(&mutex), bytes, sizeof(mutex));
    if (way == 1) {
        words_of(mutex).__data.__kind = static_cast<int>(random() % 512);
    } else if (way == 3) {
        words_of(mutex).__data.__kind = kind;
        words_of(mutex).__data.__lock *= static_cast<int>(random() % 2);
    }
    name_nobody(mutex);
}

TEST(HostileMutexTest, WhoeverLocksGarbageComesBackAndKeepsItsOtherLocks) {
    auto& mutex = made_mutex();
    auto& good = made_mutex();
    expect_to_come_back([&] {
        ASSERT_EQ(good.lock(kMe), LockResult::Locked);
        std::mt19937 random(17);
        for (unsigned round = 0; round < 4'000; ++round) {
            mutex.init();
            overwrite(mutex, random, round % 4);
            use(mutex);
        }
        // Its list of locks, by which the kernel finds what it has when it dies, is as it was.
    });
    EXPECT_EQ(good.lock(kOther), LockResult::OwnerDied);
    good.repaired();
    good.unlock();
}

TEST(HostileMutexTest, AnotherKindOfMutexIsRefusedForGoodAndShown) {
    auto& mutex = made_mutex();
    expect_to_come_back([&] {
        const int ours = words_of(mutex).__data.__kind;
        for (int kind = 0; kind < 512; ++kind) {
            mutex.init();
            words_of(mutex).__data.__kind = kind;
            const LockResult expected = kind == ours ? LockResult::Locked : LockResult::Poisoned;
            ASSERT_EQ(mutex.lock(kMe), expected) << kind;
            EXPECT_EQ(mutex.is_overwritten(), kind != ours) << kind;
            if (kind == ours) {
                mutex.unlock();
            }
            words_of(mutex).__data.__kind = ours;
            EXPECT_EQ(mutex.try_lock(kMe), expected) << kind;
            if (kind == ours) {
                mutex.unlock();
            }
        }
    });
}

TEST(HostileMutexTest, NobodyWaitsForAHolderThatThereIsNot) {
    const std::uint32_t waiters = FUTEX_WAITERS;
    for (const std::uint32_t word : {kNobodysId, kNobodysId | waiters, waiters}) {
        auto& mutex = made_mutex();
        words_of(mutex).__data.__lock = static_cast<int>(word);
        expect_to_come_back([&] {
            EXPECT_EQ(mutex.try_lock(kMe), LockResult::Busy);
            EXPECT_EQ(mutex.lock(kMe), LockResult::Poisoned);
        });
        EXPECT_TRUE(mutex.is_overwritten());
        EXPECT_FALSE(mutex.is_waited_for_by(kMe.lane));
        EXPECT_EQ(mutex.lock_until(kMe, steady_clock::now()), LockResult::Poisoned);
    }
}

TEST(HostileMutexTest, NobodyWaitsForOneThatIsRefused) {
    auto& mutex = made_mutex();
    words_of(mutex).__data.__owner = kGivenUp;
    EXPECT_EQ(mutex.try_lock(kMe), LockResult::Poisoned);
    words_of(mutex).__data.__owner = 0;
    words_of(mutex).__data.__lock = ::getpid();  // who lives, and never gives it back
    expect_to_come_back([&] { EXPECT_EQ(mutex.lock(kMe), LockResult::Poisoned); });
}

TEST(HostileMutexTest, OneThatGlibcHasGivenUpIsRefusedAndLeftUnlocked) {
    auto& mutex = made_mutex();
    words_of(mutex).__data.__owner = kGivenUp;
    EXPECT_EQ(mutex.try_lock(kMe), LockResult::Poisoned);
    EXPECT_EQ(words_of(mutex).__data.__lock, 0);
    EXPECT_TRUE(mutex.is_overwritten());
}

TEST(HostileMutexTest, WhatChangesItsKindWhileItIsHeldIsGivenBackAndThenRefused) {
    auto& mutex = made_mutex();
    expect_to_come_back([&] {
        for (int kind = 0; kind < 512; ++kind) {
            mutex.init();
            const int ours = words_of(mutex).__data.__kind;
            ASSERT_EQ(mutex.lock(kMe), LockResult::Locked);
            words_of(mutex).__data.__kind = kind;
            mutex.unlock();
            EXPECT_EQ(words_of(mutex).__data.__lock, 0) << kind;
            EXPECT_EQ(mutex.is_overwritten(), kind != ours) << kind;
        }
    });
}

TEST(HostileMutexTest, WhatCouldNotBeRepairedWasNotOverwritten) {
    auto& mutex = made_mutex();
    Victim victim([&mutex] { ASSERT_EQ(mutex.lock(kOther), LockResult::Locked); });
    victim.kill();
    ASSERT_EQ(mutex.lock(kMe), LockResult::OwnerDied);
    mutex.poison();
    EXPECT_TRUE(mutex.is_poisoned());
    EXPECT_FALSE(mutex.is_overwritten());
}

}  // namespace
}  // namespace topsman::shm
