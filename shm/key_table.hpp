#pragma once

// Where to find the job that has a key: a table of the names of jobs, none of which is the truth.
//
// A name is one word {version:32 | tag:8 | number + 1:24}: a job's number, the version that its own
// word has, and eight bits of its key's hash. It is over, for ever, once the job's word has another
// version, or says that there is no such job or none any more. So nobody has to take a name away:
// who ends a job writes nothing here, and who needs room puts another name over one that is over.
//
// A key's hash says in which bucket its names begin; they lie in that one or in the next few. Each
// bucket has a claim, too: the name of the job that is being submitted now with a key of this
// bucket, or was last.
//
// A view like std::span; every number is checked by who makes an index of it.

#include "shm/job_key.hpp"
#include "shm/limits.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace topsman::shm {

inline constexpr std::size_t kNamesInBucket = 7;
/// So many buckets a key's names may lie in: with a name for each job that there can be, on average
/// one of them is in a bucket, and less than one key in 10^12 finds four full.
inline constexpr std::size_t kBucketsOfKey = 4;

/// As it lies in the segment; a line. All zeros is an empty one.
struct alignas(kCacheLine / 2) KeyBucket {
    std::atomic<std::uint64_t> claim;
    std::atomic<std::uint64_t> names[kNamesInBucket];
};

/// As it lies in the segment, for each job: written by the owner of one that is WRITING.
struct StoredKey {
    std::atomic<std::uint64_t> words[JobKey::kWords];
};

/// Names one version of one job; zero is no name.
struct JobName {
    std::uint32_t number = 0;
    std::uint32_t version = 0;
    std::uint8_t tag = 0;

    [[nodiscard]] constexpr std::uint64_t pack() const noexcept {
        return (std::uint64_t{version} << 32U) | (std::uint64_t{tag} << 24U) |
               ((number + 1) & 0xff'ffffU);
    }

    [[nodiscard]] static constexpr JobName unpack(std::uint64_t word) noexcept {
        return {static_cast<std::uint32_t>(word & 0xff'ffffU) - 1,
                static_cast<std::uint32_t>(word >> 32U), static_cast<std::uint8_t>(word >> 24U)};
    }
};

class KeyTable {
  public:
    KeyTable() noexcept = default;  ///< of nothing

    KeyTable(KeyBucket* buckets, StoredKey* keys, std::uint32_t capacity) noexcept
        : buckets_(buckets), keys_(keys), mask_(buckets_for(capacity) - 1) {}

    [[nodiscard]] static constexpr std::size_t buckets_for(std::uint32_t capacity) noexcept {
        return std::max(std::bit_ceil(std::size_t{capacity}), kBucketsOfKey);
    }

    [[nodiscard]] static std::uint8_t tag_of(const JobKey& key) noexcept {
        return static_cast<std::uint8_t>(key.hash() >> 56U);
    }

    [[nodiscard]] std::atomic<std::uint64_t>& claim_of(const JobKey& key) const noexcept {
        return buckets_[key.hash() & mask_].claim;
    }

    /// Shows each word where a name of a job with this key may be, until `visit` returns true.
    template <class Visit>
    bool any_of(const JobKey& key, Visit&& visit) const noexcept {
        const std::uint64_t first = key.hash();
        for (std::size_t i = 0; i < kBucketsOfKey; ++i) {
            for (std::atomic<std::uint64_t>& name : buckets_[(first + i) & mask_].names) {
                if (visit(name)) {
                    return true;
                }
            }
        }
        return false;
    }

    /// By the job's owner, before it claims. release: after the job's word has its new version.
    void store(std::uint32_t number, const JobKey& key) const noexcept {
        for (std::size_t i = 0; i < JobKey::kWords; ++i) {
            keys_[number].words[i].store(key.words()[i], std::memory_order_release);
        }
    }

    /// Whole, if the job's word has the same version before and after. acquire: that look comes
    /// after this one.
    [[nodiscard]] JobKey load(std::uint32_t number) const noexcept {
        JobKey::Words words{};
        for (std::size_t i = 0; i < JobKey::kWords; ++i) {
            words[i] = keys_[number].words[i].load(std::memory_order_acquire);
        }
        return JobKey(words);
    }

  private:
    KeyBucket* buckets_ = nullptr;
    StoredKey* keys_ = nullptr;
    std::size_t mask_ = 0;
};

}  // namespace topsman::shm
