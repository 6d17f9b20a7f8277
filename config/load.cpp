#include "config/load.hpp"

#include "config/accounts.hpp"
#include "config/checks.hpp"
#include "config/cpus.hpp"
#include "config/limits.hpp"
#include "config/names.hpp"
#include "config/read_file.hpp"
#include "config/reader.hpp"
#include "config/schema_file.hpp"
#include "config/substitute.hpp"
#include "config/units.hpp"
#include "config/yaml.hpp"

#include <filesystem>
#include <string_view>
#include <system_error>
#include <unistd.h>

namespace topsman::config {
namespace {

std::string real_path(const std::string& path) {
    std::error_code error;
    const auto real = std::filesystem::canonical(path, error);
    if (!error) {
        return real.string();
    }
    const auto absolute = std::filesystem::absolute(path, error);
    return error ? path : absolute.lexically_normal().string();
}

/// The cluster's name when the file does not say it: "shop" for /etc/topsman/shop.yaml.
void name_cluster(Reader& reader, const Node& root, Config& config) {
    if (root.find("cluster") != nullptr) {
        return;
    }
    const std::string stem = std::filesystem::path(reader.file()).stem().string();
    std::string name = stem;
    for (char& c : name) {
        if (c == '.' || c == ' ') {
            c = '-';
        }
    }
    if (is_name(name)) {
        config.cluster = name;
        return;
    }
    reader.error(Mark{1, 1}, "cluster",
                 "the file's name, " + shown(stem) +
                     ", is no name for a cluster: write cluster: "
                     "NAME; a name is " +
                     std::string(kNameRule));
}

/// The top level's user and group are checked where they stand, not once for each pool.
void check_accounts(Reader& reader, const Node& root, File& file) {
    if (auto wrong = user_problem(file.user)) {
        reader.error(mark_of(root, {"user"}), "user", *wrong);
        file.user.clear();
    }
    if (auto wrong = group_problem(file.group)) {
        reader.error(mark_of(root, {"group"}), "group", *wrong);
        file.group.clear();
    }
}

void apply_defaults(const Reader& reader, File& file) {
    for (Pool& pool : file.config.pools) {
        if (pool.exec.user.empty()) {
            pool.exec.user = file.user;
            if (pool.exec.group.empty()) {
                pool.exec.group = file.group;
            }
        }
        if (pool.exec.working_directory.empty()) {
            pool.exec.working_directory = reader.absolute(".");
        }
    }
}

std::optional<std::uint32_t> kernel_setting(const std::string& path) {
    auto text = read_file(path, 64);
    if (!text) {
        return std::nullopt;
    }
    std::string_view digits = *text;
    while (!digits.empty() && (digits.back() == '\n' || digits.back() == ' ')) {
        digits.remove_suffix(1);
    }
    auto value = parse_count(digits);
    return value ? std::optional(*value) : std::nullopt;
}

/// A listener that moves is another socket for the pools that use it.
void name_sockets(Config& config) {
    for (Pool& pool : config.pools) {
        for (const std::string& name : pool.exec.listeners) {
            pool.exec.sockets.push_back(config.find_listener(name)->socket());
        }
    }
}

}  // namespace

std::string Problem::text() const {
    std::string result = file;
    if (line > 0) {
        result += ":" + std::to_string(line) + ":" + std::to_string(column);
    }
    return result + ": " + (path.empty() ? "" : path + ": ") + sentence;
}

Environment Environment::of_this_process() {
    Environment environment;
    environment.cpus = allowed_cpus();
    for (char** variable = ::environ; variable != nullptr && *variable != nullptr; ++variable) {
        const std::string_view whole = *variable;
        const std::size_t equals = whole.find('=');
        if (equals != std::string_view::npos) {
            environment.variables.emplace(whole.substr(0, equals), whole.substr(equals + 1));
        }
    }
    environment.somaxconn = kernel_setting("/proc/sys/net/core/somaxconn");
    environment.tcp_migrate_req = kernel_setting("/proc/sys/net/ipv4/tcp_migrate_req");
    environment.online_cpus = config::online_cpus("");
    environment.unix_dgram_qlen = kernel_setting("/proc/sys/net/unix/max_dgram_qlen");
    return environment;
}

Loaded load_text(const std::string& text, const std::string& path, const Environment& environment) {
    Loaded loaded;
    Reader reader(path, environment, loaded);
    ParsedYaml yaml = parse_yaml(text);
    Source source{real_path(path), text, {}, environment.cpus};
    if (yaml.root) {
        source.variables = substitute(*yaml.root, environment.variables, yaml.problems);
    }
    for (YamlProblem& problem : yaml.problems) {
        reader.error(problem.mark, std::move(problem.path), std::move(problem.sentence));
    }
    if (!yaml.root) {
        reader.finish();
        return loaded;
    }
    File file;
    file.config.file = source.path;
    file.config.origin.source = std::make_shared<const Source>(std::move(source));
    read_file_keys(reader, *yaml.root, file);
    name_cluster(reader, *yaml.root, file.config);
    check_accounts(reader, *yaml.root, file);
    apply_defaults(reader, file);
    check_config(reader, *yaml.root, file.config);
    check_machine(reader, *yaml.root, file.config);
    reader.finish();
    if (loaded.errors.empty()) {
        name_sockets(file.config);
        loaded.config = std::move(file.config);
    }
    return loaded;
}

Loaded load_file(const std::string& path, const Environment& environment) {
    auto text = read_file(path, kMaxFileBytes);
    if (!text) {
        Loaded loaded;
        loaded.errors.push_back({path, 0, 0, "", text.error().message});
        return loaded;
    }
    return load_text(*text, path, environment);
}

}  // namespace topsman::config
