#pragma once

// What a YAML file means, as plain values. No parsing, no I/O: the pure core links this and nothing
// else of config/. Every default is here and documented in config/README.md; a test compares them.
//
// Names are the YAML's own. A value that a later version will accept is refused by validate.cpp
// with a sentence, and is not modelled here.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace topsman::config {

using Duration = std::chrono::milliseconds;

enum class Accept : std::uint8_t { Shared, ReusePort };
enum class ReadyBy : std::uint8_t { None, Notify, Listening, Exec };
enum class RestartPolicy : std::uint8_t { Always, OnFailure, OnAbnormal, No };
enum class BreakerAction : std::uint8_t { Degrade, Stop, Exit };
enum class OnFailure : std::uint8_t { Rollback, Pause };
enum class OutputTo : std::uint8_t { Inherit, Prefix };
enum class SegmentUse : std::uint8_t { Inherit, None };
enum class OnMasterDeath : std::uint8_t { Keep, Stop };
enum class LogLevel : std::uint8_t { Debug, Info, Warning, Error };
enum class LogFormat : std::uint8_t { Text, Json };

/// `http: { address: "0.0.0.0:8080", backlog: 4096, accept: shared }`
struct Listener {
    std::string name;
    std::string address;  ///< as written: `host:port`, `[v6]:port`, `unix:/path`
    std::uint32_t backlog = 4096;
    Accept accept = Accept::Shared;
    std::optional<std::uint32_t> mode;  ///< unix sockets only; octal in the file: "0660"
    std::string owner;                  ///< unix sockets only; `user` or `user:group`; empty: as is

    /// What makes it another socket: another address, another way to share it.
    [[nodiscard]] std::string socket() const {
        return accept == Accept::ReusePort ? address + " (reuse_port)" : address;
    }

    friend bool operator==(const Listener&, const Listener&) = default;
};

