#pragma once

// How a histogram sorts numbers into buckets, and what the buckets tell. Pure arithmetic.
//
// Numbers below 32 have a bucket each; from there on every power of two is cut into 16 buckets of
// the same width. So a bucket is never wider than a sixteenth of the numbers in it, over the whole
// range, and finding it takes a shift. Buckets of two histograms are the same, so adding them up is
// merging them. Source: HdrHistogram (Tene), with one digit less.

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>

namespace topsman {

struct LogLinear {
    static constexpr std::uint32_t kStepBits = 4;  ///< 16 buckets to a power of two
    static constexpr std::uint32_t kBuckets = (64 - kStepBits + 1) << kStepBits;

    [[nodiscard]] static constexpr std::uint32_t bucket_of(std::uint64_t value) noexcept {
        const auto shift = static_cast<std::uint32_t>(
            std::bit_width(value | (std::uint64_t{1} << kStepBits)) - 1 - int{kStepBits});
        return (shift << kStepBits) + static_cast<std::uint32_t>(value >> shift);
    }

    /// The largest number that is in the bucket.
    [[nodiscard]] static constexpr std::uint64_t highest_of(std::uint32_t bucket) noexcept {
        constexpr std::uint32_t kSteps = 1U << kStepBits;
        const std::uint32_t shift = bucket < 2 * kSteps ? 0 : (bucket >> kStepBits) - 1;
        const std::uint64_t step = bucket - (shift << kStepBits);
        return ((step + 1) << shift) - 1;
    }
};

/// What was recorded, by bucket. Percentiles are never too small, and at most a sixteenth too
/// large.
class LogLinearCounts {
  public:
    void add(std::uint32_t bucket, std::uint64_t many) noexcept { counts_[bucket] += many; }

    [[nodiscard]] std::uint64_t count() const noexcept {
        return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
    }

    /// So many percent of all are not above it: 50 is the median. 0 when nothing was recorded.
    [[nodiscard]] std::uint64_t percentile(double percent) const noexcept {
        const std::uint64_t all = count();
        if (all == 0) {
            return 0;
        }
        // 99.9 % of 1,000 are 999, and not one more because of the last bit of a double.
        const double wanted = std::ceil(static_cast<double>(all) * percent / 100 - 1e-6);
        std::uint64_t rank = 1;
        if (wanted > 1) {
            rank = wanted < static_cast<double>(all) ? static_cast<std::uint64_t>(wanted) : all;
        }
        std::uint64_t seen = 0;
        for (std::uint32_t bucket = 0; bucket < LogLinear::kBuckets; ++bucket) {
            seen += counts_[bucket];
            if (seen >= rank) {
                return LogLinear::highest_of(bucket);
            }
        }
        return LogLinear::highest_of(LogLinear::kBuckets - 1);
    }

    [[nodiscard]] std::uint64_t max() const noexcept { return percentile(100); }

  private:
    std::array<std::uint64_t, LogLinear::kBuckets> counts_{};
};

}  // namespace topsman
