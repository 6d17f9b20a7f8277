#include "shm/lane.hpp"

#include "shm/lane_set.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace topsman::shm {
namespace {

TEST(LaneTest, TheWordHoldsPhaseGenerationAndValue) {
    const LaneWord word{LanePhase::Started, 0xab'cdef, 4'194'304};
    EXPECT_EQ(LaneWord::unpack(word.pack()), word);
    EXPECT_EQ(LaneWord{}.pack(), 0U);  // a zeroed segment is full of free lanes
}

TEST(LaneTest, AGenerationOfMoreThan24BitsWraps) {
    EXPECT_EQ(LaneWord::unpack(LaneWord{LanePhase::Free, 0x100'0001, 0}.pack()).generation, 1U);
}

TEST(LaneTest, AnOwnerComesBackFromItsWord) {
    const Owner owner{1'023, 0xff'ffff};
    EXPECT_EQ(Owner::unpack(owner.pack()), owner);
}

TEST(LaneSetTest, HoldsEveryLaneUpToTheLast) {
    auto set = std::make_unique<LaneSet>();
    for (const std::uint32_t lane : {0U, 1U, 63U, 64U, kMaxLanes}) {
        EXPECT_FALSE(set->contains(lane));
        set->insert(lane);
        EXPECT_TRUE(set->contains(lane));
    }
    set->erase(63);
    EXPECT_FALSE(set->contains(63));
    EXPECT_TRUE(set->contains(64));
}

TEST(LaneSetTest, AnyButLeavesOutOnlyTheLaneItIsAskedFor) {
    auto set = std::make_unique<LaneSet>();
    EXPECT_FALSE(set->any_but(5));
    set->insert(5);
    EXPECT_FALSE(set->any_but(5));
    EXPECT_TRUE(set->any_but(6));
    set->insert(500);
    EXPECT_TRUE(set->any_but(5));
}

}  // namespace
}  // namespace topsman::shm
