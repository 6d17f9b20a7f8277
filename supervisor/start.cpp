#include "supervisor/start.hpp"

#include "config/limits.hpp"
#include "supervisor/cluster_segment.hpp"
#include "supervisor/config_loader.hpp"
#include "supervisor/master.hpp"
#include "supervisor/posix/lock_file.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/runtime_dir.hpp"
#include "supervisor/shared_objects.hpp"

#include <cstdio>
#include <set>
#include <sys/prctl.h>
#include <unistd.h>

namespace topsman::supervisor {

namespace {

constexpr int kSystem = 1;
constexpr int kConfiguration = core::kExitConfiguration;

int complain(int code, const std::string& sentence) {
    std::fprintf(stderr, "topsman: %s\n", sentence.c_str());
    return code;
}

/// Goes on with the living workers; those of whom it cannot be sure stay untouched, and that is the
/// answer, but where nobody is there to read it.
Result<std::optional<Adoption>> adopt_or_end(ClusterSegment& ground, const config::Config& config,
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
        return still_running(ground.segment, ground.living, config, why);
    }
    journal.warning(why);
    if (auto ended = end_living(ground, config, journal); !ended) {
        return ended.error();
    }
    return std::optional<Adoption>();
}

/// Those that a dead master bound for workers that are no more. The living find theirs where it is.
void remove_notify_sockets(const ClusterSegment& ground, const std::optional<Adoption>& adoption,
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
    Result<ClusterSegment> ground = make_segment(config, options, journal);
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
