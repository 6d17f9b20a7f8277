#pragma once

// Puts the core's snapshot on the scoreboard, where everybody may look: only what has changed since
// the last time, so a quiet master writes nothing.

#include "shm/segment.hpp"
#include "supervisor/adoption.hpp"
#include "supervisor/core/supervisor_core.hpp"
#include "supervisor/posix/listener.hpp"
#include "supervisor/worker_table.hpp"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace topsman::supervisor {

class Publisher {
  public:
    Publisher(shm::Segment& segment, const std::string& cluster, const std::string& config_file);

    void set_note(const std::string& note);  ///< one line for the operator, shown by status
    void publish_listeners(const std::vector<posix::BoundListener>& listeners);
    /// `fingerprint_of`: of what the newest generation of a pool is started from.
    void publish(const core::Snapshot& snapshot, const config::Config& config,
                 const WorkerTable& workers);
    using FingerprintOf = std::function<std::uint64_t(const core::PoolView&)>;
    void set_fingerprints(FingerprintOf fingerprint_of);
    void publish_stopped();  ///< the master ends as it was asked to

    /// What a dead master had shown of them.
    void resume_exits(const std::vector<LeftExit>& exits, const core::Snapshot& snapshot);

    [[nodiscard]] std::vector<LeftExit> exits(const core::Snapshot& snapshot) const;

    /// What is written about a worker before it is there: enough for the next master to adopt it.
    [[nodiscard]] shm::WorkerRecord record_of(const core::Spawn& spawn, const std::string& pool,
                                              std::uint64_t fingerprint) const;

    /// That record is in this lane: taken out again when its worker is no more.
    void recorded(std::uint32_t lane) { lanes_shown_.insert(lane); }

    /// How the last worker of a slot ended; shown with the slot from the next publish() on.
    void record_exit(core::SlotId slot, const std::string& words);

    /// The slot's index in the scoreboard; none before it was published.
    [[nodiscard]] std::optional<std::uint32_t> scoreboard_slot(core::SlotId slot) const;

  private:
    void publish_channels(const core::Snapshot& snapshot);
    void publish_pools(const core::Snapshot& snapshot);
    void publish_workers(const core::Snapshot& snapshot, const config::Config& config,
                         const WorkerTable& workers);
    void publish_master(const core::Snapshot& snapshot);

    shm::Segment& segment_;
    FingerprintOf fingerprint_of_ = [](const core::PoolView&) { return 0; };
    shm::MasterRecord master_{};
    std::map<core::PoolId, std::uint32_t> pool_index_;
    std::map<core::SlotId, std::uint32_t> slot_index_;

    struct LastExit {
        std::string words;
        std::int64_t realtime_ns = 0;
    };

    std::map<core::SlotId, LastExit> last_exits_;
    std::set<std::uint32_t> lanes_shown_;
};

}  // namespace topsman::supervisor
