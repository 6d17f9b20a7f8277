#pragma once

// Counters and gauges: one cell per lane and metric, so a write is a plain store to a line that
// nobody else writes, and the sum is taken by the reader.
//
// Counter cells go on from what the lane's last holder left: they are never zeroed or folded, so
// nothing is lost or counted twice whatever is killed when. Gauge cells are zeroed by the sweep.

#include "shm/lane.hpp"
#include "shm/limits.hpp"

#include <atomic>
#include <cstdint>
#include <span>

namespace topsman::shm {

/// One lane's cells: all its metrics side by side, away from other lanes' lines.
struct alignas(kCacheLine) LaneCells {
    std::atomic<std::uint64_t> cell[kMaxMetrics];
};

/// All lanes' cells: a view like std::span, passed by value; what it shows lies in the segment.
class MetricCells {
  public:
    explicit MetricCells(std::span<LaneCells> lanes) noexcept : lanes_(lanes) {}

    /// `lane` below lanes(), `row` below kMaxMetrics: the caller's to know.
    [[nodiscard]] std::atomic<std::uint64_t>& cell(std::uint32_t lane,
                                                   std::uint32_t row) const noexcept {
        return lanes_[lane].cell[row];
    }

    [[nodiscard]] std::uint32_t lanes() const noexcept {
        return static_cast<std::uint32_t>(lanes_.size());
    }

  private:
    std::span<LaneCells> lanes_;
};

/// Sum of a counter over all lanes.
[[nodiscard]] std::uint64_t counter_total(MetricCells cells, std::uint32_t row) noexcept;
/// Sum of a gauge over all lanes (two's complement).
[[nodiscard]] std::int64_t gauge_total(MetricCells cells, std::uint32_t row) noexcept;

/// Adds to the caller's own cell. Only the lane's holder writes it, so no other process can come
/// between the load and the store; threads of one worker that share a metric use fetch_add.
inline void add_to_cell(std::atomic<std::uint64_t>& cell, std::uint64_t amount) noexcept {
    cell.store(cell.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

}  // namespace topsman::shm
