#pragma once

// The bounds of a configuration. A file may come from anybody; these make it cost little.

#include <cstddef>
#include <cstdint>

namespace topsman::config {

inline constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxDepth = 64;      // the deepest valid file has 5 levels
inline constexpr std::size_t kMaxNodes = 50'000;  // after aliases: what an alias bomb hits
inline constexpr std::size_t kMaxTextBytes = 4 * kMaxFileBytes;  // after aliases and ${NAME}
inline constexpr std::size_t kMaxProblems = 100;  // nobody reads more; then "and more"

// What the segment has room for.
inline constexpr std::uint32_t kMinLanes = 4;
inline constexpr std::uint32_t kMaxLanes = 1'023;
inline constexpr std::size_t kMaxPools = 64;
inline constexpr std::size_t kMaxListeners = 64;
inline constexpr std::size_t kMaxCounters = 256;
inline constexpr std::size_t kMaxMutexes = 64;
inline constexpr std::uint32_t kMaxCpu = 8'191;  // the largest machine that Linux is built for
inline constexpr std::size_t kMaxHistograms = 32;
inline constexpr std::size_t kMaxSemaphores = 16;
inline constexpr std::uint32_t kMaxPermits = 1'023;
inline constexpr std::size_t kMaxRateLimits = 128;
inline constexpr std::uint32_t kMaxBurst = 1'000'000;
inline constexpr std::size_t kMaxQueues = 16;
inline constexpr std::uint64_t kMaxReserve = std::uint64_t{1} << 34U;
inline constexpr std::uint32_t kMaxQueueCapacity = 1U << 20U;
inline constexpr std::uint32_t kMaxItemBytes = 64U << 10U;
inline constexpr std::uint32_t kMaxPriorities = 8;
inline constexpr std::uint32_t kMaxAttempts = 30;
inline constexpr std::size_t kMaxChannels = 8;
inline constexpr std::uint32_t kMaxChannelSlots = 512;
inline constexpr std::uint32_t kMaxChannelCapacity = 1U << 16U;
inline constexpr std::size_t kMaxBlockClasses = 8;
inline constexpr std::uint64_t kMaxBlockBytes = std::uint64_t{1} << 30U;  // one block
inline constexpr std::uint64_t kMaxBlocks = std::uint64_t{1} << 16U;      // of all sizes together
inline constexpr std::size_t kMaxUnixPath = 107;  // sun_path of unix(7) less the NUL

}  // namespace topsman::config
