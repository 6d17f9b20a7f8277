#include "supervisor/start.hpp"

#include "config/limits.hpp"
#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"
#include "shm/sweep.hpp"
#include "supervisor/config_loader.hpp"
#include "supervisor/master.hpp"
#include "supervisor/posix/lock_file.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/runtime_dir.hpp"
#include "supervisor/take_over.hpp"

#include <algorithm>
#include <cstdio>
#include <set>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman::supervisor {

namespace {

constexpr int kSystem = 1;
constexpr int kConfiguration = core::kExitConfiguration;

int complain(int code, const std::string& sentence) {
    std::fprintf(stderr, "topsman: %s\n", sentence.c_str());
    return code;
}

std::string join(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) {
        text += (text.empty() ? "" : ", ") + word;
    }
    return text;
}

auto of_cluster(const std::string& cluster, int segment_fd = -1) {
    return [cluster, segment_fd](std::uint32_t pid, std::uint64_t start_ticks) {
        return is_living_worker(pid, start_ticks, cluster, segment_fd);
    };
}

/// What a start stands on.
struct Ground {
    shm::Segment segment;
    std::vector<shm::LivingWorker> started;  ///< by earlier masters
    std::vector<shm::LivingWorker> living;   ///< those of them who still are
};

/// Beside a segment that cannot be kept nobody may be left: by --take-over they are ended, else
/// that is the answer.
Result<void> make_way(const shm::Segment& segment, const std::vector<shm::LivingWorker>& living,
                      const config::Config& config, const RunOptions& options,
                      const std::string& why, Journal& journal) {
    if (living.empty()) {
        return {};
    }
    if (options.take_over || options.unattended) {
        return end_workers(segment, living, config, journal);
    }
    return plain_error("cluster " + config.cluster + ": the master is gone, but its workers " +
                           join(names_of(segment, living)) + " are still running, and " + why +
                           ": `topsman run --take-over` ends them first",
                       std::errc::device_or_resource_busy);
}

/// One that cannot be kept, with other lanes for example, may still have living workers.
Result<void> put_aside(const std::string& name, const std::string& why,
                       const config::Config& config, const RunOptions& options, Journal& journal) {
    if (const auto old = shm::Segment::open_read_only(name)) {
        const auto living = shm::find_living(*old, of_cluster(config.cluster));
        if (auto free = make_way(*old, living, config, options, why, journal); !free) {
            return free;
        }
    }
    journal.warning("segment " + name + " of an earlier master cannot be kept: " + why +
                    "; it is put aside as " + name + ".stale");
    return shm::Segment::retire(name);
}

/// A fitting segment of a dead master is swept and kept with its counters; one that does not fit is
/// put aside; else a new one.
Result<Ground> make_segment(const config::Config& config, const RunOptions& run, Journal& journal) {
    shm::Segment::Options options;
    options.name = shm::segment_name(config.cluster, ::geteuid());
    options.lanes = config.segment.lanes;
    options.mode = config.control.group.empty() ? 0600 : 0640;
    Result<shm::Segment> adopted = shm::Segment::adopt(options);
    if (!adopted) {
        const std::error_code why = adopted.error().code;
        if (why == std::errc::permission_denied) {
            return adopted.error();
        }
        if (why != std::errc::no_such_file_or_directory) {
            const auto aside =
                put_aside(options.name, adopted.error().message, config, run, journal);
            if (!aside) {
                return aside.error();
            }
        }
        Result<shm::Segment> made = shm::Segment::create(options);
        return made ? Result<Ground>(Ground{std::move(*made), {}, {}}) : made.error();
    }
    // First who was started, then who lives: whoever died meanwhile is dealt with as a death.
    auto started = shm::find_started(*adopted);
    auto living = shm::sweep_dead_lanes(*adopted, of_cluster(config.cluster, adopted->fd()));
    if (run.take_over && !living.empty()) {
        if (auto ended = end_workers(*adopted, living, config, journal); !ended) {
            return ended.error();
        }
        living = shm::sweep_dead_lanes(*adopted, of_cluster(config.cluster, adopted->fd()));
    }
    // Made by a configuration that may have shared it with a group, or not.
    if (::fchmod(adopted->fd(), options.mode) != 0) {
        return system_error("segment " + options.name + ": chmod");
    }
    journal.info("segment " + options.name + " of an earlier master is kept, with its counters");
    for (const shm::LivingWorker& worker : living) {
        // One whose master died between its lane and its pid has become known since.
        const bool is_known = std::any_of(
            started.begin(), started.end(),
            [&worker](const shm::LivingWorker& other) { return other.lane == worker.lane; });
        if (!is_known) {
            started.push_back(worker);
        }
    }
    return Ground{std::move(*adopted), std::move(started), std::move(living)};
}

