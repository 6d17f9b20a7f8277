#pragma once

// Where a running cluster keeps its files, and how commands find it.
//
// The master's RUNTIME is $RUNTIME_DIRECTORY, else /run/topsman for root, else
// $XDG_RUNTIME_DIR/topsman, else /tmp/topsman-UID (0700, ownership checked). Commands look in
// /run/topsman and in their own user's, or, where $RUNTIME_DIRECTORY is set, there alone. A running
// master keeps CLUSTER.lock, CLUSTER.sock, CLUSTER.json and CLUSTER.generations there.

#include "shm/base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace topsman {

/// What CLUSTER.json says.
struct ClusterRecord {
    std::string cluster;
    std::uint32_t pid = 0;
    std::uint64_t start_ticks = 0;
    std::string file;         ///< real path of the YAML file
    std::string socket;       ///< control socket
    std::string segment;      ///< name in /dev/shm
    std::string directory;    ///< where it was found; not in the file
    std::uint32_t owner = 0;  ///< whose file it is: the master's user
};

/// The master's own, created if missing. Error: cannot be written, or belongs to somebody else.
[[nodiscard]] Result<std::string> own_runtime_dir();

/// The socket by which the worker of a lane reports (sd_notify). `prefix` is DIRECTORY/CLUSTER, as
/// of all files of a cluster.
[[nodiscard]] std::string notify_path(const std::string& prefix, std::size_t lane);

/// Where commands look, in order.
[[nodiscard]] std::vector<std::string> searched_runtime_dirs();

/// Written whole or not at all (rename), by the holder of the cluster's lock. Asks for no flush: it
/// is for who comes after this process, not after this boot.
[[nodiscard]] Result<void> replace_file(const std::string& path, std::string_view text,
                                        std::uint32_t mode);

/// Written whole or not at all.
[[nodiscard]] Result<void> write_record(const std::string& dir, const ClusterRecord& record);
void remove_record(const std::string& dir, const std::string& cluster);
[[nodiscard]] Result<ClusterRecord> read_record(const std::string& path);

/// How a command names its cluster: -n CLUSTER, -c FILE (matched by real path, never parsed), or
/// neither when there is exactly one. Errors: none found (errc::no_such_process), several (lists
/// them and says which option to give).
[[nodiscard]] Result<ClusterRecord> find_cluster(const std::optional<std::string>& name,
                                                 const std::optional<std::string>& file);

}  // namespace topsman
