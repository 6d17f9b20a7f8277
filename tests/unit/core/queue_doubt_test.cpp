#include "supervisor/core/queue_doubt.hpp"

#include <gtest/gtest.h>

namespace topsman::core {
namespace {

using namespace std::chrono_literals;
using Verdict = QueueDoubt::Verdict;

const TimePoint kDeath{1h};
const WorkerId kOne{1};
const WorkerId kTwo{2};
const std::set<WorkerId> kBusy;

/// Looks whenever a look is due, until something other than waiting is said.
struct Looker {
    QueueDoubt doubt{kDeath};
    TimePoint now = kDeath;
    int looks = 0;

    Verdict until_said(std::uint32_t waiting, const std::set<WorkerId>& asleep) {
        while (true) {
            now = doubt.next_look();
            ++looks;
            const Verdict verdict = doubt.look(waiting, asleep, now);
            if (verdict != Verdict::Wait || looks == 1'000) {
                return verdict;
            }
            EXPECT_GT(doubt.next_look(), now);
        }
    }
};

TEST(QueueDoubt, AnEmptyQueueSettlesItAtTheFirstLookWhichIsDueAtOnce) {
    QueueDoubt doubt(kDeath);
    EXPECT_EQ(doubt.next_look(), kDeath);
    EXPECT_EQ(doubt.look(0, {kOne}, kDeath), Verdict::Settled);
}

TEST(QueueDoubt, ASleeperBesideAQueueIsNudgedAfter50Milliseconds) {
    Looker looker;
    EXPECT_EQ(looker.until_said(1, {kOne}), Verdict::Nudge);
    EXPECT_EQ(looker.now, kDeath + 50ms);
    EXPECT_EQ(looker.looks, 6);
    EXPECT_EQ(looker.until_said(0, {kOne}), Verdict::Settled);
}

TEST(QueueDoubt, AQueueThatWasEmptyInBetweenIsServed) {
    QueueDoubt doubt(kDeath);
    for (const auto after : {0ms, 10ms, 20ms, 30ms}) {
        EXPECT_EQ(doubt.look(3, {kOne}, kDeath + after), Verdict::Wait);
    }
    EXPECT_EQ(doubt.look(0, {kOne}, kDeath + 40ms), Verdict::Settled);
}

TEST(QueueDoubt, WorkersThatTakeTurnsInSleepingAreNotIdle) {
    QueueDoubt doubt(kDeath);
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(doubt.look(1, {i % 2 == 0 ? kOne : kTwo}, kDeath + i * 10ms), Verdict::Wait);
    }
}

TEST(QueueDoubt, OneThatSleepsOnAmongOthersIsEnough) {
    QueueDoubt doubt(kDeath);
    EXPECT_EQ(doubt.look(1, {kOne, kTwo}, kDeath), Verdict::Wait);
    EXPECT_EQ(doubt.look(1, {kTwo}, kDeath + 30ms), Verdict::Wait);
    EXPECT_EQ(doubt.look(1, {kOne, kTwo}, kDeath + 60ms), Verdict::Nudge);
}

TEST(QueueDoubt, WhileAllAreBusyItLooksMoreAndMoreRarelyAndNudgesNobody) {
    QueueDoubt doubt(kDeath);
    TimePoint now = kDeath;
    int looks = 0;
    for (; now < kDeath + 10min; now = doubt.next_look()) {
        EXPECT_EQ(doubt.look(1, kBusy, now), Verdict::Wait);
        ++looks;
    }
    EXPECT_LT(looks, 660);
    EXPECT_EQ(doubt.look(1, kBusy, now), Verdict::Wait);
    EXPECT_EQ(doubt.next_look(), now + 1s);
    // The last of them comes to rest: its wake-up went to another one while it was busy.
    Looker looker{doubt, now, 0};
    EXPECT_EQ(looker.until_said(1, {kTwo}), Verdict::Nudge);
    EXPECT_EQ(looker.now, now + 2s);
}

TEST(QueueDoubt, WorkersThatNapNowAndThenDoNotMakeItLookMoreOften) {
    QueueDoubt doubt(kDeath);
    TimePoint now = kDeath;
    int looks = 0;
    for (; now < kDeath + 10min; now = doubt.next_look()) {
        EXPECT_EQ(doubt.look(1, looks++ % 2 == 0 ? kBusy : std::set{kOne}, now), Verdict::Wait);
    }
    EXPECT_LT(looks, 660);
}

TEST(QueueDoubt, BeingBusyOnceBeginsThePatienceAnew) {
    QueueDoubt doubt(kDeath);
    EXPECT_EQ(doubt.look(1, {kOne}, kDeath), Verdict::Wait);
    EXPECT_EQ(doubt.look(1, kBusy, kDeath + 10ms), Verdict::Wait);
    EXPECT_EQ(doubt.look(1, {kOne}, kDeath + 60ms), Verdict::Wait);
    EXPECT_EQ(doubt.look(1, {kOne}, kDeath + 120ms), Verdict::Nudge);
}

TEST(QueueDoubt, WhoNeverAcceptsIsNudgedFourTimesLessAndLessOften) {
    Looker looker;
    TimePoint last = kDeath;
    Duration patience = 50ms;
    for (std::uint32_t queue = 1; queue <= 4; ++queue) {
        EXPECT_EQ(looker.until_said(queue, {kOne}), Verdict::Nudge);
        EXPECT_GE(looker.now - last, patience);
        last = looker.now;
        patience *= 2;
    }
    EXPECT_EQ(looker.until_said(5, {kOne}), Verdict::Helpless);
    EXPECT_LT(looker.now, kDeath + 5s);
}

}  // namespace
}  // namespace topsman::core
