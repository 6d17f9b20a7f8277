#pragma once

#include "config/model.hpp"
#include "shm/segment.hpp"
#include "shm/sweep.hpp"
#include "supervisor/say.hpp"

#include <chrono>
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

/// Ends them by their pool's stop signal, after its stop_timeout, or after `at_most` if that is
/// shorter, by SIGKILL, and waits until they are gone. A pool that `config` does not have is ended
/// by the defaults. Blocks: there is no loop. Error: one of them is not proven to be a worker of
/// this cluster (what the segment says of it, any worker may have written), and nobody was
/// signalled; or one does not end.
Result<void> end_workers(const shm::Segment& segment, const std::vector<shm::LivingWorker>& workers,
                         const config::Config& config, const Say& say,
                         std::chrono::milliseconds at_most = std::chrono::milliseconds::max());

}  // namespace topsman::supervisor
