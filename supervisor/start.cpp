#include "supervisor/start.hpp"

#include "config/limits.hpp"
#include "supervisor/cluster_segment.hpp"
#include "supervisor/footing.hpp"
#include "supervisor/leftovers.hpp"
#include "supervisor/master.hpp"
#include "supervisor/posix/lock_file.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/runtime_dir.hpp"
#include "supervisor/shared_objects.hpp"

#include <cstdio>
#include <optional>
#include <set>
#include <sys/prctl.h>
#include <unistd.h>
#include <utility>

namespace topsman::supervisor {

namespace {

constexpr int kSystem = 1;
constexpr int kConfiguration = core::kExitConfiguration;

int complain(int code, const std::string& sentence) {
    std::fprintf(stderr, "topsman: %s\n", sentence.c_str());
    return code;
}

int complain_about(const Candidate& file) {
    for (const config::Problem& problem : file.loaded.errors) {
        std::fprintf(stderr, "%s\n", problem.text().c_str());
    }
    return file.loaded.config ? complain(kConfiguration, file.trouble) : kConfiguration;
}

/// What a start has before there is a segment.
struct Beginning {
    Candidate file;
    std::optional<KeptGenerations> kept;  ///< by a dead master
    std::string forgotten;                ///< why it is not known, if it should be
    std::string directory;
    UniqueFd signals;
    int lock_fd = -1;
};

/// A file that says nothing does not say whose it is either. The record of a dead master does.
std::optional<std::string> cluster_of_dead_master(const std::string& file) {
    const Result<ClusterRecord> record = find_cluster(std::nullopt, file);
    const bool is_dead = record && !posix::is_same_process_alive(record->pid, record->start_ticks);
    return is_dead ? std::optional(record->cluster) : std::nullopt;
}

void recall(Beginning& beginning, const std::string& cluster) {
    Result<KeptGenerations> kept = read_generations(generations_path(beginning.directory, cluster));
    if (!kept) {
        const bool is_none = kept.error().code == std::errc::no_such_file_or_directory;
        beginning.forgotten = is_none ? "" : kept.error().message;
        return;
    }
    if (is_good(beginning.file)) {
        kept->move_to(beginning.file.loaded.config->file);
    }
    beginning.kept = std::move(*kept);
}

/// Goes on with the living workers; those of whom it cannot be sure stay untouched, and that is the
/// answer, but where nobody is there to read it.
Result<std::optional<Adoption>> adopt_or_end(ClusterSegment& ground, const Footing& footing,
                                             const posix::KeptSockets& stored,
                                             const RunOptions& options, Journal& journal) {
    if (ground.living.empty()) {
        return std::optional<Adoption>();
    }
    const config::Config& config = footing.config;
    Result<Adoption> adoption =
        adopt(ground.segment, ground.started, ground.living, config, footing.specs,
              footing.kept ? &*footing.kept : nullptr, stored);
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
            (void)::unlink(notify_path(prefix, lane).c_str());
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

Result<void> check_length(const std::string& directory, const std::string& longest) {
    if (longest.size() > config::kMaxUnixPath) {
        return plain_error("runtime directory " + directory + ": " + longest + " is longer than " +
                           std::to_string(config::kMaxUnixPath) +
                           " characters, which is all that unix(7) allows");
    }
    return {};
}

/// Sockets out of the manager's store are as a file before this one wanted them.
Result<void> tune_all(const std::vector<posix::BoundListener>& bound, const posix::Owners& owners) {
    for (const posix::BoundListener& listener : bound) {
        if (auto set = posix::tune(listener, owners); !set) {
            return set;
        }
    }
    return {};
}

/// Those of the configuration, and of what living workers hold those that it may come to. `stored`:
/// what is left of it, where nobody lives.
Result<ListenerSet> bind_all(const Footing& footing, std::optional<Adoption>& adoption,
                             std::vector<UniqueFd> inherited, posix::KeptSockets stored) {
    const std::vector<config::Listener>& own = footing.config.listeners;
    std::vector<config::Listener> wanted = own;
    const bool are_stored = !adoption && !stored.empty();
    posix::KeptSockets kept = std::move(stored);
    if (adoption) {
        kept = std::move(adoption->sockets);
        const auto known = listeners_of(footing.config, footing.kept ? &*footing.kept : nullptr);
        for (std::size_t i = own.size(); i < known.size(); ++i) {
            if (kept.contains({known[i].name, known[i].socket()})) {
                wanted.push_back(known[i]);
            }
        }
    }
    // Also of what a rollback may bind again: there is no time for it later.
    auto owners = posix::resolve_owners(
        listeners_of(footing.config, footing.kept ? &*footing.kept : nullptr));
    if (!owners) {
        return owners.error();
    }
    auto bound = posix::bind_listeners(wanted, inherited, 1, std::move(kept), *owners);
    if (!bound) {
        return bound.error();
    }
    if (auto tuned = are_stored ? tune_all(*bound, *owners) : Result<void>(); !tuned) {
        return tuned.error();
    }
    for (std::size_t i = own.size(); i < bound->size(); ++i) {
        (*bound)[i].in_force = false;
    }
    ListenerSet listeners(std::move(*bound), std::move(inherited), std::move(*owners));
    if (adoption) {
        listeners.keep_rows(adoption->rows);
    }
    return listeners;
}

Result<Foundation> lay(Beginning beginning, const RunOptions& options, Journal& journal) {
    const config::Config& wanted = ground_config(beginning.file, beginning.kept);
    const std::string base = beginning.directory + "/" + wanted.cluster;
    const std::string longest = notify_path(base, wanted.segment.lanes);
    if (auto fits = check_length(beginning.directory, longest); !fits) {
        return fits.error();
    }
    Result<ClusterSegment> ground = make_segment(wanted, options, journal);
    if (!ground) {
        return ground.error();
    }
    shm::Segment& segment = ground->segment;
    Footing footing = choose_footing(std::move(beginning.file), std::move(beginning.kept),
                                     !ground->living.empty());
    const config::Config& config = footing.config;
    if (Result<void> declared = declare_shared(segment, config.shared); !declared) {
        return declared.error();
    }
    if (Result<void> shared = share_with_group(segment, config.control.group); !shared) {
        return shared.error();
    }
    std::vector<posix::InheritedSocket> given = posix::take_inherited_sockets();
    StoredSockets stored =
        ground->living.empty()
            ? take_stored(given, config.listeners)
            : take_stored(given, listeners_of(config, footing.kept ? &*footing.kept : nullptr));
    if (ground->living.empty()) {
        stored.close_others();
    }
    auto adoption = adopt_or_end(*ground, footing, stored.sockets, options, journal);
    if (!adoption) {
        return adoption.error();
    }
    remove_notify_sockets(*ground, *adoption, base);
    std::vector<UniqueFd> inherited;
    for (posix::InheritedSocket& socket : given) {
        inherited.push_back(std::move(socket.fd));
    }
    auto listeners = bind_all(footing, *adoption, std::move(inherited), std::move(stored.sockets));
    if (!listeners) {
        return listeners.error();
    }
    return Foundation{
        .config = config,
        .specs = std::move(footing.specs),
        .file = std::move(footing.file),
        .news = std::move(footing.news),
        .kept = std::move(footing.kept),
        .generations_path = generations_path(beginning.directory, config.cluster),
        .config_file = options.file,
        .directory = beginning.directory,
        .program = options.program,
        .segment = std::move(segment),
        .listeners = std::move(*listeners),
        .stored = std::move(stored.names),
        .manager = posix::ServiceManager::from_environment(),
        .signals = std::move(beginning.signals),
        .path_prefix = base,
        .control_path = config.control.socket.empty() ? base + ".sock" : config.control.socket,
        .lock_fd = beginning.lock_fd,
        .adoption = std::move(*adoption),
        .handover = {},
    };
}

int run_with_lock(Beginning beginning, const RunOptions& options) {
    const std::string directory = beginning.directory;
    const config::Config config = ground_config(beginning.file, beginning.kept);
    Journal journal(config.log);
    for (const config::Problem& warning : beginning.file.loaded.warnings) {
        journal.warning(warning.text());
    }
    if (!beginning.forgotten.empty()) {
        journal.warning(beginning.forgotten +
                        ": only the file is known of a dead master's workers");
    }
    NewSegment new_segment(segment_exists(config) ? ""
                                                  : shm::segment_name(config.cluster, ::geteuid()));
    Result<Foundation> foundation = lay(std::move(beginning), options, journal);
    if (!foundation) {
        journal.error(foundation.error().message);
        return kSystem;
    }
    const ClusterRecord record = own_record(*foundation);
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
    return run_to_end(master, record, journal);
}

}  // namespace

ClusterRecord own_record(const Foundation& foundation) {
    ClusterRecord record;
    record.cluster = foundation.config.cluster;
    record.directory = foundation.directory;
    record.pid = static_cast<std::uint32_t>(::getpid());
    const auto own = posix::process_info(record.pid);
    record.start_ticks = own ? own->start_ticks : 0;
    record.file = foundation.config.file;
    record.socket = foundation.control_path;
    record.segment = shm::segment_name(record.cluster, ::geteuid());
    return record;
}

int run_to_end(Master& master, const ClusterRecord& record, Journal& journal) {
    const int code = master.run();
    posix::remove_socket_files(master.listeners());
    remove_cluster_files(record);
    journal.info("cluster " + record.cluster + ": stopped");
    if (!journal.flush(1'000)) {
        ::_exit(code);  // nobody reads the log, and its thread cannot be waited for
    }
    return code;
}

int run_master(const RunOptions& options) {
    Result<UniqueFd> signals = posix::open_signal_fd();
    if (!signals) {
        return complain(kSystem, signals.error().message);
    }
    // Orphans of workers come to us instead of to init, and are reaped and counted.
    (void)::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    Beginning beginning;
    beginning.signals = std::move(*signals);
    beginning.file = load_candidate(options.file);
    const bool file_is_good = is_good(beginning.file);
    const auto cluster = file_is_good ? std::optional(beginning.file.loaded.config->cluster)
                                      : cluster_of_dead_master(options.file);
    if (!cluster || (!file_is_good && options.take_over)) {
        return complain_about(beginning.file);
    }
    Result<std::string> directory = own_runtime_dir();
    if (!directory) {
        return complain(kSystem, directory.error().message);
    }
    beginning.directory = *directory;
    Result<posix::LockFile> lock = posix::LockFile::acquire(*directory + "/" + *cluster + ".lock");
    if (!lock) {
        return complain(kSystem, "cluster " + *cluster + ": " + lock.error().message);
    }
    beginning.lock_fd = lock->fd();
    if (!options.take_over) {
        recall(beginning, *cluster);
    }
    if (!file_is_good && !beginning.kept) {
        return complain_about(beginning.file);
    }
    return run_with_lock(std::move(beginning), options);
}

}  // namespace topsman::supervisor
