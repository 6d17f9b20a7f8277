#pragma once

// What /proc says of a process. Every function answers for a process that may end meanwhile.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace topsman::posix {

struct ProcessInfo {
    char state = '?';               ///< R S D T Z ...
    std::uint32_t session = 0;      ///< its number: the leader's pid
    std::uint64_t start_ticks = 0;  ///< field 22 of stat: with the pid, an identity within a boot
    double cpu_seconds = 0;         ///< user + system
    std::uint64_t rss_bytes = 0;
};

[[nodiscard]] std::optional<ProcessInfo> process_info(std::uint32_t pid);

/// Is the very process that had this pid and start time alive? A zombie is not.
[[nodiscard]] bool is_same_process_alive(std::uint32_t pid, std::uint64_t start_ticks);

[[nodiscard]] std::vector<std::uint32_t> threads_of(std::uint32_t pid);

/// A worker's processes: the leader of a session and its descendants in that session, by
/// /proc/PID/task/TID/children. Not in it: one whose parent has ended, and which init has taken.
[[nodiscard]] std::vector<std::uint32_t> processes_of(std::uint32_t leader);

/// What all of them hold in memory; a page that several share counts for each.
[[nodiscard]] std::uint64_t resident_bytes(std::uint32_t leader);

/// Is the kernel writing its core file now? (CoreDumping: 1 in status)
[[nodiscard]] bool is_dumping_core(std::uint32_t pid);

/// What ps(1) calls it; empty when it is gone.
[[nodiscard]] std::string process_name(std::uint32_t pid);

}  // namespace topsman::posix
