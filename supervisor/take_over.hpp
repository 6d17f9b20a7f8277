#pragma once

#include "config/model.hpp"
#include "shm/segment.hpp"
#include "shm/sweep.hpp"
#include "supervisor/journal.hpp"

#include <string>
#include <vector>

namespace topsman::supervisor {

/// Is the worker that this process id stood for alive? Its start time tells; 0 means that its
/// master died before it wrote it down: then its own environment must name the cluster and the id,
/// or, before its exec, the segment's file be among those it has open, so that a stranger with the
/// same number is never taken for it.
[[nodiscard]] bool is_living_worker(std::uint32_t pid, std::uint64_t start_ticks,
                                    const std::string& cluster, int segment_fd = -1);

/// Living workers of a master that is gone, as the scoreboard names them: "web/0 (pid 12)".
[[nodiscard]] std::vector<std::string> names_of(const shm::Segment& segment,
                                                const std::vector<shm::LivingWorker>& workers);

/// Ends them by their pool's stop signal, after its stop_timeout by SIGKILL, and waits until they
/// are gone. Blocks: there is no loop yet.
Result<void> end_workers(const shm::Segment& segment, const std::vector<shm::LivingWorker>& workers,
                         const config::Config& config, Journal& journal);

}  // namespace topsman::supervisor
