#include "config/schema_file.hpp"

#include "config/address.hpp"
#include "config/limits.hpp"
#include "config/schema_pool.hpp"
#include "config/units.hpp"

#include <limits>
#include <set>
#include <string_view>

namespace topsman::config {
namespace {

Result<std::string> parse_name(std::string_view text) {
    if (!is_name(text)) {
        return plain_error("\"" + shown(text) + "\" is no name: a name is " + kNameRule);
    }
    return std::string(text);
}

Result<std::string> parse_word(std::string_view text) {
    if (text.empty()) {
        return plain_error("an empty name: write one, or remove the key");
    }
    return std::string(text);
}

Result<LogLevel> parse_level(std::string_view text) {
    static constexpr Word<LogLevel> kWords[] = {
        {"debug", LogLevel::Debug},
        {"info", LogLevel::Info},
        {"warning", LogLevel::Warning},
        {"error", LogLevel::Error},
    };
    return choose<LogLevel>(text, kWords);
}

Result<LogFormat> parse_format(std::string_view text) {
    static constexpr Word<LogFormat> kWords[] = {
        {"text", LogFormat::Text},
        {"json", LogFormat::Json},
    };
    return choose<LogFormat>(text, kWords);
}

Result<Accept> parse_accept(std::string_view text) {
    static constexpr Word<Accept> kWords[] = {
        {"shared", Accept::Shared},
        {"reuse_port", Accept::ReusePort},
        {"least_busy", Accept::Shared, "not supported yet: write shared"},
    };
    return choose<Accept>(text, kWords);
}

Result<std::uint32_t> parse_backlog(std::string_view text) {
    auto count = parse_count(text);
    // listen(2) takes an int.
    if (count && (*count == 0 || *count > std::numeric_limits<std::int32_t>::max())) {
        return plain_error("a backlog is from 1 to 2147483647: write 4096");
    }
    return count;
}

Result<std::uint32_t> parse_lanes(std::string_view text) {
    auto count = parse_count(text);
    if (count && (*count < kMinLanes || *count > kMaxLanes)) {
        return plain_error("lanes are from " + std::to_string(kMinLanes) + " to " +
                           std::to_string(kMaxLanes) + ": write 256");
    }
    return count;
}

Result<std::optional<std::uint32_t>> parse_optional_mode(std::string_view text) {
    auto mode = parse_mode(text);
    if (!mode) {
        return mode.error();
    }
    return std::optional(*mode);
}

void read_kind(Reader& reader, const At& at, Segment& /*segment*/) {
    static constexpr Word<int> kWords[] = {
        {"named", 0},
        {"sealed", 1, "not supported yet: write named"},
    };
    int kind = 0;
    reader.parse(
        at, [](const std::string& text) { return choose<int>(text, kWords); }, kind);
}

void read_address(Reader& reader, const At& at, Listener& listener) {
    const std::string* text = reader.scalar(at);
    if (text == nullptr) {
        return;
    }
    auto address = parse_address(*text);
    if (!address) {
        reader.error(at, address.error().message);
        return;
    }
    if (address->kind != Address::Kind::Unix) {
        listener.address = *text;
        return;
    }
    const std::string path = reader.absolute(address->path);
    if (path.size() > kMaxUnixPath) {
        reader.error(at, "the path of a unix socket has at most " + std::to_string(kMaxUnixPath) +
                             " bytes, " + shown(path) + " has " + std::to_string(path.size()));
        return;
    }
    listener.address = "unix:" + path;
}

constexpr Field<Log> kLog[] = {
    {"level", "info", value<&Log::level, parse_level>},
    {"format", "text", value<&Log::format, parse_format>},
};

constexpr Field<Segment> kSegment[] = {
    {"kind", "named", read_kind},
    {"lanes", "256", value<&Segment::lanes, parse_lanes>},
};

constexpr Field<Listener> kListener[] = {
    {"address", "(required)", read_address},
    {"backlog", "4096", value<&Listener::backlog, parse_backlog>},
    {"accept", "shared", value<&Listener::accept, parse_accept>},
    {"mode", "(as umask leaves it)", value<&Listener::mode, parse_optional_mode>},
    {"owner", "(the master's user)", value<&Listener::owner, parse_word>},
};

/// A list of names, each once.
template <std::size_t Most>
std::vector<std::string> read_names(Reader& reader, const At& at) {
    std::vector<std::string> names = reader.list(at);
    std::set<std::string> seen;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const std::string path = at.path + "[" + std::to_string(i) + "]";
        const Mark mark = i < at.node.items.size() ? at.node.items[i].mark : at.node.mark;
        if (!is_name(names[i])) {
            reader.error(mark, path,
                         "\"" + shown(names[i]) + "\" is no name: a name is " + kNameRule);
        } else if (!seen.insert(names[i]).second) {
            reader.error(mark, path, names[i] + " is here twice: keep one");
        }
    }
    if (names.size() > Most) {
        reader.error(at, "the segment has room for " + std::to_string(Most) + " of these, not " +
                             std::to_string(names.size()));
    }
    return names;
}

template <auto Member, std::size_t Most>
void names_into(Reader& reader, const At& at, Shared& shared) {
    shared.*Member = read_names<Most>(reader, at);
}

void read_socket(Reader& reader, const At& at, Control& control) {
    const std::string* text = reader.scalar(at);
    if (text == nullptr) {
        return;
    }
    const std::string path = reader.absolute(*text);
    if (text->empty() || text->ends_with('/')) {
        reader.error(at, "this names no file: write /run/topsman/NAME.sock");
    } else if (path.size() > kMaxUnixPath) {
        reader.error(at, "the path of a unix socket has at most " + std::to_string(kMaxUnixPath) +
                             " bytes, " + shown(path) + " has " + std::to_string(path.size()));
    } else {
        control.socket = path;
    }
}

constexpr Field<Control> kControl[] = {
    {"socket", "(CLUSTER.sock in the runtime directory)", read_socket},
    {"mode", "0600", value<&Control::mode, parse_mode>},
    {"group", "(the master's group)", value<&Control::group, parse_word>},
};

/// A map of things by name: calls `read(at, name)` for each with a good name.
template <class Read>
void read_named(Reader& reader, const At& at, const char* what, std::size_t most, Read read,
                const char* missing = "keys: indent them below its name") {
    if (at.node.kind != Node::Kind::Map) {
        reader.error(at, std::string("this is a map: write the ") + what +
                             "'s name, then its keys "
                             "indented below it");
        return;
    }
    if (at.node.entries.size() > most) {
        reader.error(at, "at most " + std::to_string(most) + " of these, not " +
                             std::to_string(at.node.entries.size()));
        return;
    }
    for (const Entry& entry : at.node.entries) {
        const std::string path = at.path + "." + shown(entry.key);
        if (!is_name(entry.key)) {
            reader.error(entry.mark, path, "this is no name: a name is " + std::string(kNameRule));
        } else if (entry.value.kind == Node::Kind::Null) {
            reader.error(entry.mark, path, std::string("the ") + what + " has no " + missing);
        } else {
            read(At{entry.value, path, ""}, entry.key);
        }
    }
}

void read_semaphores(Reader& reader, const At& at, Shared& shared) {
    const auto read = [&](const At& one, const std::string& name) {
        Semaphore semaphore{.name = name, .permits = 0};
        const auto parse = [](std::string_view text) -> Result<std::uint32_t> {
            Result<std::uint32_t> permits = parse_count(text);
            if (permits && (*permits == 0 || *permits > kMaxPermits)) {
                return plain_error("permits are from 1 to " + std::to_string(kMaxPermits));
            }
            return permits;
        };
        reader.parse(one, parse, semaphore.permits);
        shared.semaphores.push_back(std::move(semaphore));
    };
    read_named(reader, at, "semaphore", kMaxSemaphores, read, "number of permits: write db: 20");
}

Result<std::uint32_t> parse_burst(std::string_view text) {
    Result<std::uint32_t> burst = parse_count(text);
    if (burst && (*burst == 0 || *burst > kMaxBurst)) {
        return plain_error("a burst is from 1 to " + std::to_string(kMaxBurst));
    }
    return burst;
}

constexpr Field<RateLimit> kRateLimit[] = {
    {"rate", "1000/s", value<&RateLimit::interval_ns, parse_rate>},
    {"burst", "1", value<&RateLimit::burst, parse_burst>},
};

void read_rate_limits(Reader& reader, const At& at, Shared& shared) {
    const auto read = [&](const At& one, const std::string& name) {
        RateLimit limit{.name = name};
        if (read_map(reader, one, fields_of(kRateLimit), limit) &&
            one.node.find("rate") == nullptr) {
            reader.error(one, "the rate limit has no rate: write { rate: 1000/s, burst: 200 }");
        }
        shared.rate_limits.push_back(std::move(limit));
    };
    read_named(reader, at, "rate limit", kMaxRateLimits, read);
}

/// A count within what the segment can hold.
Result<std::uint32_t> parse_within(std::string_view text, const char* what, std::uint32_t most,
                                   const char* write) {
    auto count = parse_count(text);
    if (count && (*count == 0 || *count > most)) {
        return plain_error(std::string(what) + " is from 1 to " + std::to_string(most) +
                           ": write " + write);
    }
    return count;
}

Result<std::uint32_t> parse_capacity(std::string_view text) {
    return parse_within(text, "a queue's capacity", kMaxQueueCapacity, "1024");
}

Result<std::uint32_t> parse_attempts(std::string_view text) {
    return parse_within(text, "max_attempts", kMaxAttempts, "3");
}

Result<std::uint32_t> parse_item_size(std::string_view text) {
    // A bare number is bytes here: nobody thinks of anything else.
    const bool is_number = text.find_first_not_of("0123456789") == std::string_view::npos;
    auto size = parse_size(is_number ? std::string(text) + "B" : std::string(text));
    if (!size) {
        return size.error();
    }
    if (*size <= 0 || *size > kMaxItemBytes) {
        return plain_error("an item has 1 to " + std::to_string(kMaxItemBytes) +
                           " bytes: write 256, and put longer things into a file");
    }
    return static_cast<std::uint32_t>(*size);
}

constexpr Field<Queue> kQueue[] = {
    {"capacity", "1024", value<&Queue::capacity, parse_capacity>},
    {"item_size", "256", value<&Queue::item_size, parse_item_size>},
    {"max_attempts", "3", value<&Queue::max_attempts, parse_attempts>},
};

void read_queues(Reader& reader, const At& at, Shared& shared) {
    read_named(reader, at, "queue", kMaxQueues, [&](const At& one, const std::string& name) {
        Queue queue;
        queue.name = name;
        read_map(reader, one, fields_of(kQueue), queue);
        shared.queues.push_back(std::move(queue));
    });
}

constexpr Field<Shared> kShared[] = {
    {"counters", "[]", names_into<&Shared::counters, kMaxCounters>},
    {"mutexes", "[]", names_into<&Shared::mutexes, kMaxMutexes>},
    {"semaphores", "{}", read_semaphores},
    {"rate_limits", "{}", read_rate_limits},
    {"queues", nullptr, read_queues},
    {"blocks", nullptr, nullptr, "not supported yet: write counters and mutexes only", "{}"},
};

void read_listeners(Reader& reader, const At& at, File& file) {
    read_named(reader, at, "listener", kMaxListeners, [&](const At& one, const std::string& name) {
        Listener listener;
        listener.name = name;
        if (one.node.kind == Node::Kind::Scalar) {
            reader.error(
                one, "a listener is a map: write { address: \"" + shown(one.node.text) + "\" }");
        } else if (read_map(reader, one, fields_of(kListener), listener) &&
                   one.node.find("address") == nullptr) {
            reader.error(one, "the listener has no address: write { address: \"0.0.0.0:8080\" }");
        }
        file.config.listeners.push_back(std::move(listener));
    });
}

void read_pools(Reader& reader, const At& at, File& file) {
    read_named(reader, at, "pool", kMaxPools, [&](const At& one, const std::string& name) {
        Pool pool;
        pool.name = name;
        read_pool(reader, one, pool);
        file.config.pools.push_back(std::move(pool));
    });
    if (at.node.kind == Node::Kind::Map && at.node.entries.empty()) {
        reader.error(at, "there is no pool: write pools: { web: { command: [program] } }");
    }
}

template <auto Member, auto& Fields>
void sub_map(Reader& reader, const At& at, File& file) {
    read_map(reader, at, fields_of(Fields), file.config.*Member);
}

template <auto Member, auto Parse>
void in_config(Reader& reader, const At& at, File& file) {
    reader.parse(at, Parse, file.config.*Member);
}

constexpr Field<File> kFile[] = {
    {"cluster", "(the file's name without its ending)", in_config<&Config::cluster, parse_name>},
    {"user", "(the master's)", value<&File::user, parse_word>},
    {"group", "(the user's own)", value<&File::group, parse_word>},
    {"log", nullptr, sub_map<&Config::log, kLog>},
    {"segment", nullptr, sub_map<&Config::segment, kSegment>},
    {"listeners", nullptr, read_listeners},
    {"pools", nullptr, read_pools},
    {"shared", nullptr, sub_map<&Config::shared, kShared>},
    {"control", nullptr, sub_map<&Config::control, kControl>},
    {"watch", "false", in_config<&Config::watch, parse_bool>},
};

}  // namespace

void read_file_keys(Reader& reader, const Node& root, File& file) {
    if (root.kind != Node::Kind::Map) {
        reader.error(root.mark, "",
                     root.kind == Node::Kind::Null
                         ? "the file is empty: write pools: { web: { command: [program] } }"
                         : "the file is a map: write pools: { web: { command: [program] } }");
        return;
    }
    read_map(reader, At{root, "", ""}, fields_of(kFile), file);
    if (root.find("pools") == nullptr) {
        reader.error(root.mark, "pools",
                     "there is no pool: write pools: { web: { command: [program] } }");
    }
}

std::vector<KnownKey> known_keys() {
    std::vector<KnownKey> keys;
    add_keys(keys, "", fields_of(kFile));
    add_keys(keys, "log.", fields_of(kLog));
    add_keys(keys, "segment.", fields_of(kSegment));
    add_keys(keys, "listeners.NAME.", fields_of(kListener));
    add_pool_keys(keys);
    add_keys(keys, "shared.", fields_of(kShared));
    add_keys(keys, "shared.queues.NAME.", fields_of(kQueue));
    add_keys(keys, "control.", fields_of(kControl));
    return keys;
}

}  // namespace topsman::config
