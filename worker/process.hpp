#pragma once

// The one state that the SDK has in a process. It is process-wide because what it stands for is: a
// mapping that is never unmapped, signal handlers, fork handlers. Made once by Worker::attach(),
// never destroyed; every handle of the SDK points into it.

#include "shm/base/slot_name.hpp"
#include "shm/base/unique_fd.hpp"
#include "shm/block_pool.hpp"
#include "shm/histogram.hpp"
#include "shm/lane.hpp"
#include "shm/last_words.hpp"
#include "shm/metrics.hpp"
#include "shm/name_table.hpp"
#include "shm/robust_mutex.hpp"
#include "shm/segment.hpp"
#include "shm/tx_cell.hpp"
#include "worker/blocks.hpp"
#include "worker/environment.hpp"
#include "worker/notify.hpp"

#include <atomic>
#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

namespace topsman::detail {

struct ChannelState;
struct QueueState;

/// What a process without a segment has instead of one: the same parts, for itself alone.
struct OwnParts {
    shm::NameTable metric_names;
    shm::NameTable mutex_names;
    shm::NameTable cell_names;
    shm::NameTable object_names;
    shm::NameTable array_names;
    OwnBlocks blocks;
    std::mutex histograms_lock;
    std::map<std::string, shm::HistogramCells> histograms;  ///< by name; one lane
    shm::LaneCells cells;
    shm::RobustMutex mutexes[shm::kMaxMutexes];
    shm::TxCellStorage tx_cells[shm::kMaxCells];
    shm::LastWords last_words;
    shm::SharedObject objects[shm::kMaxObjects];
    shm::SharedArrayStorage arrays[shm::kMaxArrays];
    shm::Lane lanes[2];  ///< the second one is ours, as no worker's is the first
};

struct Process {
    Environment environment;
    Notifier notifier;
    std::optional<shm::Segment> segment;
    std::unique_ptr<OwnParts> own;  ///< when there is no segment

    // Where the parts are, in the segment or in `own`.
    shm::Owner owner;
    shm::Lane* lane = nullptr;
    std::span<shm::Lane> lanes;
    std::atomic<std::uint64_t>* first_cell = nullptr;  ///< of this lane's kMaxMetrics
    shm::NameTable* metric_names = nullptr;
    shm::NameTable* mutex_names = nullptr;
    shm::NameTable* cell_names = nullptr;
    std::span<shm::RobustMutex> mutexes;
    std::span<shm::TxCellStorage> tx_cells;
    shm::LastWords* last_words = nullptr;
    shm::NameTable* object_names = nullptr;
    shm::NameTable* array_names = nullptr;
    std::span<shm::SharedObject> objects;
    std::span<shm::SharedArrayStorage> arrays;
    KnownBlocks blocks;
    OpenBlocks open_blocks;

    /// The job queues and channels that this process has asked for, by name. The lock is also for
    /// what the segment says of them, of histograms and of blocks, which look_again() changes.
    std::mutex names_lock;
    std::map<std::string, std::shared_ptr<QueueState>, std::less<>> queues;
    std::map<std::string, std::shared_ptr<ChannelState>, std::less<>> channels;

    std::atomic<std::uint32_t> slot = 0;  ///< kNoSlot: a spare that has no seat yet

    UniqueFd drain_fd;  ///< an eventfd(2)
    std::atomic<bool> draining = false;
    int stop_signal = 0;  ///< 0: not ours to handle
    struct sigaction former_stop_action = {};

    /// Acceptors that wait for the last request in flight to end watch this eventfd(2).
    UniqueFd idle_fd;
    std::atomic<std::uint32_t> waiting_for_idle = 0;
};

/// Null before Worker::attach().
extern std::atomic<Process*> the_process;

/// This process is a forked child of the one that attached. Set by the fork handler, before fork(2)
/// returns in the child, for ever.
extern std::atomic<bool> detached;

[[nodiscard]] inline bool is_detached() noexcept {
    return detached.load(std::memory_order_relaxed);
}

/// Null before Worker::attach(), and in a forked child.
[[nodiscard]] inline const Process* attached() noexcept {
    return is_detached() ? nullptr : the_process.load(std::memory_order_acquire);
}

/// Asked by who waits: the lane is woken when draining begins.
[[nodiscard]] inline bool is_leaving() noexcept {
    const Process* process = attached();
    return process == nullptr || process->draining.load(std::memory_order_acquire);
}

[[nodiscard]] Error detached_error();

/// Async-signal-safe.
void begin_drain(Process& process) noexcept;

/// Maps the segment that the environment names, or makes parts for this process alone.
[[nodiscard]] Result<void> find_parts(Process& process);

/// Where a spare waits until it has a seat, or is to leave; anybody else passes. Says READY=1
/// first.
void wait_for_seat(Process& process) noexcept;

/// Registers the handler that detaches forked children.
[[nodiscard]] Result<void> watch_forks();

}  // namespace topsman::detail