/// Goes on with the living workers; those of whom it cannot be sure stay untouched, and that is the
/// answer, but where nobody is there to read it.
Result<std::optional<Adoption>> adopt_or_end(Ground& ground, const config::Config& config,
                                             const Specs& specs, const RunOptions& options,
                                             Journal& journal) {
    if (ground.living.empty()) {
        return std::optional<Adoption>();
    }
    Result<Adoption> adoption = adopt(ground.segment, ground.started, ground.living, config, specs);
    if (adoption) {
        return std::optional(std::move(*adoption));
    }
    const std::string& why = adoption.error().message;
    if (!options.unattended) {
        return make_way(ground.segment, ground.living, config, options, why, journal).error();
    }
    journal.warning(why);
    if (auto ended = end_workers(ground.segment, ground.living, config, journal); !ended) {
        return ended.error();
    }
    (void)shm::sweep_dead_lanes(ground.segment, of_cluster(config.cluster, ground.segment.fd()));
    return std::optional<Adoption>();
}

/// Those that a dead master bound for workers that are no more. The living find theirs where it is.
void remove_notify_sockets(const Ground& ground, const std::optional<Adoption>& adoption,
                           const std::string& prefix) {
    std::set<std::size_t> in_use;
    if (adoption) {
        for (const Adoptee& worker : adoption->workers) {
            if (worker.child) {
                in_use.insert(worker.lane.lane);
            }
        }
    }
    for (std::size_t lane = 1; lane < ground.segment.lanes().size(); ++lane) {
        if (!in_use.contains(lane)) {
            (void)::unlink((prefix + "." + std::to_string(lane)).c_str());
        }
    }
}

/// Who may use the control socket may look.
Result<void> share_with_group(const shm::Segment& segment, const std::string& group) {
    if (group.empty()) {
        return {};
    }
    const Result<posix::Identity> identity = posix::resolve_user("", group);
    if (!identity) {
        return Error{identity.error().code, "control.group: " + identity.error().message};
    }
    if (::fchown(segment.fd(), static_cast<uid_t>(-1), identity->gid) != 0) {
        return system_error("control.group: giving the segment to group " + group);
    }
    return {};
}

/// Why there is no row; or it is one that there cannot be, as an adopted segment may hold anything.
Error declaration_error(const std::string& key, const Result<std::uint32_t>& row) {
    return row ? plain_error(key + ": the names in the segment are corrupt")
               : Error{row.error().code, key + ": " + row.error().message};
}

/// Their numbers too: what an earlier master's workers hold stays theirs, the file's numbers hold.
Result<void> declare_limits(shm::Segment& segment, const config::Shared& shared) {
    const auto arrays = segment.arrays();
    for (const config::Semaphore& semaphore : shared.semaphores) {
        const auto row = segment.array_names().find_or_add(
            semaphore.name, shm::NameKind::Semaphore, 0, {}, [&](std::uint32_t i) {
                if (i < arrays.size()) {
                    shm::Semaphore(arrays[i]).init(semaphore.permits);
                }
            });
        if (!row || *row >= arrays.size()) {
            return declaration_error("shared.semaphores", row);
        }
        shm::Semaphore(arrays[*row]).set_permits(semaphore.permits);
    }
    const auto objects = segment.objects();
    for (const config::RateLimit& limit : shared.rate_limits) {
        const shm::RateLimit::Rule rule{limit.interval_ns, limit.burst};
        const auto row = segment.object_names().find_or_add(
            limit.name, shm::NameKind::RateLimit, 0, {}, [&](std::uint32_t i) {
                if (i < objects.size()) {
                    shm::RateLimit(objects[i]).init(rule);
                }
            });
        if (!row || *row >= objects.size()) {
            return declaration_error("shared.rate_limits", row);
        }
        shm::RateLimit(objects[*row]).set_rule(rule);
    }
    return {};
}

/// What the configuration names in advance has its row before anybody asks.
Result<void> declare_shared(shm::Segment& segment, const config::Shared& shared) {
    const auto nothing = [](std::uint32_t) {};
    for (const std::string& name : shared.counters) {
        const auto row =
            segment.metric_names().find_or_add(name, shm::NameKind::Counter, 0, {}, nothing);
        if (!row) {
            return Error{row.error().code, "shared.counters: " + row.error().message};
        }
    }
    for (const std::string& name : shared.mutexes) {
        const auto row =
            segment.mutex_names().find_or_add(name, shm::NameKind::Mutex, 0, {}, nothing);
        if (!row) {
            return Error{row.error().code, "shared.mutexes: " + row.error().message};
        }
    }
    return declare_limits(segment, shared);
}

/// Removes what this start has made, unless it came to something: an adopted segment is not ours to
/// remove, it holds the counters of an earlier master.
class NewSegment {
  public:
    explicit NewSegment(std::string name) : name_(std::move(name)) {}

    ~NewSegment() {
        if (!name_.empty()) {
            (void)shm::Segment::remove(name_);
        }
    }

    NewSegment(const NewSegment&) = delete;
    NewSegment& operator=(const NewSegment&) = delete;

    void keep() { name_.clear(); }

  private:
    std::string name_;
};

bool segment_exists(const config::Config& config) {
    const std::string path = "/dev/shm/" + shm::segment_name(config.cluster, ::geteuid());
    return ::access(path.c_str(), F_OK) == 0;
}

