#pragma once

// What /proc says of a process. Every function answers for a process that may end meanwhile.

#include "shm/base/result.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
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

/// Its session's number (field 6 of stat); 0 when it is gone.
[[nodiscard]] std::uint32_t process_session(std::uint32_t pid);

void for_each_process(const std::function<void(std::uint32_t pid)>& visit);

/// One of its descriptors, by what it refers to: two that are equal here are the same file.
struct OpenFile {
    int number = -1;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint32_t mode = 0;  ///< S_ISSOCK() and the like
};

/// The error is why they may not be seen: another user's process takes CAP_SYS_PTRACE.
[[nodiscard]] Result<std::vector<OpenFile>> open_files(std::uint32_t pid);

/// Is the very file of our descriptor among them?
[[nodiscard]] bool has_open(std::span<const OpenFile> files, int fd) noexcept;

/// Is our descriptor an eventfd(2)?
[[nodiscard]] bool is_eventfd(int fd);

/// Whose process it is; none when it is gone.
[[nodiscard]] std::optional<std::pair<unsigned, unsigned>> process_owner(std::uint32_t pid);

/// Does the environment that it was executed with hold all of these "NAME=value"? A program may
/// have written its title over it (setproctitle(3)).
[[nodiscard]] bool was_executed_with(std::uint32_t pid, std::span<const std::string> variables);

/// What ps(1) calls it; empty when it is gone.
[[nodiscard]] std::string process_name(std::uint32_t pid);

}  // namespace topsman::posix
