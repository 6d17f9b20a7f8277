#include "shm/metrics.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace topsman::shm {
namespace {

TEST(MetricsTest, ACounterIsTheSumOverAllLanes) {
    std::vector<LaneCells> lanes(4);
    const MetricCells cells(lanes);
    add_to_cell(cells.cell(0, 7), 1);
    add_to_cell(cells.cell(3, 7), 41);
    add_to_cell(cells.cell(3, 8), 1'000);
    EXPECT_EQ(counter_total(cells, 7), 42U);
    EXPECT_EQ(cells.lanes(), 4U);
}

TEST(MetricsTest, AGaugeMayGoBelowZeroInALane) {
    std::vector<LaneCells> lanes(2);
    const MetricCells cells(lanes);
    add_to_cell(cells.cell(0, 0), static_cast<std::uint64_t>(-5));
    add_to_cell(cells.cell(1, 0), 2);
    EXPECT_EQ(gauge_total(cells, 0), -3);
}

TEST(MetricsTest, LanesDoNotShareCacheLines) {
    std::vector<LaneCells> lanes(2);
    const MetricCells cells(lanes);
    const auto* first = reinterpret_cast<const char*>(&cells.cell(0, kMaxMetrics - 1));
    const auto* second = reinterpret_cast<const char*>(&cells.cell(1, 0));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second) % kCacheLine, 0U);
    EXPECT_GE(second - first, 8);
}

TEST(MetricsDeathTest, ARowThatCannotBeIsABug) {
    std::vector<LaneCells> lanes(1);
    EXPECT_DEATH((void)counter_total(MetricCells(lanes), kMaxMetrics), "CHECK failed");
}

}  // namespace
}  // namespace topsman::shm
