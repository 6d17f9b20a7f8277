#pragma once

// Everything a looker can know of a cluster, read from the segment and /proc, with nothing asked of
// the master: so it works as well beside a hung or a dead one. Plain values; rendering is elsewhere
// (status_text.cpp, status_json.cpp).

#include "shm/base/slot_name.hpp"
#include "shm/segment.hpp"
#include "supervisor/control/queue_view.hpp"
#include "supervisor/control/shared_view.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace topsman::control {

struct WorkerLine {
    std::uint32_t slot = 0;    ///< kNoSlot: a spare's
    std::uint64_t worker = 0;  ///< 0: nobody is in the slot
    std::string role;          ///< current | successor | leaving | spare; empty slot: ""
    std::uint32_t pid = 0;
    std::string state;  ///< starting serving draining aborting killing parked; else the slot's:
                        ///< vacant waiting tripped finished drained
    std::uint32_t generation = 0;
    double uptime_s = 0;
    std::uint64_t restarts = 0;  ///< of the slot
    std::string last_exit;       ///< of the slot, in words
    std::string status;          ///< what the worker says of itself
    std::uint64_t requests = 0;
    std::uint32_t in_flight = 0;
    double cpu_s = 0;
    std::uint64_t rss_bytes = 0;
    std::optional<double> watchdog_age_s;  ///< since its last sign of life; none: watchdog off
    std::optional<double> next_try_s;      ///< waiting: until the next start
    bool output_full = false;
    bool stopped = false;  ///< by SIGSTOP or a debugger
    bool gone = false;     ///< the process does not exist: nobody has told the dead master
};

struct PoolLines {
    std::string name;
    std::uint32_t wanted = 0;
    std::uint32_t ready = 0;
    std::uint32_t spares = 0;  ///< wanted beyond `wanted`
    std::uint32_t spares_ready = 0;
    std::uint32_t drained = 0;  ///< of `wanted`: slots out of use, by `topsman drain`
    std::string breaker;        ///< closed | open
    std::uint32_t generation = 0;
    std::string rollout;  ///< "canary 0/4", "rolling 2/4", "rolling back 1/2", "paused", ...
    std::string note;
    std::vector<WorkerLine> slots;  ///< by slot; current, successor, leaving; then the spares
};

struct ListenerLine {
    std::string name;
    std::string address;
    std::string accept;  ///< shared | reuse_port
    std::uint32_t queue = 0;
    std::uint32_t backlog = 0;
    std::uint32_t sockets = 0;
    std::uint32_t nudges = 0;  ///< connections of the master's own, after a wake-up was lost
    bool is_leaving = false;   ///< the configuration has it no more; its last workers still do
};

struct CounterLine {
    std::string name;
    std::uint64_t total = 0;
    std::vector<std::pair<std::uint32_t, std::uint64_t>> lanes;  ///< non-zero cells
};

struct GaugeLine {
    std::string name;
    std::int64_t total = 0;
};

struct MutexLine {
    std::string name;
    std::string state;  ///< free | held | poisoned | overwritten
    std::string owner;  ///< "web/2", empty when free
    std::uint64_t owner_deaths = 0;
    std::uint32_t pid = 0;      ///< of the owner; 0: free, or nobody knows it
    double held_s = 0;          ///< by this owner
    std::uint32_t waiting = 0;  ///< workers
};

struct ClusterView {
    std::string cluster;
    std::string version;
    std::string config_file;
    std::uint32_t config_generation = 0;
    std::uint32_t master_pid = 0;
    std::string master_state;  ///< starting running stopping hung dead
    std::string trouble;       ///< hung, dead: why it is thought to be so
    double uptime_s = 0;       ///< of the master; 0: dead
    std::string note;
    std::vector<ListenerLine> listeners;
    std::vector<PoolLines> pools;
    std::vector<CounterLine> counters;
    std::vector<GaugeLine> gauges;
    std::vector<MutexLine> mutexes;
    std::vector<SharedLine> shared;
    std::vector<QueueLine> queues;
};

/// Reads it all, once. Never blocks, never changes anything; safe on hostile bytes.
[[nodiscard]] ClusterView read_cluster(const shm::Segment& segment);

}  // namespace topsman::control
