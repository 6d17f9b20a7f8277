#pragma once

// What the handles of one queue have in common, and what is said to those who use it wrongly.

#include "shm/job_queue.hpp"
#include "topsman/job_queue.hpp"
#include "topsman/worker.hpp"
#include "worker/process.hpp"

#include <memory>
#include <string>

namespace topsman::detail {

/// What all handles of one queue point to, for the process's life.
struct QueueState {
    struct alignas(shm::kCacheLine) Line {
        std::byte bytes[shm::kCacheLine];
    };

    std::string name;
    shm::Owner owner;
    std::unique_ptr<Line[]> own_memory;  ///< of a process without a segment
    shm::JobQueue queue;
};

inline Error refusal(const QueueState& state, const std::string& why, std::errc code) {
    return plain_error("queue " + state.name + ": " + why, code);
}

[[nodiscard]] shm::JobTerms terms_of(const JobOptions& options) noexcept;

[[nodiscard]] inline bool can_be_submitted(const QueueState& state, std::size_t size,
                                           const JobOptions& options) noexcept {
    const shm::QueueShape& shape = state.queue.shape();
    return !is_detached() && options.priority < shape.priorities && size <= shape.item_size;
}

/// Why this item cannot be submitted at all.
[[nodiscard]] Error problem_with(const QueueState& state, std::size_t size,
                                 const JobOptions& options);
[[nodiscard]] Error full_now(const QueueState& state);
/// In spite of all patience.
[[nodiscard]] Error still_full(const QueueState& state);

}  // namespace topsman::detail
