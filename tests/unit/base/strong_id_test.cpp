#include "shm/base/strong_id.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <type_traits>
#include <unordered_set>

namespace {

using PoolId = topsman::StrongId<struct PoolTag, std::uint32_t>;
using SlotId = topsman::StrongId<struct SlotTag, std::uint32_t>;

static_assert(!std::is_convertible_v<PoolId, SlotId>);
static_assert(!std::is_convertible_v<PoolId, std::uint32_t>);

TEST(StrongIdTest, ComparesByValue) {
    EXPECT_EQ(PoolId{3}, PoolId{3});
    EXPECT_LT(PoolId{3}, PoolId{4});
}

TEST(StrongIdTest, IsAKeyOfUnorderedContainers) {
    const std::unordered_set<PoolId> pools{PoolId{1}, PoolId{2}, PoolId{1}};
    EXPECT_EQ(pools.size(), 2U);
}

}  // namespace
