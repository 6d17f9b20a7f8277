#include "shm/histogram.hpp"

namespace topsman::shm {

LogLinearCounts HistogramView::merged() const noexcept {
    LogLinearCounts counts;
    for (const HistogramCells& lane : lanes_) {
        for (std::uint32_t bucket = 0; bucket < LogLinear::kBuckets; ++bucket) {
            counts.add(bucket, lane.cell[bucket].load(std::memory_order_relaxed));
        }
    }
    return counts;
}

}  // namespace topsman::shm
