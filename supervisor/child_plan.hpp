#pragma once

// What a worker becomes between fork and exec, put together from its specification and from what
// was made for it: its environment, its descriptors, its CPUs, its lane.

#include "shm/lane.hpp"
#include "supervisor/core/types.hpp"
#include "supervisor/posix/launcher.hpp"
#include "supervisor/spec.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace topsman::supervisor {

/// Which worker it is: what TOPSMAN_* say.
struct WorkerName {
    std::string cluster;
    core::WorkerId worker;
    core::SlotId slot;
    core::Generation generation;
};

struct ChildPlan {
    const Spec& spec;
    WorkerName name;
    std::vector<std::pair<std::string, int>> listeners;  ///< by name, our descriptors
    std::string notify_socket;
    shm::Lane& lane;
    std::uint32_t lane_number = 0;
    std::uint32_t lane_generation = 0;
    std::uint32_t epoch = 0;
    int segment_fd = -1;
    int wake_fd = -1;
    int stdout_fd = -1;  ///< -1: as the master's
    int lock_fd = -1;
};

[[nodiscard]] posix::ChildSetup set_up_child(const ChildPlan& plan);

/// What its probe becomes: the same user, directory, limits and variables, without its descriptors.
/// TOPSMAN_PID is the worker's, `pid`.
[[nodiscard]] posix::ChildSetup set_up_probe(const Spec& spec, const WorkerName& name,
                                             std::uint32_t pid, int lock_fd);

}  // namespace topsman::supervisor
