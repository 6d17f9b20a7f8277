#pragma once

// What a new master does with the living workers of a dead one: it goes on with them. Who they are
// comes from the segment, which any worker may write to; that they are so comes from the kernel: a
// pidfd, a start time, and something that only a worker of this cluster has. Whoever cannot be
// proven is left alone, and one sentence says so.

#include "shm/segment.hpp"
#include "shm/sweep.hpp"
#include "supervisor/core/inheritance.hpp"
#include "supervisor/kept_generations.hpp"
#include "supervisor/posix/child.hpp"
#include "supervisor/posix/listener.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/spec.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace topsman::supervisor {

/// One worker of a dead master.
struct Adoptee {
    core::LeftWorker left;
    shm::LivingWorker lane;
    shm::WorkerRecord record{};
    std::optional<posix::Child> child;   ///< none: it died while there was no master
    std::vector<posix::OpenFile> files;  ///< what it has open
};

/// How the last worker of a slot had ended, for those who look.
struct LeftExit {
    std::string pool;
    std::uint32_t slot = 0;
    std::string words;
    std::int64_t realtime_ns = 0;
};

struct Adoption {
    core::Inheritance left;  ///< `workers` is empty until the adoptees have been told apart
    std::vector<Adoptee> workers;
    std::vector<LeftExit> exits;
    /// Of the listeners that were looked for; none is empty.
    posix::KeptSockets sockets;
    /// The scoreboard's row of each listener that was there, by the inode of its first socket: the
    /// living know it by that.
    std::map<std::uint64_t, std::uint32_t> rows;
};

/// Those of `config` and of what it may go on to, or go back to.
[[nodiscard]] std::vector<config::Listener> listeners_of(const config::Config& config,
                                                         const KeptGenerations* kept);

/// `started`: all whom earlier masters had started (shm::find_started, before the sweep); `living`:
/// those of them who live; `kept`: what a dead master had started them from, null: it is not known.
/// `stored`: sockets that need not be looked for, as somebody has kept them. The error names each
/// that cannot be adopted, and why.
[[nodiscard]] Result<Adoption> adopt(const shm::Segment& segment,
                                     const std::vector<shm::LivingWorker>& started,
                                     const std::vector<shm::LivingWorker>& living,
                                     const config::Config& config, const Specs& specs,
                                     const KeptGenerations* kept, const posix::KeptSockets& stored);

}  // namespace topsman::supervisor
