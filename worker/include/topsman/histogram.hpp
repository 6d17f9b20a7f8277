#pragma once

#include "shm/base/log_linear.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace topsman {

namespace shm {
struct HistogramCells;
}

/// Count, percentiles and maximum of what all workers have recorded; a copy, as of when it was
/// taken. See LogLinearCounts: count(), percentile(99.9), max().
using HistogramSnapshot = LogLinearCounts;

/// How numbers are spread: times, sizes, lengths, over all workers of the cluster.
///
/// What: each worker counts in cells of its own lane, on cache lines that nobody else writes, one
/// for each bucket of the scale; whoever looks (`topsman status`, snapshot()) adds them up. Cells
/// are cumulative over a lane's holders and are never reset, so the counts of a dead worker stay.
/// Declared in the file: `shared: { histograms: [request_us] }`.
/// Units: whatever is recorded, whole numbers. A duration is recorded in nanoseconds, one below
/// zero as 0.
/// Returns: percentiles are exact below 32, above never too small and at most a sixteenth too
/// large.
/// Cost: about 1 ns for record(), about 5 ns for record_from_threads(); snapshot() reads 8 KB for
/// each lane of the segment.
/// Errors: none; in a forked child of the worker what is recorded is dropped.
/// Threads: record() is for one thread at a time in this process; where several threads record the
/// same thing, all of them use record_from_threads(). Mixing the two loses counts.
/// Kill safety: recording is one store. A worker killed at any instruction has counted it or has
/// not; nothing else is ever wrong.
/// Source of the algorithm: HdrHistogram's log-linear buckets.
/// The handle is trivially copyable and valid for the process's life.
///
/// @code
/// #include <topsman/worker.hpp>
///
/// int main() {
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::Histogram sizes = worker.histogram("sizes").value();
///     for (std::uint64_t size = 1; size <= 100; ++size) {
///         sizes.record(size);
///     }
///     const topsman::HistogramSnapshot seen = sizes.snapshot();
///     return seen.count() >= 100 && seen.percentile(50) >= 50 ? 0 : 1;
/// }
/// @endcode
class Histogram {
  public:
    /// Counts `value`; one thread at a time (a plain load and store).
    void record(std::uint64_t value) noexcept {
        std::atomic<std::uint64_t>& cell = cell_of(value);
        cell.store(cell.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

    void record(std::chrono::nanoseconds time) noexcept { record(number_of(time)); }

    /// Counts `value`; any number of threads of this process at once.
    void record_from_threads(std::uint64_t value) noexcept {
        cell_of(value).fetch_add(1, std::memory_order_relaxed);
    }

    void record_from_threads(std::chrono::nanoseconds time) noexcept {
        record_from_threads(number_of(time));
    }

    /// Of all lanes, dead workers included.
    [[nodiscard]] HistogramSnapshot snapshot() const noexcept;

  private:
    friend class Worker;

    Histogram(shm::HistogramCells* lanes, std::uint32_t count,
              std::atomic<std::uint64_t>* own) noexcept
        : lanes_(lanes), count_(count), own_(own) {}

    [[nodiscard]] std::atomic<std::uint64_t>& cell_of(std::uint64_t value) const noexcept {
        return own_[LogLinear::bucket_of(value)];
    }

    static constexpr std::uint64_t number_of(std::chrono::nanoseconds time) noexcept {
        return static_cast<std::uint64_t>(std::max<std::chrono::nanoseconds::rep>(time.count(), 0));
    }

    shm::HistogramCells* lanes_;
    std::uint32_t count_;
    std::atomic<std::uint64_t>* own_;  ///< of this lane, by bucket
};

}  // namespace topsman
