#pragma once

// From what the operator said (-n, -c, or nothing) to the cluster's record and its segment.

#include "shm/segment.hpp"
#include "supervisor/control/commands.hpp"
#include "supervisor/runtime_dir.hpp"

#include <sys/types.h>

namespace topsman::control {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNotRunning = 3;
inline constexpr int kExitRolledBack = 4;
inline constexpr int kExitTimedOut = 5;
inline constexpr int kExitChanges = 6;

/// What a looker needs: a mapping, and which file it is of, to see when another takes its name.
struct Located {
    std::string segment_name;
    ino_t inode = 0;
    shm::Segment segment;
};

/// By the cluster's record; when that is gone, by the name of the segment that -n implies.
[[nodiscard]] Result<Located> locate(const Target& target);

/// Has the segment's name gone, or does it name another file now?
[[nodiscard]] bool is_replaced(const Located& located);

/// Prints an error as the operator asked for: a sentence to `err`, or {"error": ...} to `out`.
void print_error(const Output& output, const std::string& message);

/// "topsman status -n shop"
[[nodiscard]] std::string command_for(const std::string& cluster, const std::string& command);

}  // namespace topsman::control
