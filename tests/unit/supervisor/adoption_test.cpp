// What the records of a dead master come to, beside what its workers' lanes say.

#include "supervisor/adoption.hpp"

#include "shm/sweep.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

namespace topsman::supervisor {
namespace {

constexpr std::uint64_t kSpareId = 7;

class SpareOfADeadMaster : public testing::Test {
  protected:
    SpareOfADeadMaster() {
        const auto lane = shm::grant_lane(segment_, kSpareId, 0, shm::kSeatHeld).value();
        worker_ = {lane.lane, lane.generation, static_cast<std::uint32_t>(::getpid()), 1, kSpareId};
        shm::WorkerRecord record{};
        record.worker = kSpareId;
        record.lane_generation = lane.generation;
        record.role = shm::WorkerRole::Spare;
        record.state = shm::WorkerState::Parked;
        record.slot = kNoSlot;
        shm::put_text(record.pool_name, "web");
        segment_.scoreboard().workers[lane.lane].store(record);
        flags().store(shm::kLaneReady | shm::kLaneParked);
    }

    ~SpareOfADeadMaster() override { (void)shm::Segment::remove(name_); }

    std::atomic<std::uint32_t>& flags() { return segment_.lanes()[worker_.lane].flags; }

    core::LeftWorker left() {
        const Adoption adoption = adopt(segment_, {worker_}, {}, {}, {}, nullptr, {}).value();
        return adoption.left.workers.at(0);
    }

    const std::string name_ = "topsman.unit-adoption-" + std::to_string(::getpid());
    shm::Segment segment_ = shm::Segment::create({.name = name_, .lanes = 4, .mode = 0600}).value();
    shm::LivingWorker worker_;
};

TEST_F(SpareOfADeadMaster, WaitsOn) {
    EXPECT_EQ(left().role, core::Role::Spare);
    EXPECT_EQ(left().spare, core::SpareStage::Parked);
    EXPECT_EQ(left().slot, kNoSlot);
}

TEST_F(SpareOfADeadMaster, IsNotParkedIfItRuns) {
    flags().store(shm::kLaneReady);
    EXPECT_EQ(left().role, core::Role::Spare);
    EXPECT_EQ(left().spare, core::SpareStage::None);
}

TEST_F(SpareOfADeadMaster, HasTheSeatThatItWasGivenAfterItsRecord) {
    shm::release_spare(segment_, worker_.lane, 3);
    EXPECT_EQ(left().role, core::Role::Current);
    EXPECT_EQ(left().spare, core::SpareStage::None);
    EXPECT_EQ(left().slot, 3U);
}

TEST_F(SpareOfADeadMaster, LeavesIfItWasToldToAfterItsRecord) {
    shm::release_spare(segment_, worker_.lane, kNoSlot);
    EXPECT_EQ(left().role, core::Role::Leaving);
    EXPECT_EQ(left().slot, kNoSlot);
}

TEST_F(SpareOfADeadMaster, HasNoSeatThatThereCannotBe) {
    segment_.lanes()[worker_.lane].seat.store(shm::seat_of(shm::kMaxSlots));
    EXPECT_EQ(left().role, core::Role::Leaving);
}

TEST_F(SpareOfADeadMaster, ItsPoolIsNotGivenUpForTheSakeOfASlot) {
    shm::MasterRecord master{};
    master.pools = 1;
    segment_.scoreboard().master.store(master);
    shm::PoolRecord pool{};
    shm::put_text(pool.name, "web");
    const auto is_given_up = [&](shm::BreakerState breaker) {
        pool.breaker = breaker;
        segment_.scoreboard().pools[0].store(pool);
        const Adoption adoption = adopt(segment_, {worker_}, {}, {}, {}, nullptr, {}).value();
        return adoption.left.pools.at(0).breaker_open;
    };
    EXPECT_FALSE(is_given_up(shm::BreakerState::Slot));
    EXPECT_TRUE(is_given_up(shm::BreakerState::Open));
    EXPECT_FALSE(is_given_up(shm::BreakerState::Closed));
}

}  // namespace
}  // namespace topsman::supervisor
