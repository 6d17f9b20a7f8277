#include "supervisor/control/cluster_view.hpp"

#include "supervisor/control/text.hpp"
#include "supervisor/posix/clock.hpp"
#include "supervisor/posix/listener.hpp"
#include "supervisor/posix/process_info.hpp"

#include <algorithm>
#include <csignal>
#include <ctime>
#include <map>
#include <tuple>

namespace topsman::control {
namespace {

using shm::LanePhase;
using shm::LaneWord;
using shm::SlotPhase;

// A turn of the master's loop takes micro- to milliseconds: it waits for nothing.
constexpr std::int64_t kHungAfterNs = 2'000'000'000;

/// Seconds between two stamps that anybody may have written: never negative, never overflows.
double seconds_between(std::int64_t from, std::int64_t to) noexcept {
    return from <= 0 || from >= to ? 0 : static_cast<double>(to - from) / 1e9;
}

/// What there is of a process. /proc may be mounted with hidepid: no file is not yet no process.
struct Look {
    std::optional<posix::ProcessInfo> info;
    bool gone = false;
};

Look look_at(std::uint32_t pid, std::uint64_t start_ticks) {
    Look look;
    if (pid == 0 || pid > 0x7fff'ffff) {
        look.gone = true;
        return look;
    }
    look.info = posix::process_info(pid);
    if (look.info) {
        const bool ended = look.info->state == 'Z' || look.info->state == 'X';
        look.gone = ended || look.info->start_ticks != start_ticks;
    } else {
        look.gone = ::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH;
    }
    if (look.gone) {
        look.info.reset();
    }
    return look;
}

bool is_stopped(const Look& look) noexcept {
    return look.info && (look.info->state == 'T' || look.info->state == 't');
}

/// An enumerator's word; a number that nobody defined is "?".
template <std::size_t N, class E>
std::string word(const char* const (&words)[N], E value) {
    const auto index = static_cast<std::size_t>(value);
    return index < N ? words[index] : "?";
}

constexpr const char* kMasterWords[] = {"starting", "running", "stopping", "dead"};
constexpr const char* kSlotWords[] = {"",        "vacant",   "waiting", "",
                                      "tripped", "finished", "drained"};
constexpr const char* kRoleWords[] = {"", "current", "successor", "leaving", "spare"};
constexpr const char* kWorkerWords[] = {"",         "starting", "serving", "draining",
                                        "aborting", "killing",  "parked"};

/// One pass over a segment. The scoreboard is the master's alone, but every worker has it mapped
/// for writing: each number is checked before it is an index.
class ViewReader {
  public:
    explicit ViewReader(const shm::Segment& segment)
        : segment_(segment),
          board_(segment.scoreboard()),
          now_(static_cast<std::int64_t>(posix::monotonic_ns())) {}

    ClusterView read();

  private:
    struct Living {
        std::uint32_t lane;
        shm::WorkerRecord record;
    };

    void read_master();
    void read_workers();
    void read_listeners();
    void read_pools();
    void read_slot(const shm::SlotRecord& slot, PoolLines& pool);
    void read_metrics();
    void read_mutexes();
    [[nodiscard]] WorkerLine worker_line(const Living& living) const;
    [[nodiscard]] WorkerLine empty_line(const shm::SlotRecord& slot) const;
    [[nodiscard]] const shm::WorkerRecord* find_owner(shm::Owner owner) const;
    [[nodiscard]] std::string owner_name(shm::Owner owner) const;
    [[nodiscard]] std::uint32_t owner_pid(shm::Owner owner) const;

    [[nodiscard]] bool is_dead() const { return view_.master_state == "dead"; }