struct Ready {
    ReadyBy by = ReadyBy::None;
    Duration timeout{30'000};
    Duration min_uptime{1'000};          ///< with `none`: alive for so long means ready
    bool assumed = false;                ///< the file does not say by what: `listening` is a guess
    std::vector<std::string> command{};  ///< with `exec`
    Duration interval{1'000};            ///< with `exec`: between two runs
    Duration run_timeout{5'000};         ///< with `exec`: of one run
    friend bool operator==(const Ready&, const Ready&) = default;
};

struct Watchdog {
    Duration timeout{0};  ///< 0 = off
    int signal = 6;       ///< SIGABRT
    Duration kill_after{5'000};
    friend bool operator==(const Watchdog&, const Watchdog&) = default;
};

struct Backoff {
    Duration initial{100};
    double factor = 2;
    Duration max{30'000};
    double jitter = 0.2;
    Duration reset_after{60'000};
    friend bool operator==(const Backoff&, const Backoff&) = default;
};

struct StartLimit {
    std::uint32_t burst = 0;  ///< 0 = no limit
    Duration interval{10'000};
    BreakerAction action = BreakerAction::Degrade;
    friend bool operator==(const StartLimit&, const StartLimit&) = default;
};

struct Rollout {
    std::uint32_t max_surge = 1;
    std::uint32_t max_unavailable = 0;
    Duration observe{1'000};  ///< so long the first new worker has to stay ready
    Duration delay{0};        ///< from one that has replaced its predecessor to the next
    OnFailure on_failure = OnFailure::Rollback;
    friend bool operator==(const Rollout&, const Rollout&) = default;
};

struct Recycle {
    Duration lifetime{0};  ///< 0 = never
    double jitter = 0.1;
    std::uint32_t requests = 0;  ///< finished by one worker; 0 = any number
    std::int64_t memory = 0;     ///< bytes resident in all processes of a worker; 0 = any size
    friend bool operator==(const Recycle&, const Recycle&) = default;
};

/// Resource limits by their setrlimit(2) names in lower case: nofile, memory (RLIMIT_AS), core, ...
/// -1 means unlimited.
using Limits = std::map<std::string, std::int64_t>;

/// Which CPUs a worker may run on.
struct CpuAffinity {
    bool by_slot = false;             ///< `auto`: one for each slot, of those the master may use
    std::vector<std::uint32_t> cpus;  ///< else these, ascending; empty: as the master
    friend bool operator==(const CpuAffinity&, const CpuAffinity&) = default;
};

/// What only exec can change: a worker with another one of these is another generation.
struct Exec {
    std::vector<std::string> command;
    std::vector<std::string> listeners;  ///< names, in the order of their descriptors
    std::vector<std::string> sockets;    ///< Listener::socket() of each
    SegmentUse segment = SegmentUse::Inherit;
    std::map<std::string, std::string> environment;
    std::string env_file;           ///< absolute; empty: none
    std::string working_directory;  ///< absolute
    std::optional<std::uint32_t> umask;
    std::string user;   ///< empty: the master's own
    std::string group;  ///< empty: the user's own
    Limits limits;
    std::optional<int> nice;  ///< none: the master's own
    CpuAffinity cpu_affinity;
    OutputTo output = OutputTo::Inherit;
    OnMasterDeath on_master_death = OnMasterDeath::Keep;
    friend bool operator==(const Exec&, const Exec&) = default;
};

/// One pool. What is not in `exec` applies at once to living workers.
struct Pool {
    std::string name;
    Exec exec;
    std::uint32_t workers = 1;  ///< `auto` is resolved when the file is loaded
    bool workers_auto = false;
    std::uint32_t spares = 0;          ///< warmed up beyond `workers`, for whom dies
    Duration spare_lifetime{300'000};  ///< one is replaced by another at this age
    Ready ready;
    Watchdog watchdog;
    RestartPolicy restart = RestartPolicy::Always;
    Backoff backoff;
    StartLimit start_limit;
    int stop_signal = 15;  ///< SIGTERM
    Duration stop_timeout{30'000};
    Rollout rollout;
    std::uint32_t max_old_generations = 0;  ///< that may be draining at once; 0 = any number
    Recycle recycle;
    friend bool operator==(const Pool&, const Pool&) = default;
};

/// `db: 20`
struct Semaphore {
    std::string name;
    std::uint32_t permits = 1;
    friend bool operator==(const Semaphore&, const Semaphore&) = default;
};

/// `api: { rate: 1000/s, burst: 200 }`
struct RateLimit {
    std::string name;
    std::uint64_t interval_ns = 0;  ///< between two: 1,000,000 for 1000/s
    std::uint32_t burst = 1;
    friend bool operator==(const RateLimit&, const RateLimit&) = default;
};

/// `thumbnails: { capacity: 65536, item_size: 256, max_attempts: 3 }`
struct Queue {
    std::string name;
    std::uint32_t capacity = 1'024;
    std::uint32_t item_size = 256;
    std::uint32_t max_attempts = 3;
    std::uint32_t priorities = 1;
    bool dedup = false;
    std::uint32_t result_size = 0;  ///< 0: jobs have no results
    friend bool operator==(const Queue&, const Queue&) = default;
};

enum class Delivery : std::uint8_t { AtLeastOnce, AtMostOnce };

/// `news: { to: web, capacity: 128, message_size: 256 }`
struct Channel {
    std::string name;
    std::string to;            ///< the pool whose slots receive
    std::uint32_t slots = 64;  ///< that have an inbox
    std::uint32_t capacity = 128;
    std::uint32_t message_size = 256;
    Delivery delivery = Delivery::AtLeastOnce;
    friend bool operator==(const Channel&, const Channel&) = default;
};

/// `blocks: { 16KiB: 1024 }`
struct Blocks {
    std::uint64_t size = 0;   ///< bytes of one
    std::uint32_t count = 0;  ///< how many
    friend bool operator==(const Blocks&, const Blocks&) = default;
};

struct Shared {
    std::vector<std::string> counters;
    std::vector<std::string> mutexes;
    std::vector<std::string> histograms;
    std::vector<Semaphore> semaphores;   ///< in the file's order
    std::vector<RateLimit> rate_limits;  ///< in the file's order
    std::vector<Queue> queues;           ///< in the file's order
    std::vector<Channel> channels;       ///< in the file's order
    std::vector<Blocks> blocks;          ///< rising sizes
    friend bool operator==(const Shared&, const Shared&) = default;
};

struct Control {
    std::string socket;  ///< empty: RUNTIME/CLUSTER.sock
    std::uint32_t mode = 0600;
    std::string group;  ///< empty: as is
    friend bool operator==(const Control&, const Control&) = default;
};

struct Log {
    LogLevel level = LogLevel::Info;
    LogFormat format = LogFormat::Text;
    friend bool operator==(const Log&, const Log&) = default;
};

struct Segment {
    std::uint32_t lanes = 256;          ///< at most 1,023; lane 0 is the master's
    std::uint64_t reserve = 4U << 20U;  ///< bytes for what a reload adds
    friend bool operator==(const Segment&, const Segment&) = default;
};

/// What a configuration was loaded from. The same text means the same again, whatever has become of
/// the file and of the environment since.
struct Source {
    std::string path;  ///< relative paths in it are meant from there
    std::string text;
    std::map<std::string, std::string> variables;  ///< those that it names, as far as they were set
    std::uint32_t cpus = 1;                        ///< what `auto` was
};

/// Where it comes from is no part of what a configuration says: two are equal whatever it is.
struct Origin {
    std::shared_ptr<const Source> source;

    friend bool operator==(const Origin& /*a*/, const Origin& /*b*/) { return true; }
};

/// A whole file, valid: names resolve, ranges hold, relative paths are absolute.
struct Config {
    std::string cluster;
    std::string file;  ///< real path of the file it came from
    Log log;
    Segment segment;
    std::vector<Listener> listeners;  ///< in the file's order
    std::vector<Pool> pools;          ///< in the file's order
    Shared shared;
    Control control;
    bool watch = false;
    Origin origin;
    friend bool operator==(const Config&, const Config&) = default;

    [[nodiscard]] const Pool* find_pool(const std::string& name) const {
        for (const Pool& pool : pools) {
            if (pool.name == name) {
                return &pool;
            }
        }
        return nullptr;
    }

    [[nodiscard]] const Listener* find_listener(const std::string& name) const {
        for (const Listener& listener : listeners) {
            if (listener.name == name) {
                return &listener;
            }
        }
        return nullptr;
    }
};

}  // namespace topsman::config
