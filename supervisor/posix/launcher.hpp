#pragma once

// Starts one worker. Built on Boost.Process v2's launcher extension point; what is replaced of the
// stock launchers, and why, is in supervisor/posix/README.md.
//
// Everything that can be prepared is prepared in the parent; between its start and its exec the
// child makes system calls only, on the parent's memory, while the parent runs on: copying page
// tables for a process that drops them at once would be most of the cost of a start. The child
// reports the step that failed through a close-on-exec pipe, which the caller reads when it is
// readable: the master never waits for an exec.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"
#include "supervisor/posix/child.hpp"
#include "supervisor/posix/spawn_stage.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace topsman::posix {

/// All that a child becomes.
struct ChildSetup {
    std::vector<std::string> command;  ///< looked up in `environment`'s PATH if without a slash
    /// "NAME=value". LISTEN_PID is added beside LISTEN_FDS, TOPSMAN_PID beside any TOPSMAN_*,
    /// WATCHDOG_PID beside WATCHDOG_USEC: only the child knows the number.
    std::vector<std::string> environment;
    std::uint32_t about = 0;  ///< TOPSMAN_PID is that process's instead of its own; 0: its own
    std::string working_directory;
    std::vector<int> listeners;  ///< become descriptors 3, 4, ...
    int segment_fd = -1;         ///< inherited as the descriptor after the listeners
    int wake_fd = -1;            ///< its event descriptor, after the segment
    int stdout_fd = -1;          ///< for both stdout and stderr; -1: inherited as they are
    int stderr_fd = -1;          ///< for stderr alone, where it differs from stdout_fd
    int lock_fd = -1;            ///< the master's lock: closed before all else
    std::optional<std::uint32_t> umask;
    std::optional<std::uint32_t>
        uid;  ///< set with gid and groups, after everything that needs root
    std::optional<std::uint32_t> gid;
    std::vector<std::uint32_t> groups;
    std::vector<std::pair<int, std::int64_t>> limits;  ///< RLIMIT_*, value; -1: unlimited
    std::optional<int> nice;
    int death_signal = 0;  ///< what it gets when the thread that launches it ends; 0: nothing
    std::vector<unsigned long> cpu_mask;  ///< as sched_setaffinity(2) takes it; empty: as it is

    // The lane to claim as the first act; null: none.
    std::atomic<std::uint64_t>* lane_word = nullptr;
    std::uint64_t lane_expected = 0;  ///< packed STARTING word
    std::uint64_t lane_started = 0;   ///< packed STARTED word, its low 32 bits are set to the pid
};

/// "chdir /srv/app: No such file or directory"
struct SpawnFailure {
    SpawnStage stage;
    int number;  ///< errno
    std::string sentence;
};

/// What was prepared for one child, and its stack: the child's alone until it has exec'ed or ended.
class PreparedChild {
  public:
    explicit PreparedChild(ChildSetup wanted) : setup(std::move(wanted)) {}

    virtual ~PreparedChild() = default;
    PreparedChild(const PreparedChild&) = delete;
    PreparedChild& operator=(const PreparedChild&) = delete;

    const ChildSetup setup;
};

/// What becomes of a child's exec, and the memory that the child runs on until then.
///
/// The kernel closes the child's end of the report pipe only after the child has left its old
/// memory, by exec or by its end (execve(2), exit(2)): the end of file is when that memory is free.
class SpawnReport {
  public:
    SpawnReport(UniqueFd pipe, std::unique_ptr<PreparedChild> child) noexcept;
    SpawnReport(SpawnReport&&) noexcept = default;
    SpawnReport& operator=(SpawnReport&&) = delete;
    SpawnReport(const SpawnReport&) = delete;
    SpawnReport& operator=(const SpawnReport&) = delete;
    /// Never frees what a child still runs on: that is left to it for good.
    ~SpawnReport();

    /// Readable: the child has exec'ed, or has failed, or has been killed before it could.
    [[nodiscard]] int fd() const noexcept { return pipe_.get(); }

    /// Nothing after a successful exec, and of a child that was killed, whose exit says so; else
    /// the step that failed. Does not block; call once, when readable.
    [[nodiscard]] std::optional<SpawnFailure> read();

  private:
    UniqueFd pipe_;
    std::unique_ptr<PreparedChild> child_;
};

struct Launched {
    Child child;
    SpawnReport report;  ///< to be kept until it has been read, after a failure until the exit
    std::uint64_t start_ticks = 0;  ///< as process_info() has them; 0: the child was gone already
};

/// Starts the child. Errors: what clone(2), pipe(2) and mmap(2) refuse.
[[nodiscard]] Result<Launched> launch(ChildSetup setup);

/// "web/2"-independent resolution of a pool's user, group and limits. Errors name the word.
struct Identity {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
    std::string home;
    std::string name;   ///< empty for a number that no account has
    std::string shell;  ///< may be empty
};

/// Names or numbers; an empty user is the process's own, an empty group the user's own.
[[nodiscard]] Result<Identity> resolve_user(const std::string& user, const std::string& group);

/// The RLIMIT_* of a key of `limits`: "nofile" -> RLIMIT_NOFILE, "memory" -> RLIMIT_AS; nullopt for
/// a word that is none.
[[nodiscard]] std::optional<int> limit_number(const std::string& name);
[[nodiscard]] std::string limit_name(int number);

/// Descriptors 0 to 2 must be open before anything else is opened, else a pipe of ours would become
/// a worker's stdout: closed ones are opened on /dev/null. For main(), first of all.
void ensure_standard_descriptors() noexcept;

}  // namespace topsman::posix
