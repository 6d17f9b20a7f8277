#include "config/schema_file.hpp"

#include "config/address.hpp"
#include "config/limits.hpp"
#include "config/schema_pool.hpp"
#include "config/schema_shared.hpp"
#include "config/units.hpp"

#include <limits>
#include <string_view>

namespace topsman::config {
namespace {

Result<std::string> parse_name(std::string_view text) {
    if (!is_name(text)) {
        return plain_error("\"" + shown(text) + "\" is no name: a name is " + kNameRule);
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

Result<std::uint64_t> parse_reserve(std::string_view text) {
    const auto size = parse_size(text);
    if (!size) {
        return size.error();
    }
    if (static_cast<std::uint64_t>(*size) > kMaxReserve) {
        return plain_error("a reserve has at most 16GiB: write 4MiB");
    }
    return static_cast<std::uint64_t>(*size);
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
    {"reserve", "4MiB", value<&Segment::reserve, parse_reserve>},
};

constexpr Field<Listener> kListener[] = {
    {"address", "(required)", read_address},
    {"backlog", "4096", value<&Listener::backlog, parse_backlog>},
    {"accept", "shared", value<&Listener::accept, parse_accept>},
    {"mode", "(as umask leaves it)", value<&Listener::mode, parse_optional_mode>},
    {"owner", "(the master's user)", value<&Listener::owner, parse_word>},
};

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

void read_shared_keys(Reader& reader, const At& at, File& file) {
    read_shared(reader, at, file.config.shared);
}

constexpr Field<File> kFile[] = {
    {"cluster", "(the file's name without its ending)", in_config<&Config::cluster, parse_name>},
    {"user", "(the master's)", value<&File::user, parse_word>},
    {"group", "(the user's own)", value<&File::group, parse_word>},
    {"log", nullptr, sub_map<&Config::log, kLog>},
    {"segment", nullptr, sub_map<&Config::segment, kSegment>},
    {"listeners", nullptr, read_listeners},
    {"pools", nullptr, read_pools},
    {"shared", nullptr, read_shared_keys},
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
    add_shared_keys(keys);
    add_keys(keys, "control.", fields_of(kControl));
    return keys;
}

}  // namespace topsman::config