    const shm::Segment& segment_;
    const shm::Scoreboard& board_;
    std::int64_t now_;
    shm::MasterRecord master_{};
    std::vector<Living> workers_;                        // by lane
    std::multimap<std::uint64_t, std::size_t> by_slot_;  // pool and slot -> index into workers_
    ClusterView view_;
};

std::uint64_t slot_key(std::uint32_t pool, std::uint32_t slot) noexcept {
    return (std::uint64_t{pool} << 32U) | slot;
}

ClusterView ViewReader::read() {
    read_master();
    read_workers();
    read_listeners();
    read_pools();
    read_metrics();
    read_mutexes();
    view_.shared = read_shared(segment_);
    view_.queues = read_queues(segment_, now_);
    return std::move(view_);
}

void ViewReader::read_master() {
    if (!board_.master.load(master_)) {
        master_ = {};
    }
    master_.pools = std::min(master_.pools, shm::kMaxPools);
    master_.slots = std::min(master_.slots, shm::kMaxSlots);
    master_.listeners = std::min(master_.listeners, shm::kMaxListeners);
    view_.cluster = printable(master_.cluster);
    view_.version = printable(master_.version);
    view_.config_file = printable(master_.config_file);
    view_.note = printable(master_.note);
    view_.config_generation = master_.config_generation;
    // The header knows the master before its first turn has filled in the record.
    const bool has_record = master_.pid == segment_.master_pid();
    view_.master_pid = has_record ? master_.pid : segment_.master_pid();
    const std::uint64_t ticks = has_record ? master_.start_ticks : segment_.master_start_ticks();
    if (has_record) {
        view_.uptime_s = seconds_between(master_.started_monotonic_ns, now_);
        view_.master_state = word(kMasterWords, master_.state);
    } else {
        view_.master_state = "starting";
    }
    const Look look = look_at(view_.master_pid, ticks);
    const std::string name = "pid " + std::to_string(view_.master_pid);
    const std::int64_t turn = board_.turn_began_ns.load(std::memory_order_relaxed);
    if (look.gone) {
        view_.master_state = "dead";
        view_.trouble = name + " is gone";
    } else if (view_.master_state == "dead") {
        view_.trouble = name + " has stopped";
    } else if (is_stopped(look)) {
        view_.master_state = "hung";
        view_.trouble = name + " is stopped by a signal; `kill -CONT " +
                        std::to_string(view_.master_pid) + "` lets it go on";
    } else if (turn > 0 && turn < now_ && now_ - turn > kHungAfterNs) {
        view_.master_state = "hung";
        view_.trouble = name + " has been busy with one thing for " +
                        format_duration(seconds_between(turn, now_));
    }
    if (is_dead()) {
        view_.uptime_s = 0;
    }
}

void ViewReader::read_workers() {
    const std::size_t lanes = std::min<std::size_t>(segment_.lanes().size(), shm::kMaxLanes + 1);
    for (std::uint32_t lane = 1; lane < lanes; ++lane) {
        Living living{.lane = lane, .record = {}};
        if (board_.workers[lane].load(living.record) && living.record.worker != 0) {
            by_slot_.emplace(slot_key(living.record.pool, living.record.slot), workers_.size());
            workers_.push_back(living);
        }
    }
}

void ViewReader::read_listeners() {
    if (master_.listeners == 0) {
        return;
    }
    const auto queues = posix::listener_queues();
    for (std::uint32_t i = 0; i < master_.listeners; ++i) {
        shm::ListenerRecord record{};
        if (!board_.listeners[i].load(record) || record.name[0] == '\0') {
            continue;
        }
        ListenerLine line{.name = printable(record.name),
                          .address = printable(record.address),
                          .accept = record.accept == 0 ? "shared" : "reuse_port",
                          .queue = 0,
                          .backlog = record.backlog,
                          .sockets = record.sockets,
                          .nudges = record.nudges,
                          .is_leaving = record.leaving != 0};
        if (const auto queue = queues.find(record.inode); queue != queues.end()) {
            line.queue = queue->second.waiting;
            line.backlog = queue->second.limit;
        }
        view_.listeners.push_back(std::move(line));
    }
    std::stable_partition(view_.listeners.begin(), view_.listeners.end(),
                          [](const ListenerLine& line) { return !line.is_leaving; });
}

void ViewReader::read_pools() {
    for (std::uint32_t i = 0; i < master_.pools; ++i) {
        shm::PoolRecord record{};
        PoolLines pool;
        if (board_.pools[i].load(record)) {
            pool.name = printable(record.name);
            pool.wanted = record.wanted;
            pool.ready = record.ready;
            pool.spares = record.spares;
            pool.breaker = record.breaker == shm::BreakerState::Closed ? "closed" : "open";
            pool.generation = record.generation;
            pool.rollout = printable(record.rollout);
            pool.note = printable(record.note);
        }
        view_.pools.push_back(std::move(pool));
    }
    for (std::uint32_t i = 0; i < master_.slots; ++i) {
        shm::SlotRecord slot{};
        if (board_.slots[i].load(slot) && slot.phase != SlotPhase::Unused &&
            slot.pool < view_.pools.size()) {
            read_slot(slot, view_.pools[slot.pool]);
        }
    }
    // Workers on their way out whose slot is no more.
    for (const auto& [key, index] : by_slot_) {
        const Living& living = workers_[index];
        if (living.record.pool < view_.pools.size()) {
            view_.pools[living.record.pool].slots.push_back(worker_line(living));
        }
    }
    for (PoolLines& pool : view_.pools) {
        pool.spares_ready = static_cast<std::uint32_t>(
            std::count_if(pool.slots.begin(), pool.slots.end(), [](const WorkerLine& line) {
                return line.role == "spare" && (line.state == "parked" || line.state == "serving");
            }));
        const auto order = [](const WorkerLine& line) {
            const int role = line.role == "leaving" ? 2 : line.role == "successor" ? 1 : 0;
            return std::tuple(line.slot, role, line.worker);
        };
        std::sort(pool.slots.begin(), pool.slots.end(),
                  [&](const auto& a, const auto& b) { return order(a) < order(b); });
        if (is_dead()) {
            // Nobody counts any more.
            pool.ready = static_cast<std::uint32_t>(std::count_if(
                pool.slots.begin(), pool.slots.end(),
                [](const auto& line) { return line.state == "serving" && line.role != "spare"; }));
        }
    }
}

void ViewReader::read_slot(const shm::SlotRecord& slot, PoolLines& pool) {
    const auto [begin, end] = by_slot_.equal_range(slot_key(slot.pool, slot.slot));
    pool.drained += slot.phase == SlotPhase::Drained ? 1U : 0U;
    bool is_taken = false;
    for (auto it = begin; it != end; ++it) {
        WorkerLine line = worker_line(workers_[it->second]);
        line.restarts = slot.restarts;
        line.last_exit = printable(slot.last_exit);
        is_taken = is_taken || line.role != "leaving" || slot.phase == SlotPhase::Vacant ||
                   slot.phase == SlotPhase::Drained;
        pool.slots.push_back(std::move(line));
    }
    by_slot_.erase(begin, end);
    if (!is_taken && slot.phase != SlotPhase::Occupied) {
        pool.slots.push_back(empty_line(slot));
    }
}

WorkerLine ViewReader::empty_line(const shm::SlotRecord& slot) const {
    WorkerLine line;
    line.slot = slot.slot;
    line.state = word(kSlotWords, slot.phase);
    line.restarts = slot.restarts;
    line.last_exit = printable(slot.last_exit);
    if (slot.phase == SlotPhase::Waiting && !is_dead()) {
        line.next_try_s = seconds_between(now_, slot.not_before_monotonic_ns);
    }
    return line;
}

WorkerLine ViewReader::worker_line(const Living& living) const {
    const shm::WorkerRecord& record = living.record;
    WorkerLine line;
    line.slot = record.slot;
    line.worker = record.worker;
    line.role = word(kRoleWords, record.role);
    line.pid = record.pid;
    line.state = word(kWorkerWords, record.state);
    line.generation = record.generation;
    line.uptime_s = seconds_between(record.spawned_monotonic_ns, now_);
    line.status = printable(record.status);
    line.output_full = record.output_full != 0;
    std::int64_t beat = std::max(record.last_beat_monotonic_ns, record.ready_monotonic_ns);
    const shm::Lane& lane = segment_.lanes()[living.lane];
    const LaneWord holder = LaneWord::unpack(lane.word.load(std::memory_order_acquire));
    if (holder.generation == record.lane_generation && holder.phase == LanePhase::Started) {
        line.requests = lane.requests.load(std::memory_order_relaxed);
        line.in_flight = lane.in_flight.load(std::memory_order_relaxed);
        const auto lane_beat =
            static_cast<std::int64_t>(lane.heartbeat_ns.load(std::memory_order_relaxed));
        beat = std::max(beat, lane_beat <= now_ ? lane_beat : 0);
    }
    if (record.watchdog_timeout_ns > 0 && record.state != shm::WorkerState::Parked) {
        line.watchdog_age_s = seconds_between(beat > 0 ? beat : record.spawned_monotonic_ns, now_);
    }
    if (record.pid == 0) {
        return line;  // granted a lane, not forked yet
    }
    const Look look = look_at(record.pid, record.start_ticks);
    line.stopped = is_stopped(look);
    if (look.info) {
        line.cpu_s = look.info->cpu_seconds;
        line.rss_bytes = look.info->rss_bytes;
    }
    // A living master is about to notice it by itself: its record is true for another millisecond.
    if (look.gone && is_dead()) {
        line.gone = true;
        line.state = "gone";
        line.uptime_s = 0;
        line.in_flight = 0;
        line.watchdog_age_s.reset();
    }
    return line;
}

void ViewReader::read_metrics() {
    const shm::MetricCells cells = segment_.metrics();
    const std::uint32_t lanes = cells.lanes();
    for (const shm::NameTable::Entry& entry : segment_.metric_names().entries()) {
        if (entry.row >= shm::kMaxMetrics) {
            continue;
        }
        if (entry.kind == shm::NameKind::Counter) {
            CounterLine line{.name = printable(entry.name),
                             .total = shm::counter_total(cells, entry.row),
                             .lanes = {}};
            for (std::uint32_t lane = 0; lane < lanes; ++lane) {
                const auto cell = cells.cell(lane, entry.row).load(std::memory_order_relaxed);
                if (cell != 0) {
                    line.lanes.emplace_back(lane, cell);
                }
            }
            view_.counters.push_back(std::move(line));
        } else if (entry.kind == shm::NameKind::Gauge) {
            view_.gauges.push_back(
                {.name = printable(entry.name), .total = shm::gauge_total(cells, entry.row)});
        }
    }
}

void ViewReader::read_mutexes() {
    const auto mutexes = segment_.mutexes();
    for (const shm::NameTable::Entry& entry : segment_.mutex_names().entries()) {
        if (entry.kind != shm::NameKind::Mutex || entry.row >= mutexes.size()) {
            continue;
        }
        const shm::RobustMutex& mutex = mutexes[entry.row];
        MutexLine line{.name = printable(entry.name),
                       .state = "free",
                       .owner = {},
                       .owner_deaths = mutex.owner_deaths()};
        const shm::Owner owner = mutex.owner();
        if (mutex.is_poisoned()) {
            line.state = mutex.is_overwritten() ? "overwritten" : "poisoned";
        } else if (owner.lane != 0) {
            line.state = "held";
            line.owner = owner_name(owner);
            line.pid = owner_pid(owner);
            line.held_s = seconds_between(mutex.held_since_ns(), now_);
        }
        for (std::uint32_t lane = 1; lane < segment_.lanes().size(); ++lane) {
            line.waiting += mutex.is_waited_for_by(lane) ? 1U : 0U;
        }
        view_.mutexes.push_back(std::move(line));
    }
}

const shm::WorkerRecord* ViewReader::find_owner(shm::Owner owner) const {
    for (const Living& living : workers_) {
        if (living.lane == owner.lane && living.record.lane_generation == owner.generation &&
            living.record.pool < view_.pools.size()) {
            return &living.record;
        }
    }
    return nullptr;
}

std::string ViewReader::owner_name(shm::Owner owner) const {
    const shm::WorkerRecord* record = find_owner(owner);
    return record == nullptr ? "a dead worker"
                             : slot_name(view_.pools[record->pool].name, record->slot);
}

std::uint32_t ViewReader::owner_pid(shm::Owner owner) const {
    const shm::WorkerRecord* record = find_owner(owner);
    return record == nullptr ? 0 : record->pid;
}

}  // namespace

ClusterView read_cluster(const shm::Segment& segment) {
    return ViewReader(segment).read();
}

}  // namespace topsman::control
