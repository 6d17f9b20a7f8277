#pragma once

// The fixed sizes of the segment. Everything in it has a limit, so that nothing has to be allocated
// after the first worker was forked. Changing one changes the layout: bump kLayoutVersion.

#include <cstddef>
#include <cstdint>

namespace topsman::shm {

inline constexpr std::uint32_t kLayoutVersion = 16;
inline constexpr std::uint32_t kMaxLanes = 1'023;  // lane 0 is the master's
inline constexpr std::uint32_t kDefaultLanes = 256;
inline constexpr std::uint32_t kMaxMetrics = 256;  // counters and gauges together
inline constexpr std::uint32_t kMaxMutexes = 64;
inline constexpr std::uint32_t kMaxCells = 64;        // TxCells
inline constexpr std::size_t kMaxCellBytes = 512;     // one TxCell's value
inline constexpr std::uint32_t kMaxObjects = 128;     // atomics, limits, events
inline constexpr std::uint32_t kMaxArrays = 16;       // SharedArrays and semaphores together
inline constexpr std::size_t kMaxArrayBytes = 8'192;  // of one of them
inline constexpr std::size_t kMaxBlockClasses = 8;
inline constexpr std::uint64_t kMaxBlocks = std::uint64_t{1} << 16U;      // of all classes together
inline constexpr std::uint64_t kMaxBlockBytes = std::uint64_t{1} << 30U;  // one block
inline constexpr std::size_t kMaxHistograms = 32;
inline constexpr std::uint32_t kMaxPools = 64;
inline constexpr std::uint32_t kMaxListeners = 64;
inline constexpr std::uint32_t kMaxSlots = 512;  // half of the lanes, rounded up
inline constexpr std::size_t kNameBytes = 48;    // with the NUL; names have at most 47 characters
inline constexpr std::size_t kLastWordsBytes = 1'000;
inline constexpr std::uint32_t kEventSlots = 1'024;
inline constexpr std::size_t kEventBytes = 496;  // one event's JSON
inline constexpr std::uint32_t kMaxQueues = 16;
inline constexpr std::uint32_t kMaxQueueCapacity = 1U << 20U;  // a ring's entry has 24 bits for it
inline constexpr std::uint32_t kMaxItemBytes = 64U << 10U;     // longer ones belong in a file
inline constexpr std::uint32_t kMaxPriorities = 8;
inline constexpr std::uint32_t kMaxAttempts = 30;  // a job's word has 5 bits for them
inline constexpr std::uint32_t kMaxChannels = 8;
inline constexpr std::uint32_t kMaxChannelCapacity = 1U << 16U;
inline constexpr std::size_t kCacheLine = 128;  // two lines: the adjacent-line prefetcher

/// The next multiple of `to`.
constexpr std::size_t rounded_up(std::size_t size, std::size_t to) noexcept {
    return (size + to - 1) / to * to;
}

}  // namespace topsman::shm
