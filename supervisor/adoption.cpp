#include "supervisor/adoption.hpp"

#include "config/names.hpp"
#include "supervisor/board_words.hpp"
#include "supervisor/posix/connection_scan.hpp"
#include "supervisor/posix/sock_diag.hpp"

#include <algorithm>
#include <fcntl.h>
#include <iterator>
#include <set>
#include <sys/stat.h>

namespace topsman::supervisor {

namespace {

core::TimePoint at(std::int64_t monotonic_ns) {
    return core::TimePoint(std::chrono::nanoseconds(std::max<std::int64_t>(monotonic_ns, 0)));
}

std::optional<core::TimePoint> at_or_never(std::int64_t monotonic_ns) {
    return monotonic_ns <= 0 ? std::nullopt : std::optional(at(monotonic_ns));
}

/// Who was in it is told by the workers' own records.
core::SlotPhase phase_left(shm::SlotPhase phase) {
    const auto word = from_board(phase);
    return word && *word != core::SlotPhase::Occupied ? *word : core::SlotPhase::Vacant;
}

bool is_outdated(const Specs& specs, const std::string& pool, std::uint64_t fingerprint) {
    const auto found = specs.find(pool);
    return found == specs.end() || found->second->fingerprint != fingerprint;
}

/// Pools and slots, and how the last worker of each had ended.
void read_board(const shm::Segment& segment, const Specs& specs, Adoption& adoption) {
    const shm::Scoreboard& board = segment.scoreboard();
    shm::MasterRecord master{};
    if (!board.master.load(master)) {
        return;
    }
    adoption.left.generation = core::Generation{std::min(master.config_generation, 1U << 30U)};
    std::vector<std::string> names;
    for (std::uint32_t i = 0; i < std::min(master.pools, shm::kMaxPools); ++i) {
        shm::PoolRecord record{};
        (void)board.pools[i].load(record);
        const std::string name = shm::text_of(record.name);
        names.push_back(name);
        core::LeftPool pool;
        pool.name = name;
        pool.wanted = record.wanted;
        pool.configured = record.configured;
        pool.generation = core::Generation{record.generation};
        pool.outdated = is_outdated(specs, name, record.fingerprint);
        pool.breaker_open = record.breaker == shm::BreakerState::Open;
        pool.failures = std::min(record.failures, 1U << 16U);
        pool.not_before = at(record.not_before_monotonic_ns);
        adoption.left.pools.push_back(pool);
    }
    for (std::uint32_t i = 0; i < std::min(master.slots, shm::kMaxSlots); ++i) {
        shm::SlotRecord record{};
        if (!board.slots[i].load(record) || record.pool >= names.size()) {
            continue;
        }
        const std::string& pool = names[record.pool];
        adoption.left.slots.push_back(core::LeftSlot{
            pool, record.slot, phase_left(record.phase),
            std::min<std::uint64_t>(record.restarts, 1ULL << 48U),
            std::min(record.failures, 1U << 16U), at_or_never(record.not_before_monotonic_ns)});
        if (record.last_exit_realtime_ns != 0) {
            adoption.exits.push_back(LeftExit{pool, record.slot, shm::text_of(record.last_exit),
                                              record.last_exit_realtime_ns});
        }
    }
}

core::SpareSigns signs_of(const shm::Lane& lane, std::uint32_t pid) {
    core::SpareSigns signs;
    const std::uint32_t seat = lane.seat.load();
    signs.is_let_go = seat > shm::kSeatHeld;
    if (signs.is_let_go && shm::slot_of_seat(seat) < shm::kMaxSlots) {
        signs.seat = shm::slot_of_seat(seat);
    }
    signs.waits = (lane.flags.load() & shm::kLaneParked) != 0 || posix::has_stopped(pid);
    return signs;
}

/// Its record as its master wrote it before it was there; none: it is somebody else's, or no
/// record.
std::optional<Adoptee> read_worker(const shm::Segment& segment, const Specs& specs,
                                   const KeptGenerations* kept, const shm::LivingWorker& lane) {
    Adoptee adoptee;
    adoptee.lane = lane;
    shm::WorkerRecord& record = adoptee.record;
    const bool is_whole = segment.scoreboard().workers[lane.lane].load(record);
    const auto state = from_board(record.state);
    const std::string pool = shm::text_of(record.pool_name);
    if (!is_whole || record.worker == 0 || record.worker != lane.worker ||
        record.lane_generation != lane.generation || !state || !config::is_name(pool) ||
        (record.slot >= shm::kMaxSlots && record.slot != kNoSlot) || record.worker >= 1ULL << 62U) {
        return std::nullopt;
    }
    core::LeftWorker& left = adoptee.left;
    left.worker = core::WorkerId{record.worker};
    left.pool = pool;
    left.slot = record.slot;
    left.generation = core::Generation{record.generation};
    left.outdated = kept != nullptr ? kept->find(left.generation, pool) == nullptr
                                    : is_outdated(specs, pool, record.fingerprint);
    left.role = from_board(record.role);
    left.state = *state;
    left.spare = record.state == shm::WorkerState::Parked ? core::SpareStage::Parked
                                                          : core::SpareStage::None;
    left.said_ready = (segment.lanes()[lane.lane].flags.load() & shm::kLaneReady) != 0;
    left.spawned_at = at(record.spawned_monotonic_ns);
    left.ready_at = at_or_never(record.ready_monotonic_ns);
    left.last_beat = at_or_never(record.last_beat_monotonic_ns);
    if (left.role == core::Role::Spare) {
        core::believe(left, signs_of(segment.lanes()[lane.lane], lane.pid));
    }
    return adoptee;
}

std::string name_of(const Adoptee& worker) {
    return slot_name(worker.left.pool, worker.left.slot) + " (pid " +
           std::to_string(worker.lane.pid) + ")";
}

Error not_adoptable(const std::string& who, const std::string& why) {
    return plain_error("not adoptable: " + who + ": " + why, std::errc::device_or_resource_busy);
}

std::string hint(const Error& error) {
    const bool forbidden = error.code == std::errc::operation_not_permitted ||
                           error.code == std::errc::permission_denied;
    return error.message + (forbidden ? " (needs CAP_SYS_PTRACE, or kernel.yama.ptrace_scope 0 "
                                        "and workers of the master's own user)"
                                      : "");
}

/// A handle on the very process, and a look at what it has open.
Result<void> take_hold(const shm::Segment& segment, Adoptee& worker) {
    std::uint64_t ticks = worker.lane.start_ticks;
    if (ticks == 0) {
        const auto info = posix::process_info(worker.lane.pid);
        ticks = info ? info->start_ticks : 0;
    }
    Result<posix::Child> child = posix::Child::open(worker.lane.pid, ticks);
    if (!child) {
        return child.error().code == std::errc::no_such_process ? Result<void>{} : child.error();
    }
    const std::uint64_t inode = segment.lanes()[worker.lane.lane].pidfd_inode.load();
    if (inode != 0 && child->inode() != 0 && inode != child->inode()) {
        return {};  // another process, however alike
    }
    worker.lane.start_ticks = ticks;
    worker.record.start_ticks = ticks;
    auto files = posix::open_files(worker.lane.pid);
    if (!files) {
        return not_adoptable(name_of(worker), hint(files.error()));
    }
    worker.files = std::move(*files);
    worker.child.emplace(std::move(*child));
    return {};
}

std::set<std::uint64_t> inodes_of(const shm::ListenerRecord& record) {
    std::set<std::uint64_t> inodes{record.inode};
    if (record.accept == 0) {
        return inodes;
    }
    // A group: any socket that listens on its port and that a worker of ours holds.
    const auto colon = shm::text_of(record.address).rfind(':');
    const std::string port = shm::text_of(record.address).substr(colon + 1);
    posix::for_each_listening_socket([&](const posix::ListeningSocket& socket) {
        if (colon != std::string::npos && std::to_string(socket.port) == port) {
            inodes.insert(socket.inode);
        }
    });
    return inodes;
}

/// The sockets of one listener that are not `stored`, out of the workers that hold them.
Result<std::vector<UniqueFd>> take_sockets(const config::Listener& listener,
                                           const shm::ListenerRecord& record,
                                           const std::vector<Adoptee>& workers,
                                           const std::vector<UniqueFd>& stored) {
    std::vector<UniqueFd> sockets;
    std::set<std::uint64_t> missing = inodes_of(record);
    for (const UniqueFd& fd : stored) {
        missing.erase(posix::socket_inode(fd.get()));
    }
    for (const Adoptee& worker : workers) {
        for (const posix::OpenFile& file : worker.files) {
            if (!S_ISSOCK(file.mode) || !missing.contains(file.inode)) {
                continue;
            }
            Result<UniqueFd> fd = worker.child->take_fd(file.number);
            if (!fd) {
                return not_adoptable(name_of(worker),
                                     "its listener " + listener.name + ": " + hint(fd.error()));
            }
            // A record may say anything; the socket itself says what it is.
            if (posix::is_listener_of(fd->get(), listener.address)) {
                missing.erase(file.inode);
                sockets.push_back(std::move(*fd));
            }
        }
    }
    return sockets;
}

Result<void> take_listeners(const shm::Segment& segment, const std::vector<config::Listener>& known,
                            Adoption& adoption) {
    std::uint32_t row = 0;
    for (const shm::TwoCopy<shm::ListenerRecord>& cell : segment.scoreboard().listeners) {
        shm::ListenerRecord record{};
        const std::uint32_t own_row = row++;
        if (!cell.load(record) || record.inode == 0) {
            continue;
        }
        adoption.rows[record.inode] = own_row;
        for (const config::Listener& listener : known) {
            const bool is_group = listener.accept == config::Accept::ReusePort;
            if (listener.name != shm::text_of(record.name) || is_group != (record.accept == 1)) {
                continue;
            }
            const std::pair key(listener.name, listener.socket());
            std::vector<UniqueFd>& own = adoption.sockets[key];
            auto sockets = take_sockets(listener, record, adoption.workers, own);
            if (!sockets) {
                return sockets.error();
            }
            std::move(sockets->begin(), sockets->end(), std::back_inserter(own));
            if (own.empty()) {
                adoption.sockets.erase(key);
            }
        }
    }
    return {};
}

/// A number in a record proves nothing: it must also have been executed as this worker, or hold
/// what only workers of this cluster hold.
bool is_ours(const Adoptee& worker, const shm::Segment& segment, const config::Config& config,
             const posix::KeptSockets& sockets) {
    const std::vector<std::string> variables{
        "TOPSMAN_CLUSTER=" + config.cluster,
        "TOPSMAN_WORKER=" + std::to_string(worker.left.worker.value),
        "TOPSMAN_PID=" + std::to_string(worker.lane.pid)};
    if (posix::was_executed_with(worker.lane.pid, variables)) {
        return true;
    }
    const auto has = [&worker](int fd) { return posix::has_open(worker.files, fd); };
    return has(segment.fd()) ||
           std::any_of(sockets.begin(), sockets.end(), [&has](const auto& listener) {
               return std::any_of(listener.second.begin(), listener.second.end(),
                                  [&has](const UniqueFd& fd) { return has(fd.get()); });
           });
}

bool has_moved(const config::Exec& exec, const posix::KeptSockets& sockets) {
    for (std::size_t i = 0; i < exec.listeners.size(); ++i) {
        if (!sockets.contains({exec.listeners[i], exec.sockets.at(i)})) {
            return true;
        }
    }
    return false;
}

}  // namespace

std::vector<config::Listener> listeners_of(const config::Config& config,
                                           const KeptGenerations* kept) {
    std::vector<config::Listener> all = config.listeners;
    const auto add = [&all](const config::Config& other) {
        for (const config::Listener& listener : other.listeners) {
            const auto is_it = [&listener](const config::Listener& known) {
                return known.name == listener.name && known.socket() == listener.socket();
            };
            if (std::none_of(all.begin(), all.end(), is_it)) {
                all.push_back(listener);
            }
        }
    };
    if (kept != nullptr) {
        add(kept->legacy.current.config);
        for (const auto* version : {&kept->legacy.base, &kept->legacy.previous}) {
            if (*version) {
                add((*version)->config);
            }
        }
    }
    return all;
}

Result<Adoption> adopt(const shm::Segment& segment, const std::vector<shm::LivingWorker>& started,
                       const std::vector<shm::LivingWorker>& living, const config::Config& config,
                       const Specs& specs, const KeptGenerations* kept,
                       const posix::KeptSockets& stored) {
    Adoption adoption;
    for (const auto& [listener, sockets] : stored) {
        for (const UniqueFd& fd : sockets) {
            if (UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)); copy) {
                adoption.sockets[listener].push_back(std::move(copy));
            }
        }
    }
    if (kept != nullptr) {
        adoption.left.legacy = kept->legacy;
    }
    read_board(segment, specs, adoption);
    for (const shm::Lane& lane : segment.lanes()) {
        const core::WorkerId granted{lane.worker.load()};
        if (granted.value < 1ULL << 62U) {
            adoption.left.last_worker = std::max(adoption.left.last_worker, granted);
        }
    }
    const auto is_living = [&living](const shm::LivingWorker& lane) {
        return std::any_of(living.begin(), living.end(), [&lane](const shm::LivingWorker& other) {
            return other.lane == lane.lane && other.generation == lane.generation;
        });
    };
    std::set<core::WorkerId> ids;
    for (const shm::LivingWorker& lane : started) {
        auto worker = read_worker(segment, specs, kept, lane);
        const bool is_known = worker && ids.insert(worker->left.worker).second;
        if (!is_known && is_living(lane)) {
            return not_adoptable("pid " + std::to_string(lane.pid),
                                 "what its master wrote about it cannot be read");
        }
        if (!is_known) {
            continue;
        }
        if (is_living(lane)) {
            if (Result<void> held = take_hold(segment, *worker); !held) {
                return held.error();
            }
        }
        adoption.workers.push_back(std::move(*worker));
    }
    if (Result<void> taken = take_listeners(segment, listeners_of(config, kept), adoption);
        !taken) {
        return taken.error();
    }
    for (const Adoptee& worker : adoption.workers) {
        if (worker.child && !is_ours(worker, segment, config, adoption.sockets)) {
            return not_adoptable(
                name_of(worker),
                "nothing but its number says that it is a worker of cluster " + config.cluster);
        }
        adoption.left.workers.push_back(worker.left);
        // A listener that moved is another socket: its workers are replaced like those of a changed
        // command.
        const SpecPtr own =
            kept != nullptr ? kept->find(worker.left.generation, worker.left.pool) : nullptr;
        const config::Pool* pool = own != nullptr ? &own->pool : config.find_pool(worker.left.pool);
        adoption.left.workers.back().outdated |=
            pool != nullptr && has_moved(pool->exec, adoption.sockets);
    }
    return adoption;
}

}  // namespace topsman::supervisor