Result<Foundation> lay(Candidate candidate, const RunOptions& options, const std::string& directory,
                       Journal& journal, UniqueFd signals, int lock_fd) {
    config::Config& config = *candidate.loaded.config;
    const std::string base = directory + "/" + config.cluster;
    const std::string longest = base + ".notify." + std::to_string(config.segment.lanes);
    if (longest.size() > config::kMaxUnixPath) {
        return plain_error("runtime directory " + directory + ": " + longest + " is longer than " +
                           std::to_string(config::kMaxUnixPath) +
                           " characters, which is all that unix(7) allows");
    }
    Result<Ground> ground = make_segment(config, options, journal);
    if (!ground) {
        return ground.error();
    }
    shm::Segment& segment = ground->segment;
    if (Result<void> declared = declare_shared(segment, config.shared); !declared) {
        return declared.error();
    }
    if (Result<void> shared = share_with_group(segment, config.control.group); !shared) {
        return shared.error();
    }
    auto adoption = adopt_or_end(*ground, config, candidate.specs, options, journal);
    if (!adoption) {
        return adoption.error();
    }
    remove_notify_sockets(*ground, *adoption, base + ".notify");
    std::vector<UniqueFd> inherited = posix::take_inherited_sockets();
    posix::KeptSockets kept;
    if (*adoption) {
        kept = std::move((*adoption)->sockets);
    }
    auto listeners = posix::bind_listeners(config.listeners, inherited, 1, std::move(kept));
    if (!listeners) {
        return listeners.error();
    }
    return Foundation{
        .config = config,
        .specs = std::move(candidate.specs),
        .config_file = options.file,
        .segment = std::move(segment),
        .listeners = std::move(*listeners),
        .manager = posix::ServiceManager::from_environment(),
        .signals = std::move(signals),
        .notify_prefix = base + ".notify",
        .control_path = config.control.socket.empty() ? base + ".sock" : config.control.socket,
        .lock_fd = lock_fd,
        .adoption = std::move(*adoption),
    };
}

int run_with_lock(Candidate candidate, const RunOptions& options, const std::string& directory,
                  UniqueFd signals, int lock_fd) {
    const config::Config config = *candidate.loaded.config;
    Journal journal(config.log);
    for (const config::Problem& warning : candidate.loaded.warnings) {
        journal.warning(warning.text());
    }
    NewSegment new_segment(segment_exists(config) ? ""
                                                  : shm::segment_name(config.cluster, ::geteuid()));
    Result<Foundation> foundation =
        lay(std::move(candidate), options, directory, journal, std::move(signals), lock_fd);
    if (!foundation) {
        journal.error(foundation.error().message);
        return kSystem;
    }
    ClusterRecord record;
    record.cluster = config.cluster;
    record.pid = static_cast<std::uint32_t>(::getpid());
    const auto own = posix::process_info(record.pid);
    record.start_ticks = own ? own->start_ticks : 0;
    record.file = config.file;
    record.socket = foundation->control_path;
    record.segment = shm::segment_name(config.cluster, ::geteuid());

    const bool adopts = foundation->adoption.has_value();
    Master master(std::move(*foundation), journal);
    Result<void> opened = master.open();
    if (opened) {
        opened = write_record(directory, record);
    }
    if (!opened) {
        journal.error(opened.error().message);
        if (!adopts) {  // living workers go on listening there
            posix::remove_socket_files(master.listeners());
        }
        return kSystem;
    }
    journal.info("cluster " + config.cluster + ": master is pid " + std::to_string(record.pid) +
                 ", configuration " + config.file);
    new_segment.keep();
    const int code = master.run();
    posix::remove_socket_files(master.listeners());
    remove_record(directory, config.cluster);
    (void)shm::Segment::remove(record.segment);
    journal.info("cluster " + config.cluster + ": stopped");
    if (!journal.flush(1'000)) {
        ::_exit(code);  // nobody reads the log, and its thread cannot be waited for
    }
    return code;
}

}  // namespace

int run_master(const RunOptions& options) {
    Result<UniqueFd> signals = posix::open_signal_fd();
    if (!signals) {
        return complain(kSystem, signals.error().message);
    }
    // Orphans of workers come to us instead of to init, and are reaped and counted.
    (void)::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    Candidate candidate = load_candidate(options.file);
    if (!candidate.loaded.config) {
        for (const config::Problem& problem : candidate.loaded.errors) {
            std::fprintf(stderr, "%s\n", problem.text().c_str());
        }
        return kConfiguration;
    }
    if (!candidate.trouble.empty()) {
        return complain(kConfiguration, candidate.trouble);
    }
    Result<std::string> directory = own_runtime_dir();
    if (!directory) {
        return complain(kSystem, directory.error().message);
    }
    const std::string cluster = candidate.loaded.config->cluster;
    Result<posix::LockFile> lock = posix::LockFile::acquire(*directory + "/" + cluster + ".lock");
    if (!lock) {
        return complain(kSystem, "cluster " + cluster + ": " + lock.error().message);
    }
    return run_with_lock(std::move(candidate), options, *directory, std::move(*signals),
                         lock->fd());
}

}  // namespace topsman::supervisor
