#pragma once

// The scoreboard says what the master, every pool, slot, worker and listener is doing. The master
// is its only writer; readers never lock and never disturb it. Each record has two copies and an
// index (TwoCopy): a master killed at any instruction leaves every record whole, the old or the new
// one.
//
// Records are plain data of fixed size; text is NUL-terminated UTF-8, cut to fit.

#include "shm/limits.hpp"
#include "shm/two_copy.hpp"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace topsman::shm {

enum class MasterState : std::uint32_t { Starting = 0, Running = 1, Stopping = 2, Stopped = 3 };
enum class SlotPhase : std::uint32_t {
    Unused,
    Vacant,
    Waiting,
    Occupied,
    Tripped,
    Finished,
    Drained
};
enum class WorkerRole : std::uint32_t { None, Current, Successor, Leaving, Spare };
enum class WorkerState : std::uint32_t {
    None,
    Starting,
    Serving,
    Draining,
    Aborting,
    Killing,
    Parked  // a spare that is ready and waits for a seat
};
/// Slot: of the pool's slots one or more were given up, the pool itself was not.
enum class BreakerState : std::uint32_t { Closed, Open, Slot };

/// `char[N]` <- text, cut at a UTF-8 boundary, always NUL-terminated.
void put_text(char* to, std::size_t size, std::string_view text) noexcept;

template <std::size_t N>
void put_text(char (&to)[N], std::string_view text) noexcept {
    put_text(to, N, text);
}

/// What put_text() wrote; of bytes that anybody may have written, as many as there are before a
/// NUL.
template <std::size_t N>
[[nodiscard]] std::string text_of(const char (&from)[N]) {
    return {from, ::strnlen(from, N)};
}

struct MasterRecord {
    MasterState state;
    std::uint32_t pid;
    std::uint64_t start_ticks;          // /proc/PID/stat field 22
    std::int64_t started_monotonic_ns;  // CLOCK_MONOTONIC
    std::uint32_t config_generation;
    std::uint32_t pools;  // how many records of each table are in use
    std::uint32_t slots;
    std::uint32_t listeners;
    char cluster[kNameBytes];
    char version[32];
    char config_file[256];
    char note[160];  // one line for the operator: "watching config.yaml", ...
};

struct PoolRecord {
    char name[kNameBytes];
    std::uint32_t wanted;
    std::uint32_t ready;
    BreakerState breaker;
    std::uint32_t generation;
    char rollout[32];  // "", "rolling 2/4", "failed"
    char note[160];
    std::uint64_t fingerprint;             // of what `generation` is started from
    std::int64_t not_before_monotonic_ns;  // its own delay, while nobody in it is ready
    std::uint32_t failures;                // early deaths in a row, of all slots
    std::uint32_t configured;              // workers in the file; `wanted` may have been scaled
    std::uint32_t spares;                  // wanted beyond those
    std::uint32_t reserved;
};

struct SlotRecord {
    SlotPhase phase;
    std::uint32_t pool;      // index into the pools
    std::uint32_t slot;      // number within its pool
    std::uint32_t failures;  // early deaths in a row
    std::uint64_t restarts;
    std::int64_t not_before_monotonic_ns;  // Waiting: when it will be tried again
    std::int64_t last_exit_realtime_ns;    // 0: none yet
    char last_exit[120];                   // in words: "killed by SIGSEGV (core dumped)"
};

/// By lane: every living worker has exactly one. It is there before the process is, with role None,
/// and it says all that the next master needs to go on with it.
struct WorkerRecord {
    std::uint64_t worker;  // WorkerId; 0: the lane is free
    std::uint32_t lane_generation;
    std::uint32_t pool;
    std::uint32_t slot;  // number within its pool; kNoSlot: a spare's
    WorkerRole role;
    WorkerState state;
    std::uint32_t pid;
    std::uint64_t start_ticks;
    std::uint32_t generation;
    std::uint32_t output_full;  // its output pipe is full: it waits for the master
    std::int64_t spawned_monotonic_ns;
    std::int64_t ready_monotonic_ns;      // 0: not yet
    std::int64_t last_beat_monotonic_ns;  // by WATCHDOG=1; the SDK's is in its lane
    std::int64_t watchdog_timeout_ns;     // 0: off
    char status[128];                     // STATUS= of sd_notify
    char pool_name[kNameBytes];
    std::uint64_t fingerprint;   // of what it was executed from
    std::uint64_t pidfd_inode;   // of pidfs(5), unique; 0: not known
    std::uint64_t output_inode;  // of its output pipe; 0: it has the master's output
    std::uint32_t wake_fd;       // its own number of the event descriptor; 0: none
    std::uint32_t reserved;
};

struct ListenerRecord {
    char name[kNameBytes];
    char address[128];     // as bound: port 0 is resolved
    std::uint32_t accept;  // 0 shared, 1 reuse_port
    std::uint32_t backlog;
    std::uint64_t inode;  // of the (first) socket, to find it with sock_diag
    std::uint32_t sockets;
    std::uint32_t nudges;   // connections of the master's own, after a wake-up was lost
    std::uint32_t leaving;  // the configuration has it no more; it goes with its last worker
    std::uint32_t reserved;
};

/// As it lies in the segment.
struct Scoreboard {
    /// CLOCK_MONOTONIC at which the master's loop began the turn it is in; 0 while it waits for
    /// events. A reader that sees an old turn says "hung".
    std::atomic<std::int64_t> turn_began_ns;
    TwoCopy<MasterRecord> master;
    TwoCopy<PoolRecord> pools[kMaxPools];
    TwoCopy<SlotRecord> slots[kMaxSlots];
    TwoCopy<ListenerRecord> listeners[kMaxListeners];
    TwoCopy<WorkerRecord> workers[kMaxLanes + 1];
};

}  // namespace topsman::shm
