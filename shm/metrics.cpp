#include "shm/metrics.hpp"

#include "shm/base/check.hpp"

namespace topsman::shm {

std::uint64_t counter_total(MetricCells cells, std::uint32_t row) noexcept {
    CHECK(row < kMaxMetrics);
    std::uint64_t total = 0;
    for (std::uint32_t lane = 0; lane < cells.lanes(); ++lane) {
        total += cells.cell(lane, row).load(std::memory_order_relaxed);
    }
    return total;
}

std::int64_t gauge_total(MetricCells cells, std::uint32_t row) noexcept {
    return static_cast<std::int64_t>(counter_total(cells, row));
}

}  // namespace topsman::shm
