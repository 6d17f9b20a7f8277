#pragma once

// Where the results of jobs lie, and who has asked for them: a cell for each job's place.
//
//   asker   the word that the job has once its result is there: DONE, with its version, and lane
//   and
//           generation of who has asked. Zero: nobody asks (any more)
//   length, result   written by the job's owner while it is RUNNING
//
//   RUNNING --ack--> DONE    the commit point: the same exchange ends the job and hands over what
//                            lies beside it. The word names the asker, whose job it is now
//   DONE ----------> FREE    by the asker, who has read it; or by who finds that nobody asks
//
// The asker is written before the job is READY, and taken back by the asker alone, or by the sweep
// after its death. Who acks makes the job DONE and looks again whether it is still asked for; who
// withdraws takes the asker back and looks again whether the job is DONE. One of the two sees the
// other and frees it. The one who dies between its two steps is swept: whoever is swept, a job that
// is DONE for nobody is freed.
//
// The version makes an asker of an earlier job in this place one that does not count. Results are
// written by owners of RUNNING jobs alone, which nobody takes from the living; and a job that is
// DONE stays until its asker has read. So nobody writes where another reads.
//
// A view like std::span; what is read of a cell is checked by who uses it.

#include "shm/job_word.hpp"
#include "shm/lane.hpp"
#include "shm/queue_shape.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace topsman::shm {

/// As it lies in the segment, followed by the result.
struct ResultCell {
    std::atomic<std::uint64_t> asker;
    std::atomic<std::uint64_t> length;
};

class JobResults {
  public:
    JobResults() noexcept = default;  ///< of a queue without

    JobResults(std::byte* cells, std::uint32_t size) noexcept
        : cells_(cells), stride_(stride_of(size)), size_(size) {}

    [[nodiscard]] static constexpr std::size_t bytes_for(const QueueShape& shape) noexcept {
        return shape.result_size == 0 ? 0 : stride_of(shape.result_size) * shape.capacity;
    }

    /// The word of a job of this version that is DONE for the asker.
    [[nodiscard]] static constexpr std::uint64_t done_word(Owner asker,
                                                           std::uint32_t version) noexcept {
        return JobWord{JobState::Done, asker.lane, asker.generation, 0, version}.pack();
    }

    [[nodiscard]] std::atomic<std::uint64_t>& asker(std::uint32_t number) const noexcept {
        return cell(number).asker;
    }

    /// By the owner of a job that is RUNNING.
    void store(std::uint32_t number, std::span<const std::byte> result) const noexcept {
        ResultCell& here = cell(number);
        here.length.store(result.size(), std::memory_order_relaxed);
        if (!result.empty()) {
            std::memcpy(bytes_of(here), result.data(), result.size());
        }
    }

    /// Of a job that is DONE, by its asker.
    [[nodiscard]] std::span<const std::byte> load(std::uint32_t number) const noexcept {
        ResultCell& here = cell(number);
        const std::uint64_t length = here.length.load(std::memory_order_relaxed);
        return {bytes_of(here), static_cast<std::size_t>(std::min<std::uint64_t>(length, size_))};
    }

  private:
    static constexpr std::size_t stride_of(std::uint32_t size) noexcept {
        return (sizeof(ResultCell) + size + 63) / 64 * 64;
    }

    [[nodiscard]] ResultCell& cell(std::uint32_t number) const noexcept {
        return *reinterpret_cast<ResultCell*>(cells_ + std::size_t{number} * stride_);
    }

    static std::byte* bytes_of(ResultCell& cell) noexcept {
        return reinterpret_cast<std::byte*>(&cell) + sizeof(ResultCell);
    }

    std::byte* cells_ = nullptr;
    std::size_t stride_ = 0;
    std::uint32_t size_ = 0;
};

}  // namespace topsman::shm
