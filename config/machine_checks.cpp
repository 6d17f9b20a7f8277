#include "config/checks.hpp"
#include "config/env_file.hpp"
#include "config/names.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman::config {
namespace {

constexpr std::uint32_t kEnoughDatagrams = 512;

bool is_program(const std::string& path) {
    struct stat info {};

    return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
           ::access(path.c_str(), X_OK) == 0;
}

/// The PATH that the worker will have.
std::string worker_path(const Reader& reader, const Pool& pool) {
    if (const auto own = pool.exec.environment.find("PATH"); own != pool.exec.environment.end()) {
        return own->second;
    }
    if (!pool.exec.env_file.empty()) {
        auto file = read_env_file(pool.exec.env_file);
        if (file && file->contains("PATH")) {
            return (*file)["PATH"];
        }
    }
    const auto& variables = reader.environment().variables;
    const auto inherited = variables.find("PATH");
    return inherited == variables.end() ? "/usr/local/bin:/usr/bin:/bin" : inherited->second;
}

/// Programs that watch processes of their own: stopped for a while, they would find these dead.
void warn_spares(Reader& reader, const Node& root, const Pool& pool) {
    static constexpr std::string_view kSupervisors[] = {"gunicorn", "uwsgi",   "nginx",  "apache2",
                                                        "httpd",    "php-fpm", "unicorn"};
    if (pool.spares == 0 || pool.exec.command.empty()) {
        return;
    }
    const std::string& program = pool.exec.command[0];
    const std::string name = program.substr(program.rfind('/') + 1);
    if (std::find(std::begin(kSupervisors), std::end(kSupervisors), name) !=
        std::end(kSupervisors)) {
        reader.warning(mark_of(root, {"pools", pool.name, "spares"}),
                       "pools." + pool.name + ".spares",
                       name +
                           " supervises processes of its own: its spares are not frozen, they "
                           "serve like workers");
    }
}

/// `lost`: what becomes of the pool without the program.
void warn_program(Reader& reader, const Pool& pool, const std::string& program, Mark mark,
                  const std::string& path, const char* lost) {
    if (program.find("${") != std::string::npos) {
        return;
    }
    if (program.find('/') != std::string::npos) {
        if (!is_program(program)) {
            reader.warning(mark, path,
                           shown(program) + (::access(program.c_str(), F_OK) == 0
                                                 ? " is not executable: chmod +x it"
                                                 : std::string(" does not exist: ") + lost));
        }
        return;
    }
    const std::string all = worker_path(reader, pool);
    std::string_view rest = all;
    while (!rest.empty()) {
        const std::string folder(rest.substr(0, rest.find(':')));
        if (is_program(folder + "/" + program)) {
            return;
        }
        rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    }
    reader.warning(mark, path,
                   shown(program) +
                       " is not in the workers' PATH: write its whole path, or set "
                       "PATH in environment");
}

void warn_commands(Reader& reader, const Node& root, const Pool& pool) {
    const std::string path = "pools." + pool.name;
    if (!pool.exec.command.empty()) {
        warn_program(reader, pool, pool.exec.command[0],
                     mark_of(root, {"pools", pool.name, "command"}), path + ".command[0]",
                     "workers cannot start");
    }
    if (!pool.ready.command.empty()) {
        warn_program(reader, pool, pool.ready.command[0],
                     mark_of(root, {"pools", pool.name, "ready", "command"}),
                     path + ".ready.command[0]", "workers are never ready");
    }
}

void warn_paths(Reader& reader, const Node& root, const Pool& pool) {
    const std::string path = "pools." + pool.name;

    struct stat info {};

    const std::string& folder = pool.exec.working_directory;
    if (::stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
        reader.warning(mark_of(root, {"pools", pool.name, "working_directory"}),
                       path + ".working_directory",
                       shown(folder) + " is not a directory: workers cannot start there");
    }
    if (!pool.exec.env_file.empty()) {
        if (auto file = read_env_file(pool.exec.env_file); !file) {
            reader.warning(mark_of(root, {"pools", pool.name, "env_file"}), path + ".env_file",
                           file.error().message);
        }
    }
}

void warn_cpus(Reader& reader, const Node& root, const Pool& pool) {
    const auto& online = reader.environment().online_cpus;
    std::vector<std::string> missing;
    for (const std::uint32_t cpu : pool.exec.cpu_affinity.cpus) {
        if (online && !online->contains(cpu)) {
            missing.push_back(std::to_string(cpu));
        }
    }
    if (missing.empty()) {
        return;
    }
    const bool none = missing.size() == pool.exec.cpu_affinity.cpus.size();
    reader.warning(mark_of(root, {"pools", pool.name, "cpu_affinity"}),
                   "pools." + pool.name + ".cpu_affinity",
                   "the machine has no CPU " + listed(missing) + ", its last is " +
                       std::to_string(*online->rbegin()) +
                       (none ? ": workers cannot start" : ": it is left out"));
}

void warn_times(Reader& reader, const Node& root, const Pool& pool) {
    const std::string path = "pools." + pool.name;
    if (pool.ready.by != ReadyBy::None && !pool.ready.assumed && pool.ready.timeout.count() == 0) {
        reader.warning(mark_of(root, {"pools", pool.name, "ready", "timeout"}),
                       path + ".ready.timeout",
                       "0s leaves a worker no time to become ready: write 30s");
    }
    const Node* pools = root.find("pools");
    const Node* own = pools == nullptr ? nullptr : pools->find(pool.name);
    const Node* watchdog = own == nullptr ? nullptr : own->find("watchdog");
    if (watchdog != nullptr && watchdog->find("timeout") == nullptr) {
        reader.warning(watchdog->mark, path + ".watchdog",
                       "without a timeout the watchdog is off: write timeout: 30s, or remove it");
    }
}

/// Programs that are known not to be made with the worker library.
bool is_foreign(const std::string& program) {
    static constexpr std::string_view kForeign[] = {
        "node", "nodejs", "deno",  "bun",      "python",  "ruby", "puma", "unicorn",
        "php",  "perl",   "nginx", "gunicorn", "uvicorn", "java", "sh",   "bash"};
    std::string name = program.substr(program.rfind('/') + 1);
    name.erase(name.find_last_not_of("0123456789.") + 1);  // python3.11
    return std::find(std::begin(kForeign), std::end(kForeign), name) != std::end(kForeign);
}

void warn_recycling(Reader& reader, const Node& root, const Pool& pool) {
    if (pool.recycle.requests == 0 || pool.exec.command.empty()) {
        return;
    }
    const std::string& program = pool.exec.command[0];
    std::string why;
    if (pool.exec.segment == SegmentUse::None) {
        why = "the pool has `segment: none`, and requests are counted in the segment";
    } else if (is_foreign(program)) {
        why = "only programs made with topsman's worker library count their requests, and " +
              shown(program) + " is none";
    }
    if (!why.empty()) {
        reader.warning(mark_of(root, {"pools", pool.name, "recycle", "requests"}),
                       "pools." + pool.name + ".recycle.requests",
                       why + ": write lifetime or memory instead");
    }
}

void warn_listener(Reader& reader, const Node& root, const Config& config,
                   const Listener& listener) {
    const std::string path = "listeners." + listener.name;
    const auto& environment = reader.environment();
    const bool is_used =
        std::any_of(config.pools.begin(), config.pools.end(), [&](const Pool& pool) {
            const auto& names = pool.exec.listeners;
            return std::find(names.begin(), names.end(), listener.name) != names.end();
        });
    if (!is_used) {
        reader.warning(mark_of(root, {"listeners", listener.name}), path,
                       "no pool uses this listener: nobody will answer; add it to a pool's "
                       "listeners, or remove it");
    }
    if (environment.somaxconn && listener.backlog > *environment.somaxconn) {
        const std::string most = std::to_string(*environment.somaxconn);
        reader.warning(mark_of(root, {"listeners", listener.name, "backlog"}), path + ".backlog",
                       "the kernel cuts " + std::to_string(listener.backlog) + " to " + most +
                           ": sysctl -w net.core.somaxconn=" + std::to_string(listener.backlog) +
                           ", or write backlog: " + most);
    }
    if (listener.accept == Accept::ReusePort && environment.tcp_migrate_req == 0U) {
        reader.warning(mark_of(root, {"listeners", listener.name, "accept"}), path + ".accept",
                       "a worker's socket of a reuse_port group takes its waiting connections with "
                       "it when it is closed: sysctl -w net.ipv4.tcp_migrate_req=1, or write "
                       "accept: shared");
    }
}

void warn_datagrams(Reader& reader, const Node& root, const Config& config) {
    const auto& length = reader.environment().unix_dgram_qlen;
    if (!length || *length >= kEnoughDatagrams) {
        return;
    }
    for (const Pool& pool : config.pools) {
        const bool by_notify = pool.ready.by == ReadyBy::Notify;
        if (by_notify || pool.watchdog.timeout.count() > 0) {
            const char* key = by_notify ? "ready" : "watchdog";
            reader.warning(mark_of(root, {"pools", pool.name, key}),
                           "pools." + pool.name + "." + key,
                           "while the master is busy only " + std::to_string(*length + 1) +
                               " notifications can wait, then workers do: sysctl -w "
                               "net.unix.max_dgram_qlen=" +
                               std::to_string(kEnoughDatagrams));
            return;  // one machine, one warning
        }
    }
}

}  // namespace

void check_machine(Reader& reader, const Node& root, const Config& config) {
    for (const Listener& listener : config.listeners) {
        warn_listener(reader, root, config, listener);
    }
    for (const Pool& pool : config.pools) {
        warn_commands(reader, root, pool);
        warn_spares(reader, root, pool);
        warn_paths(reader, root, pool);
        warn_cpus(reader, root, pool);
        warn_times(reader, root, pool);
        warn_recycling(reader, root, pool);
    }
    warn_datagrams(reader, root, config);
}

}  // namespace topsman::config
