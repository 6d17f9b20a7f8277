#include "shm/sweep.hpp"

#include "shm_test_helper.hpp"

#include <unistd.h>

namespace topsman::shm {
namespace {

class SweepTest : public testing::Test {
  protected:
    [[nodiscard]] LaneWord word(std::uint32_t lane) const {
        return LaneWord::unpack(segment_.lanes()[lane].word.load());
    }

    LaneGrant start(std::uint32_t pid) {
        const LaneGrant grant = grant_lane(segment_, pid, 0).value();
        EXPECT_TRUE(
            claim_lane(segment_.lanes()[grant.lane], grant.generation, segment_.epoch(), pid));
        return grant;
    }

    std::uint32_t add_name(NameTable& table, const char* name, NameKind kind) {
        return table.find_or_add(name, kind, 0, Owner{}, nullptr).value();
    }

    TestName name_;
    Segment segment_ = Segment::create(name_.options(4)).value();
};

TEST_F(SweepTest, TheLivingAreFoundWithoutATouch) {
    start(100);
    start(200);
    (void)grant_lane(segment_, 300, 0).value();
    const auto living = find_living(
        segment_, [](std::uint32_t pid, std::uint64_t /*start_ticks*/) { return pid == 200; });
    ASSERT_EQ(living.size(), 1U);
    EXPECT_EQ(living[0].lane, 2U);
    EXPECT_EQ(living[0].pid, 200U);
    EXPECT_EQ(word(1).phase, LanePhase::Started);
    EXPECT_EQ(word(3).phase, LanePhase::Starting);
}

TEST_F(SweepTest, ALaneIsGrantedClaimedAndSwept) {
    const LaneGrant grant = grant_lane(segment_, 77, 3).value();
    EXPECT_EQ(grant.lane, 1U);
    EXPECT_EQ(word(1), (LaneWord{LanePhase::Starting, grant.generation, 1}));
    EXPECT_EQ(segment_.lanes()[1].worker.load(), 77U);
    EXPECT_EQ(segment_.lanes()[1].slot.load(), 3U);
    EXPECT_TRUE(claim_lane(segment_.lanes()[1], grant.generation, segment_.epoch(), 4'711));
    EXPECT_EQ(word(1), (LaneWord{LanePhase::Started, grant.generation, 4'711}));
    sweep_lane(segment_, 1, grant.generation);
    EXPECT_EQ(word(1), (LaneWord{LanePhase::Free, grant.generation, 0}));
}

TEST_F(SweepTest, EachGrantIsAnotherGenerationAndForgetsTheLastHolder) {
    const LaneGrant first = start(10);
    Lane& lane = segment_.lanes()[first.lane];
    lane.flags.store(kLaneAttached | kLaneDraining);
    lane.requests.store(5);
    lane.heartbeat_ns.store(5);
    lane.start_ticks.store(5);
    segment_.last_words()[first.lane].say("farewell");
    sweep_lane(segment_, first.lane, first.generation);
    EXPECT_EQ(segment_.last_words()[first.lane].read(), "farewell") << "kept until the next grant";
    const LaneGrant second = grant_lane(segment_, 11, 0).value();
    EXPECT_EQ(second.lane, first.lane);
    EXPECT_EQ(second.generation, first.generation + 1);
    EXPECT_EQ(lane.flags.load(), 0U);
    EXPECT_EQ(lane.requests.load(), 0U);
    EXPECT_EQ(lane.heartbeat_ns.load(), 0U);
    EXPECT_EQ(lane.start_ticks.load(), 0U);
    EXPECT_EQ(segment_.last_words()[first.lane].read(), "");
}

TEST_F(SweepTest, WhenAllLanesAreInUseItSaysSo) {
    for (std::uint32_t i = 1; i <= 4; ++i) {
        EXPECT_EQ(grant_lane(segment_, i, 0).value().lane, i);
    }
    const auto fifth = grant_lane(segment_, 5, 0);
    ASSERT_FALSE(fifth);
    EXPECT_EQ(fifth.error().code, std::errc::resource_unavailable_try_again);
    EXPECT_EQ(fifth.error().message, "all 4 lanes of the segment are in use (segment.lanes)");
}

TEST_F(SweepTest, AClaimFailsUnlessEverythingIsAsGranted) {
    const LaneGrant grant = grant_lane(segment_, 1, 0).value();
    Lane& lane = segment_.lanes()[grant.lane];
    EXPECT_FALSE(claim_lane(lane, grant.generation + 1, segment_.epoch(), 10));
    EXPECT_FALSE(claim_lane(lane, grant.generation, segment_.epoch() + 1, 10));
    EXPECT_TRUE(claim_lane(lane, grant.generation, segment_.epoch(), 10));
    EXPECT_FALSE(claim_lane(lane, grant.generation, segment_.epoch(), 11)) << "claimed twice";
}

TEST_F(SweepTest, GaugesAreZeroedAndCountersStay) {
    const auto counter = add_name(segment_.metric_names(), "orders", NameKind::Counter);
    const auto gauge = add_name(segment_.metric_names(), "connections", NameKind::Gauge);
    const LaneGrant dead = start(10);
    const LaneGrant living = start(11);
    for (const LaneGrant& grant : {dead, living}) {
        segment_.metrics().cell(grant.lane, counter).store(100);
        segment_.metrics().cell(grant.lane, gauge).store(7);
        segment_.lanes()[grant.lane].in_flight.store(2);
    }
    sweep_lane(segment_, dead.lane, dead.generation);
    EXPECT_EQ(counter_total(segment_.metrics(), counter), 200U);
    EXPECT_EQ(gauge_total(segment_.metrics(), gauge), 7);
    EXPECT_EQ(segment_.lanes()[dead.lane].in_flight.load(), 0U);
    EXPECT_EQ(segment_.lanes()[living.lane].in_flight.load(), 2U);
}

TEST_F(SweepTest, WhatTheDeadHeldIsGivenBackAndNothingElse) {
    const LaneGrant dead = start(10);
    const LaneGrant living = start(11);
    const Owner dead_owner{dead.lane, dead.generation};
    for (LaneSet& idle : segment_.idle_lanes()) {
        idle.insert(dead.lane);
        idle.insert(living.lane);
    }
    ASSERT_EQ(in_child([&] {
                  auto& names = segment_.mutex_names();
                  (void)names.find_or_add("half", NameKind::Mutex, 0, dead_owner,
                                          [](std::uint32_t) { ::_exit(0); });
              }),
              0);
    segment_.mutexes()[0].init();
    Victim victim([&] { ASSERT_EQ(segment_.mutexes()[0].lock(dead_owner), LockResult::Locked); });
    victim.kill();
    sweep_lane(segment_, dead.lane, dead.generation);
    for (const LaneSet& idle : segment_.idle_lanes()) {
        EXPECT_FALSE(idle.contains(dead.lane));
        EXPECT_TRUE(idle.contains(living.lane));
    }
    EXPECT_EQ(segment_.mutexes()[0].owner(), Owner{});
    EXPECT_EQ(segment_.mutexes()[0].lock(Owner{2, 1}), LockResult::OwnerDied);
    segment_.mutexes()[0].repaired();
    segment_.mutexes()[0].unlock();
    for (std::uint32_t i = 0; i < kMaxMutexes; ++i) {
        EXPECT_TRUE(segment_.mutex_names().find_or_add("m" + std::to_string(i), NameKind::Mutex, 0,
                                                       Owner{}, nullptr));
    }
}

TEST_F(SweepTest, AnotherGenerationIsLeftAlone) {
    const LaneGrant grant = start(10);
    sweep_lane(segment_, grant.lane, grant.generation + 1);
    EXPECT_EQ(word(grant.lane).phase, LanePhase::Started);
    sweep_lane(segment_, 0, 0);
    sweep_lane(segment_, 1'000, 1);
}

TEST_F(SweepTest, ANewMasterSweepsTheDeadFreesTheUnbornAndReturnsTheLiving) {
    const LaneGrant living = start(100);
    segment_.lanes()[living.lane].start_ticks.store(1'000);
    const LaneGrant dead = start(200);
    const LaneGrant unborn = grant_lane(segment_, 300, 0).value();
    const LaneGrant half_swept = start(400);
    segment_.lanes()[half_swept.lane].word.store(
        LaneWord{LanePhase::Dead, half_swept.generation, 400}.pack());

    auto next = Segment::adopt(name_.options(4)).value();
    const auto found = sweep_dead_lanes(next, [](std::uint32_t pid, std::uint64_t start_ticks) {
        return pid == 100 && start_ticks == 1'000;
    });
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].lane, living.lane);
    EXPECT_EQ(found[0].generation, living.generation);
    EXPECT_EQ(found[0].pid, 100U);
    EXPECT_EQ(found[0].worker, 100U);
    for (const LaneGrant& gone : {dead, unborn, half_swept}) {
        EXPECT_EQ(word(gone.lane).phase, LanePhase::Free) << "lane " << gone.lane;
    }
    EXPECT_FALSE(claim_lane(segment_.lanes()[unborn.lane], unborn.generation, 1, 300))
        << "a child of the old master that comes late must exit";
}

TEST_F(SweepTest, ALateChildDoesNotTakeALaneThatWasGrantedAgain) {
    const LaneGrant old = grant_lane(segment_, 1, 0).value();
    auto next = Segment::adopt(name_.options(4)).value();
    (void)sweep_dead_lanes(next, [](std::uint32_t, std::uint64_t) { return false; });
    const LaneGrant again = grant_lane(next, 2, 0).value();
    ASSERT_EQ(again.lane, old.lane);
    EXPECT_FALSE(claim_lane(segment_.lanes()[old.lane], old.generation, 1, 10));
    EXPECT_TRUE(claim_lane(segment_.lanes()[again.lane], again.generation, 2, 11));
}

TEST_F(SweepTest, AnIllegalLaneIsNeverGranted) {
    segment_.lanes()[1].word.store(0xff00'0001'0000'0001);
    EXPECT_TRUE(
        sweep_dead_lanes(segment_, [](std::uint32_t, std::uint64_t) { return true; }).empty());
    for (std::uint32_t i = 2; i <= 4; ++i) {
        EXPECT_EQ(grant_lane(segment_, i, 0).value().lane, i);
    }
    EXPECT_FALSE(grant_lane(segment_, 5, 0));
}

}  // namespace
}  // namespace topsman::shm
