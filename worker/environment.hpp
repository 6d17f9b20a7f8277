#pragma once

// What the process environment says about this worker, read once and checked; no descriptor is
// touched here. The variables are those of sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3),
// and ours (TOPSMAN_*).

#include "shm/base/result.hpp"
#include "topsman/worker.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace topsman::detail {

struct Environment {
    bool is_supervised = false;  ///< TOPSMAN_PID names this process
    std::string cluster;
    std::string pool;
    std::uint32_t slot = 0;  ///< UINT32_MAX: a spare, whose lane will say it
    std::uint64_t generation = 0;
    std::uint64_t worker = 0;

    std::optional<int> segment_fd;
    std::uint32_t lane = 0;  ///< with a segment: at least 1
    std::uint32_t lane_generation = 0;
    std::optional<int> wake_fd;

    std::vector<InheritedListener> listeners;
    std::string notify_socket;
    std::chrono::microseconds watchdog{0};
};

/// `get` is like getenv(3), `pid` is this process. What is addressed to another process
/// (LISTEN_PID, WATCHDOG_PID or TOPSMAN_PID is another number) is left out: it was meant for a
/// parent. Errors name the variable.
[[nodiscard]] Result<Environment> read_environment(
    const std::function<const char*(const char*)>& get, std::uint32_t pid);

}  // namespace topsman::detail
