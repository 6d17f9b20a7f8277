#pragma once

// The segment that a master begins with: a new one, or that of a dead master, swept and kept with
// its counters, with whoever of its workers still lives.

#include "config/model.hpp"
#include "shm/segment.hpp"
#include "shm/sweep.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/start.hpp"

#include <string>
#include <vector>

namespace topsman::supervisor {

struct ClusterSegment {
    shm::Segment segment;
    std::vector<shm::LivingWorker> started;  ///< by earlier masters
    std::vector<shm::LivingWorker> living;   ///< those of them who still are
};

/// What the segment of a cluster is made by.
[[nodiscard]] shm::Segment::Options segment_options(const config::Config& config);

/// Keeps a fitting one, puts aside one that does not fit, makes one where there is none. A segment
/// with living workers is put aside only after they have ended (RunOptions::take_over, unattended);
/// else the error names them. Blocks while they end: there is no loop yet.
Result<ClusterSegment> make_segment(const config::Config& config, const RunOptions& options,
                                    Journal& journal);

/// Where a configuration says `control.group`: who may use the control socket may look.
Result<void> share_with_group(const shm::Segment& segment, const std::string& group);

/// What the operator is told of living workers with whom nobody goes on, because of `why`.
[[nodiscard]] Error still_running(const shm::Segment& segment,
                                  const std::vector<shm::LivingWorker>& living,
                                  const config::Config& config, const std::string& why);

/// Ends those who still live (end_workers) and sweeps their lanes.
Result<void> end_living(ClusterSegment& ground, const config::Config& config, Journal& journal);

}  // namespace topsman::supervisor
