#pragma once

// What a child does between its start and its exec, one step a type: internal to the launcher.
//
// It does so on its parent's memory while the parent runs on (clone(2), CLONE_VM). Therefore only
// system calls are made here, by system_call.hpp, and nothing is written but the child's own stack
// and what the launcher made for this child alone. child_steps_test.cpp checks that the compiled
// steps refer to no function outside of them. A step returns 0 or errno.

#include "supervisor/posix/spawn_stage.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <sys/types.h>
#include <utility>

namespace topsman::posix::steps {

constexpr int kExitLane = 125;
constexpr int kExitSpawn = 127;

/// What goes through the report pipe; written whole (pipe(7): at most PIPE_BUF bytes).
struct Report {
    SpawnStage stage = SpawnStage::Lane;
    std::int32_t number = 0;
    std::int32_t detail = 0;  ///< which limit
};

/// Prepared elements: a container's own functions may be any library's.
template <class Element>
struct List {
    Element* first = nullptr;
    std::size_t size = 0;
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
    List<int> inherited;
    int stdout_fd;
    int stderr_fd;
    int* report_fd;  ///< moved out of the way of the targets

    int operator()() noexcept;
};

struct SetLimits {
    List<const std::pair<int, std::int64_t>> limits;
    std::int32_t* detail;

    int operator()() const noexcept;
};

struct SetUmask {
    bool wanted;
    mode_t mask;

    int operator()() const noexcept;
};

struct SetNice {
    bool wanted;
    int value;

    int operator()() const noexcept;
};

struct SetCpuAffinity {
    List<const unsigned long> mask;  ///< empty: as it is

    int operator()() const noexcept;
};

struct SetGroups {
    bool wanted;
    List<const gid_t> groups;
    gid_t gid;

    int operator()() const noexcept;
};

/// After this nothing of the master's privileges is left, ambient capabilities included.
struct SetUser {
    bool wanted;
    uid_t uid;

    int operator()() const noexcept;
};

/// After SetUser: the kernel forgets it when a process becomes another user (prctl(2),
/// PR_SET_PDEATHSIG).
struct SetDeathSignal {
    int signal;  ///< 0: none
    pid_t parent;

    int operator()() const noexcept;
};

struct ChangeDirectory {
    const char* path;  ///< null: stays where the master is

    int operator()() const noexcept;
};

/// Writes this process's id into environment buffers that end in room for it.
struct PatchPid {
    static constexpr std::size_t kPidRoom = 12;
    static constexpr std::size_t kMost = 3;
    char* places[kMost] = {};  ///< each with kPidRoom bytes of NUL, or null

    int operator()() const noexcept;
};

/// execvpe(3)'s rules over a list made in advance, which ends in null; but a file that the kernel
/// cannot run is an error and not a shell script. Returns only errors.
int exec_first(const char* const* candidates, const char* const* argv,
               const char* const* environment) noexcept;

/// Sends the report and ends this process.
[[noreturn]] void fail(int report_fd, const Report& report) noexcept;

}  // namespace topsman::posix::steps
