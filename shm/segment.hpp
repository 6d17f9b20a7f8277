#pragma once

// The shared-memory segment: one file in /dev/shm, named topsman.CLUSTER (for ordinary users
// topsman.UID.CLUSTER), made by the master before its first fork and never grown, never unmapped.
//
// Boost.Interprocess names it, maps it and lays it out (rbtree_best_fit with null_mutex_family,
// everything constructed here, before any fork); after that nobody allocates, constructs or finds
// with a lock in it. What lies where is written in our own directory in the header page, so readers
// need no Boost and trust nothing they have not checked: magic, ABI, layout version, boot, pid
// namespace and all bounds, or one clear sentence.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"
#include "shm/block_pool.hpp"
#include "shm/channel.hpp"
#include "shm/event_ring.hpp"
#include "shm/histogram.hpp"
#include "shm/job_queue.hpp"
#include "shm/lane.hpp"
#include "shm/lane_set.hpp"
#include "shm/last_words.hpp"
#include "shm/limits.hpp"
#include "shm/metrics.hpp"
#include "shm/name_table.hpp"
#include "shm/robust_mutex.hpp"
#include "shm/scoreboard.hpp"
#include "shm/shared_object.hpp"
#include "shm/tx_cell.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace topsman::shm {

/// "topsman.shop" for root, "topsman.1000.shop" for others: the name in /dev/shm.
[[nodiscard]] std::string segment_name(const std::string& cluster, std::uint32_t uid);

class Segment {
  public:
    struct Options {
        std::string name;  ///< as from segment_name()
        std::uint32_t lanes = kDefaultLanes;
        std::uint32_t mode = 0600;
        std::vector<NamedQueue> queues = {};       ///< at most kMaxQueues, each sound
        BlockClasses blocks = {};                  ///< sound
        std::vector<std::string> histograms = {};  ///< at most kMaxHistograms names
        std::vector<NamedChannel> channels = {};   ///< at most kMaxChannels, each sound
        std::size_t reserve = 0;                   ///< bytes for what is added later
    };

    /// Creates a new one (O_EXCL). Errors: it exists already (errc::file_exists), /dev/shm is full
    /// or too small (says how much is needed, how much there is, and `--shm-size`).
    [[nodiscard]] static Result<Segment> create(const Options& options);

    /// The master's look at what a dead one left under that name: mapped for writing, the epoch
    /// raised by one; queues, histograms, channels and blocks that it has not are added, those that
    /// it has more stay.
    /// Errors: no_such_file_or_directory; permission_denied for a file that is not ours (names its
    /// owner); any other error means that it does not fit (other layout, boot, lanes, truncated,
    /// random bytes): the sentence says why, and retire() may be called.
    [[nodiscard]] static Result<Segment> adopt(const Options& options);

    /// Would adopt() take it, and add nothing? Changes no byte. Errors as there.
    [[nodiscard]] static Result<void> examine(const Options& options);

    /// A worker's: over an inherited descriptor, for writing. The descriptor is kept, and set
    /// close-on-exec, so that its number is not used again by something else.
    [[nodiscard]] static Result<Segment> attach(UniqueFd fd);

    /// A looker's: by name, read-only; never changes a byte.
    [[nodiscard]] static Result<Segment> open_read_only(const std::string& name);

    /// Removes the name; mappings live on. No error when there is none.
    static Result<void> remove(const std::string& name);

    /// Renames what does not fit to NAME.stale (one is kept, for inspection).
    static Result<void> retire(const std::string& name);

    Segment(Segment&&) noexcept;
    Segment& operator=(Segment&&) noexcept;
    ~Segment();

    /// By the master, whoever uses the segment: one more, behind the others. The error says how
    /// much of the reserve is missing.
    Result<void> add_queue(const NamedQueue& queue);
    Result<void> add_histogram(const std::string& name);
    Result<void> add_channel(const NamedChannel& channel);
    Result<void> add_blocks(const BlockClass& one);  ///< of a size that there is not yet
    /// Bytes that are left for them.
    [[nodiscard]] std::uint64_t reserve_left() const noexcept;
    /// Sees what the master has added since; false: nothing. Not while others ask for what may
    /// have been added.
    [[nodiscard]] bool look_again();

    [[nodiscard]] int fd() const noexcept;  ///< the master's: what workers inherit; else -1
    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] const void* address() const noexcept;  ///< of the mapping, for madvise
    [[nodiscard]] std::uint32_t epoch() const noexcept;  ///< how many masters it has had

    /// Which master made or adopted it: written once by create/adopt's caller.
    void set_master(std::uint32_t pid, std::uint64_t start_ticks) noexcept;
    [[nodiscard]] std::uint32_t master_pid() const noexcept;
    [[nodiscard]] std::uint64_t master_start_ticks() const noexcept;

    // The parts. References stay valid as long as the Segment, wherever it is moved to.
    [[nodiscard]] std::span<Lane> lanes() const noexcept;  ///< [0] is the master's
    [[nodiscard]] Scoreboard& scoreboard() const noexcept;
    [[nodiscard]] EventRing& events() const noexcept;
    [[nodiscard]] NameTable& metric_names() const noexcept;
    [[nodiscard]] NameTable& mutex_names() const noexcept;
    [[nodiscard]] NameTable& cell_names() const noexcept;
    [[nodiscard]] MetricCells metrics() const noexcept;
    [[nodiscard]] std::span<RobustMutex> mutexes() const noexcept;
    [[nodiscard]] std::span<TxCellStorage> cells() const noexcept;
    [[nodiscard]] std::span<LastWords> last_words() const noexcept;  ///< by lane
    /// By listener (the scoreboard's index): the lanes that are idle and armed in its epoll set.
    [[nodiscard]] std::span<LaneSet> idle_lanes() const noexcept;
    [[nodiscard]] std::span<const NamedQueue> queues() const noexcept;
    [[nodiscard]] JobQueue queue(std::size_t index) const noexcept;  ///< of queues()
    [[nodiscard]] NameTable& object_names() const noexcept;
    [[nodiscard]] std::span<SharedObject> objects() const noexcept;
    [[nodiscard]] NameTable& array_names() const noexcept;
    [[nodiscard]] std::span<SharedArrayStorage> arrays() const noexcept;
    [[nodiscard]] const BlockClasses& block_classes() const noexcept;
    [[nodiscard]] BlockPool blocks() const noexcept;
    [[nodiscard]] std::span<const std::string> histograms() const noexcept;
    [[nodiscard]] HistogramView histogram(std::size_t index) const noexcept;  ///< of histograms()
    [[nodiscard]] std::span<const NamedChannel> channels() const noexcept;
    [[nodiscard]] Channel channel(std::size_t index) const noexcept;  ///< of channels()

  private:
    struct Impl;
    explicit Segment(std::unique_ptr<Impl> impl) noexcept;
    std::unique_ptr<Impl> impl_;
};

}  // namespace topsman::shm
