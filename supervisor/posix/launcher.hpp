#pragma once

// Starts one worker. Built on Boost.Process v2's launcher extension point; what is replaced of the
// stock launchers, and why, is in supervisor/posix/README.md.
//
// Everything that can be prepared is prepared in the parent; between fork and exec the child makes
// system calls only. It reports the step that failed through a close-on-exec pipe, which the caller
// reads when it is readable: the master never waits for an exec.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"
#include "supervisor/posix/child.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace topsman::posix {

/// All that a child becomes, ready to be used between fork and exec.
struct ChildSetup {
    std::vector<std::string> command;  ///< looked up in `environment`'s PATH if without a slash
    /// "NAME=value". LISTEN_PID is added beside LISTEN_FDS, TOPSMAN_PID beside any TOPSMAN_*,
    /// WATCHDOG_PID beside WATCHDOG_USEC: only the child knows the number.
    std::vector<std::string> environment;
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
    std::vector<unsigned long> cpu_mask;  ///< as sched_setaffinity(2) takes it; empty: as it is

    // The lane to claim as the first act; null: none.
    std::atomic<std::uint64_t>* lane_word = nullptr;
    std::uint64_t lane_expected = 0;  ///< packed STARTING word
    std::uint64_t lane_started = 0;   ///< packed STARTED word, its low 32 bits are set to the pid
};

/// Where a child failed.
enum class SpawnStage : std::uint8_t {
    Lane,
    Session,
    Signals,
    Descriptors,
    Limits,
    Umask,
    Nice,
    CpuAffinity,
    Groups,
    User,
    WorkingDirectory,
    Exec,
};

struct Launched {
    Child child;
    UniqueFd report;  ///< readable: end of file means that exec succeeded, else see read_report()
};

/// Forks. Errors: what clone(2) and pipe(2) refuse.
[[nodiscard]] Result<Launched> launch(const ChildSetup& setup);

/// What the child reported: nullopt after a successful exec; else a sentence that names the step:
/// "chdir /srv/app: No such file or directory". Does not block; call when readable.
struct SpawnFailure {
    SpawnStage stage;
    int number;  ///< errno
    std::string sentence;
};

[[nodiscard]] std::optional<SpawnFailure> read_report(const UniqueFd& report,
                                                      const ChildSetup& setup);

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
