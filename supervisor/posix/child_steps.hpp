#pragma once

// What a child does between fork and exec, one step a type: internal to the launcher.
//
// Only system calls are made here, on memory that the parent prepared: another thread of the master
// may have held any lock at the fork (fork(2), signal-safety(7)). The C library's setuid family is
// out too: it signals "all threads" of a process that has one. A step returns 0 or errno.

#include "supervisor/posix/launcher.hpp"

#include <atomic>
#include <cstdint>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace topsman::posix::steps {

constexpr int kExitLane = 125;
constexpr int kExitSpawn = 127;

/// What goes through the report pipe; written whole (pipe(7): at most PIPE_BUF bytes).
struct Report {
    SpawnStage stage = SpawnStage::Lane;
    std::int32_t number = 0;
    std::int32_t detail = 0;  ///< which limit
};

/// The child's first act: one CAS that records it. Where it fails the lane was taken back by
/// another master, and this child must not run.
struct ClaimLane {
    std::atomic<std::uint64_t>* word;
    std::uint64_t expected;
    std::uint64_t started;
    int lock_fd;

    int operator()() const noexcept;
};

struct NewSession {
    int operator()() const noexcept;
};

/// All dispositions to default, then the mask emptied.
struct ResetSignals {
    int operator()() const noexcept;
};

/// Descriptors 0, 1, 2, then `inherited` from 3 on; all others, and the report pipe, close on exec.
struct PlaceDescriptors {
    std::vector<int> inherited;
    int stdout_fd;
    int stderr_fd;
    int* report_fd;  ///< moved out of the way of the targets

    int operator()() noexcept;

  private:
    int move_away(int& fd, int lowest) const noexcept;
};

struct SetLimits {
    const std::vector<std::pair<int, std::int64_t>>* limits;
    std::int32_t* detail;

    int operator()() const noexcept;
};

struct SetNice {
    std::optional<int> wanted;

    int operator()() const noexcept;
};

struct SetCpuAffinity {
    const std::vector<unsigned long>* mask;

    int operator()() const noexcept;
};

struct SetGroups {
    bool wanted;
    const std::vector<gid_t>* groups;
    gid_t gid;

    int operator()() const noexcept;
};

/// After this nothing of the master's privileges is left, ambient capabilities included.
struct SetUser {
    bool wanted;
    uid_t uid;

    int operator()() const noexcept;
};

/// Writes this process's id into environment buffers that end in room for it.
struct PatchPid {
    std::vector<char*> places;  ///< each with kPidRoom bytes of NUL

    static constexpr std::size_t kPidRoom = 12;
    void operator()() const noexcept;
};

}  // namespace topsman::posix::steps
