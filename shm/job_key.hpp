#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace topsman::shm {

/// What a job may be known by, so that it is not submitted twice: 1 to 64 bytes of the submitter's.
/// They are compared whole, so that no two keys are ever taken for one.
class JobKey {
  public:
    static constexpr std::size_t kMostBytes = 64;
    static constexpr std::size_t kWords = 1 + kMostBytes / sizeof(std::uint64_t);
    using Words = std::array<std::uint64_t, kWords>;  ///< the length, and the bytes with zeros

    /// `bytes` are at most kMostBytes.
    explicit JobKey(std::span<const std::byte> bytes) noexcept {
        words_[0] = bytes.size();
        if (!bytes.empty()) {
            std::memcpy(&words_[1], bytes.data(), std::min(bytes.size(), kMostBytes));
        }
    }

    explicit JobKey(const Words& words) noexcept : words_(words) {}

    [[nodiscard]] const Words& words() const noexcept { return words_; }

    /// Spreads keys; nothing relies on two of them being different.
    [[nodiscard]] std::uint64_t hash() const noexcept {
        std::uint64_t sum = 0;
        for (const std::uint64_t word : words_) {
            sum = (sum ^ word) * 0x9e37'79b9'7f4a'7c15U;
            sum ^= sum >> 32U;
        }
        return sum;
    }

    friend bool operator==(const JobKey&, const JobKey&) = default;

  private:
    Words words_{};
};

}  // namespace topsman::shm
