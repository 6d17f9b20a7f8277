#pragma once

#include <cstdint>

namespace topsman::shm {

enum class JobState : std::uint8_t {
    Free = 0,
    Writing = 1,  ///< its submitter copies the item; names its owner
    Ready = 2,    ///< submitted: will be executed, or become a dead letter
    Running = 3,  ///< names its owner
    Dead = 4,     ///< a dead letter: tried often enough
    Later = 5,    ///< as Ready, but not before its time
    Done = 6,     ///< executed, and its result is there; names the lane that has asked for it
};

/// The one word that is the truth about a job, in one atomic:
/// version:32 | generation:14 | lane:10 | attempts:5 | state:3. Each change of a job is one
/// exchange of it; a job that must be given back on death names its owner here. Zero is FREE.
struct JobWord {
    static constexpr std::uint32_t kMaxAttempts = 31;
    // A job that nobody owns has no generation, but may have one of these in its place.
    static constexpr std::uint32_t kAnyTime = 1;  ///< READY: its deadline does not count any more
    static constexpr std::uint32_t kTooLate = 1;  ///< DEAD: its deadline had passed
    // One that is WRITING was never taken, and has one of these for its attempts.
    static constexpr std::uint32_t kUndecided = 0;
    static constexpr std::uint32_t kRefused = 1;  ///< there is a job with its key already
    static constexpr std::uint32_t kNoRoom = 2;   ///< for its key

    JobState state = JobState::Free;
    std::uint32_t lane = 0;
    std::uint32_t generation = 0;  ///< of the lane, its lowest 14 bits
    std::uint32_t attempts = 0;    ///< how often it was taken
    std::uint32_t version = 0;     ///< another one for each item, wraps

    [[nodiscard]] constexpr std::uint64_t pack() const noexcept {
        return (std::uint64_t{version} << 32U) | (std::uint64_t{generation & 0x3fffU} << 18U) |
               (std::uint64_t{lane & 0x3ffU} << 8U) | (std::uint64_t{attempts & 0x1fU} << 3U) |
               static_cast<std::uint8_t>(state);
    }

    [[nodiscard]] static constexpr JobWord unpack(std::uint64_t word) noexcept {
        return JobWord{static_cast<JobState>(word & 7U),
                       static_cast<std::uint32_t>((word >> 8U) & 0x3ffU),
                       static_cast<std::uint32_t>((word >> 18U) & 0x3fffU),
                       static_cast<std::uint32_t>((word >> 3U) & 0x1fU),
                       static_cast<std::uint32_t>(word >> 32U)};
    }

    friend constexpr bool operator==(JobWord, JobWord) = default;
};

}  // namespace topsman::shm
