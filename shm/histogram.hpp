#pragma once

// Histograms: how long, how large, how many at once. Like counters, each lane has cells of its own,
// one for each bucket, and recording is one store to one of them, which is the commit point. Cells
// go on from what the lane's last holder left and are never zeroed or folded; count, percentiles
// and maximum are taken by the reader from the buckets, so they cannot disagree with each other.

#include "shm/base/log_linear.hpp"
#include "shm/limits.hpp"
#include "shm/metrics.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace topsman::shm {

/// One lane's part of one histogram, as it lies in the segment.
struct alignas(kCacheLine) HistogramCells {
    std::atomic<std::uint64_t> cell[LogLinear::kBuckets];
};

/// One histogram of all lanes. A view, passed by value; what it shows lies in the segment.
class HistogramView {
  public:
    explicit HistogramView(std::span<HistogramCells> lanes) noexcept : lanes_(lanes) {}

    /// By the lane's holder, one of its threads at a time; `lane` is the caller's to know.
    void record(std::uint32_t lane, std::uint64_t value) const noexcept {
        add_to_cell(lanes_[lane].cell[LogLinear::bucket_of(value)], 1);
    }

    [[nodiscard]] std::span<HistogramCells> lanes() const noexcept { return lanes_; }

    /// All lanes' together, as of about now.
    [[nodiscard]] LogLinearCounts merged() const noexcept;

  private:
    std::span<HistogramCells> lanes_;
};

/// Bytes in the segment of so many histograms.
[[nodiscard]] constexpr std::size_t histogram_bytes(std::size_t many,
                                                    std::uint32_t lanes) noexcept {
    return many * (std::size_t{lanes} + 1) * sizeof(HistogramCells);
}

}  // namespace topsman::shm
