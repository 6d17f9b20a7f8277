#include "config/schema_exec.hpp"

#include "config/schema_pool.hpp"
#include "config/units.hpp"

#include <set>

namespace topsman::config {
namespace {

constexpr LimitName kLimits[] = {
    {"nofile", LimitUnit::Count},     {"memory", LimitUnit::Bytes},  {"core", LimitUnit::Bytes},
    {"nproc", LimitUnit::Count},      {"stack", LimitUnit::Bytes},   {"data", LimitUnit::Bytes},
    {"fsize", LimitUnit::Bytes},      {"memlock", LimitUnit::Bytes}, {"msgqueue", LimitUnit::Bytes},
    {"sigpending", LimitUnit::Count}, {"rtprio", LimitUnit::Count},  {"cpu", LimitUnit::Seconds},
};

bool is_reserved(std::string_view name) {
    return name.starts_with("LISTEN_") || name.starts_with("TOPSMAN_") ||
           name.starts_with("WATCHDOG_") || name == "NOTIFY_SOCKET";
}

Result<std::int64_t> parse_limit(std::string_view text, LimitUnit unit) {
    if (text == "unlimited") {
        return std::int64_t{-1};
    }
    if (unit == LimitUnit::Bytes) {
        return parse_size(text);
    }
    if (unit == LimitUnit::Seconds) {
        auto time = parse_duration(text);
        if (!time) {
            return time.error();
        }
        return std::int64_t{time->count() / 1'000};
    }
    auto count = parse_count(text);
    if (!count) {
        return count.error();
    }
    return std::int64_t{*count};
}

}  // namespace

void read_program(Reader& reader, const At& at, std::vector<std::string>& command) {
    if (at.node.kind == Node::Kind::Scalar) {
        const std::string& text = at.node.text;
        const bool needs_shell = text.find_first_of("|&;<>()$`\\\"'*?~#") != std::string::npos;
        std::string list = needs_shell ? "sh, -c, '" + shown(text) + "'" : shown(text);
        for (std::size_t i = 0; !needs_shell && i < list.size(); ++i) {
            if (list[i] == ' ') {
                list.replace(i++, 1, ", ");
            }
        }
        reader.error(at, "a command is a list, no shell splits it: write [" + list + "]");
        return;
    }
    command = reader.list(at);
    if (at.node.kind == Node::Kind::List && at.node.items.empty()) {
        reader.error(at, "a command has at least the program: write [program, argument]");
    }
    if (command.empty()) {
        return;
    }
    std::string& program = command[0];
    if (program.empty()) {
        reader.error(at, "the program's name is empty: write [program, argument]");
    } else if (program.find('/') != std::string::npos) {
        program = reader.absolute(program);
    }
}

void read_command(Reader& reader, const At& at, Pool& pool) {
    read_program(reader, at, pool.exec.command);
}

void read_environment(Reader& reader, const At& at, Pool& pool) {
    if (at.node.kind != Node::Kind::Map) {
        reader.error(at, "this is a map: write { NAME: value }");
        return;
    }
    for (const Entry& entry : at.node.entries) {
        const std::string path = at.path + "." + shown(entry.key);
        if (!is_variable_name(entry.key)) {
            reader.error(entry.mark, path,
                         "a variable's name has letters, digits and _, and starts with no digit");
        } else if (is_reserved(entry.key)) {
            reader.error(entry.mark, path, "topsman sets this variable itself: remove it");
        } else if (entry.value.kind == Node::Kind::Null) {
            reader.error(entry.mark, path, "no value: write \"\" for empty text");
        } else if (const std::string* text = reader.scalar({entry.value, path, "\"text\""})) {
            pool.exec.environment[entry.key] = *text;
        }
    }
}

void read_limits(Reader& reader, const At& at, Pool& pool) {
    if (at.node.kind != Node::Kind::Map) {
        reader.error(at, "this is a map: write { nofile: 65536 }");
        return;
    }
    std::vector<std::string> names;
    for (const LimitName& limit : kLimits) {
        names.emplace_back(limit.name);
    }
    for (const Entry& entry : at.node.entries) {
        const std::string path = at.path + "." + shown(entry.key);
        const LimitName* found = nullptr;
        for (const LimitName& limit : kLimits) {
            if (entry.key == limit.name) {
                found = &limit;
            }
        }
        if (found == nullptr) {
            const std::string meant = entry.key == "as" ? "memory" : nearest(entry.key, names);
            reader.error(entry.mark, path,
                         "unknown limit" + (meant.empty() ? ": the limits are " + listed(names)
                                                          : ": did you mean " + meant + "?"));
            continue;
        }
        std::int64_t value = 0;
        reader.parse(
            {entry.value, path, "unlimited"},
            [&](const std::string& text) { return parse_limit(text, found->unit); }, value);
        pool.exec.limits[entry.key] = value;
    }
}

Result<std::optional<std::uint32_t>> parse_umask(std::string_view text) {
    auto mask = parse_mode(text);
    if (!mask) {
        return plain_error("\"" + shown(text) +
                           "\" is no umask: write it in octal with a leading "
                           "zero, like \"0022\"");
    }
    return std::optional(*mask);
}

Result<std::optional<int>> parse_nice(std::string_view text) {
    const bool is_negative = text.starts_with('-');
    auto value = parse_count(text.substr(is_negative ? 1 : 0));
    if (!value || *value > (is_negative ? 20U : 19U)) {
        return plain_error("\"" + shown(text) +
                           "\" is no nice value: write a whole number from -20, first served, to "
                           "19");
    }
    const auto magnitude = static_cast<int>(*value);
    return std::optional(is_negative ? -magnitude : magnitude);
}

void read_cpu_affinity(Reader& reader, const At& at, Pool& pool) {
    CpuAffinity& affinity = pool.exec.cpu_affinity;
    if (at.node.kind == Node::Kind::Scalar && at.node.text == "auto") {
        affinity.by_slot = true;
        return;
    }
    if (at.node.kind == Node::Kind::List && at.node.items.empty()) {
        reader.error(at, "no CPU at all: write [0-3], or auto for one CPU for each worker");
        return;
    }
    std::set<std::uint32_t> cpus;
    for (const std::string& item : reader.list(at)) {
        auto range = parse_cpu_range(item);
        if (!range) {
            reader.error(at, range.error().message);
            continue;
        }
        for (std::uint32_t cpu = range->first; cpu <= range->last; ++cpu) {
            cpus.insert(cpu);
        }
    }
    affinity.cpus.assign(cpus.begin(), cpus.end());
}

std::span<const LimitName> limit_names() {
    return kLimits;
}

}  // namespace topsman::config
