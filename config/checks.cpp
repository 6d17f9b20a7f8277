#include "config/checks.hpp"

#include "config/accounts.hpp"
#include "config/address.hpp"
#include "config/limits.hpp"
#include "config/names.hpp"
#include "config/substitute.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace topsman::config {
namespace {

std::vector<std::string> listener_names(const Config& config) {
    std::vector<std::string> names;
    for (const Listener& listener : config.listeners) {
        names.push_back(listener.name);
    }
    return names;
}

void check_addresses(Reader& reader, const Node& root, const Config& config) {
    std::map<std::string, std::string> first;
    for (const Listener& listener : config.listeners) {
        const std::string path = "listeners." + listener.name;
        auto address = parse_address(listener.address);
        if (!address) {
            continue;  // said when it was read
        }
        const bool is_unix = address->kind == Address::Kind::Unix;
        if (is_unix || address->port != 0) {
            const auto [other, is_new] = first.emplace(address->text(), listener.name);
            if (!is_new) {
                reader.error(mark_of(root, {"listeners", listener.name, "address"}),
                             path + ".address",
                             "listener " + other->second +
                                 " has this address already: pools can "
                                 "share it, so use that one");
            }
        }
        if (!is_unix && listener.mode) {
            reader.error(mark_of(root, {"listeners", listener.name, "mode"}), path + ".mode",
                         "only unix sockets have a mode: remove it");
        }
        if (!is_unix && !listener.owner.empty()) {
            reader.error(mark_of(root, {"listeners", listener.name, "owner"}), path + ".owner",
                         "only unix sockets have an owner: remove it");
        }
        if (is_unix && listener.accept == Accept::ReusePort) {
            reader.error(mark_of(root, {"listeners", listener.name, "accept"}), path + ".accept",
                         "a unix socket has one queue: write accept: shared");
        }
        if (auto wrong = owner_problem(listener.owner)) {
            reader.error(mark_of(root, {"listeners", listener.name, "owner"}), path + ".owner",
                         *wrong);
        }
    }
}

void check_pool_listeners(Reader& reader, const Node& root, const Config& config,
                          const Pool& pool) {
    const std::vector<std::string> known = listener_names(config);
    const Mark mark = mark_of(root, {"pools", pool.name, "listeners"});
    std::set<std::string> seen;
    for (std::size_t i = 0; i < pool.exec.listeners.size(); ++i) {
        const std::string& name = pool.exec.listeners[i];
        const std::string path = "pools." + pool.name + ".listeners[" + std::to_string(i) + "]";
        if (config.find_listener(name) == nullptr) {
            const std::string meant = nearest(name, known);
            std::string known_text = known.empty()
                                         ? "there are none: write listeners: { " + shown(name) +
                                               ": { address: \"0.0.0.0:8080\" } } at the top level"
                                         : "the listeners are " + listed(known);
            reader.error(
                mark, path,
                "no listener is called " + shown(name) + ": " +
                    (meant.empty() ? known_text : "did you mean " + meant + "? " + known_text));
        } else if (!seen.insert(name).second) {
            reader.error(mark, path, "listener " + name + " is here twice: keep one");
        }
    }
}

/// `${LISTENER_FD:name}` must name one of the pool's own listeners.
void check_listener_fds(Reader& reader, const Node& root, const Pool& pool) {
    const std::string_view open = kListenerFd;
    for (std::size_t i = 0; i < pool.exec.command.size(); ++i) {
        const std::string& argument = pool.exec.command[i];
        for (std::size_t at = argument.find(open); at != std::string::npos;
             at = argument.find(open, at + 1)) {
            const std::size_t begin = at + open.size();
            const std::size_t end = argument.find('}', begin);
            const std::string name = argument.substr(begin, end - begin);
            const auto& own = pool.exec.listeners;
            if (end == std::string::npos || std::find(own.begin(), own.end(), name) == own.end()) {
                reader.error(mark_of(root, {"pools", pool.name, "command"}),
                             "pools." + pool.name + ".command[" + std::to_string(i) + "]",
                             "the pool has no listener " + shown(name) +
                                 (own.empty() ? ": write listeners: [" + shown(name) + "]"
                                              : ": its listeners are " + listed(own)));
            }
        }
    }
}

void check_pool(Reader& reader, const Node& root, const Pool& pool) {
    const std::string path = "pools." + pool.name;
    const auto at = [&](std::string_view a, std::string_view b = "") {
        return mark_of(root, {"pools", pool.name, a, b});
    };
    if (pool.rollout.max_surge == 0 && pool.rollout.max_unavailable == 0) {
        reader.error(
            at("rollout"), path + ".rollout",
            "with max_surge: 0 and max_unavailable: 0 nothing can be replaced: write 1 for "
            "one of them");
    }
    if (pool.ready.by == ReadyBy::Listening && pool.exec.listeners.empty()) {
        reader.error(at("ready", "by"), path + ".ready.by",
                     "the pool has no listeners that it could wait on: write listeners: [NAME], or "
                     "by: notify");
    }
    if (pool.ready.by != ReadyBy::Exec && !pool.ready.command.empty()) {
        reader.error(at("ready", "command"), path + ".ready.command",
                     "nobody would run it: write { by: exec, command: [...] }");
    }
    if (pool.backoff.max < pool.backoff.initial) {
        reader.error(at("backoff", "max"), path + ".backoff.max",
                     "max is shorter than initial: write at least the same");
    }
    if (pool.start_limit.burst > 0 && pool.start_limit.interval.count() == 0) {
        reader.error(at("start_limit", "interval"), path + ".start_limit.interval",
                     "a burst needs an interval: write 10s");
    }
    if (auto wrong = user_problem(pool.exec.user)) {
        reader.error(at("user"), path + ".user", *wrong);
    }
    if (auto wrong = group_problem(pool.exec.group)) {
        reader.error(at("group"), path + ".group", *wrong);
    }
}

/// A spare waits beside the queue that its pool's workers share, and takes any seat.
void check_spares(Reader& reader, const Node& root, const Config& config, const Pool& pool) {
    if (pool.spares == 0) {
        return;
    }
    const Mark mark = mark_of(root, {"pools", pool.name, "spares"});
    const std::string path = "pools." + pool.name + ".spares";
    if (pool.exec.listeners.empty()) {
        reader.error(mark, path,
                     "a spare waits for the connections of a worker that died, and the pool has no "
                     "listeners: remove it, or write more workers");
    }
    for (const std::string& name : pool.exec.listeners) {
        const Listener* listener = config.find_listener(name);
        if (listener != nullptr && listener->accept == Accept::ReusePort) {
            reader.error(
                mark, path,
                "with accept: reuse_port a worker has a queue of its own, and a spare none: "
                "write accept: shared for listener " +
                    name + ", or remove spares");
        }
    }
    if (pool.exec.cpu_affinity.by_slot) {
        reader.error(mark, path,
                     "a spare has no slot yet that cpu_affinity: auto could go by: list the CPUs, "
                     "[0-3], or remove spares");
    }
    if (pool.exec.on_master_death == OnMasterDeath::Stop) {
        reader.error(
            mark, path,
            "a frozen spare does not hear that the master has died: write on_master_death: "
            "keep, or remove spares");
    }
}

void check_lanes(Reader& reader, const Node& root, const Config& config) {
    std::uint64_t wanted = 0;
    bool has_spares = false;
    for (const Pool& pool : config.pools) {
        wanted += std::uint64_t{pool.workers} + pool.rollout.max_surge + pool.spares;
        has_spares = has_spares || pool.spares > 0;
    }
    if (wanted * 2 <= config.segment.lanes) {
        return;
    }
    // Where one pool is alone to blame, its own key is the place.
    const bool single = config.pools.size() == 1;
    const std::string path =
        single ? "pools." + config.pools[0].name + ".workers" : "segment.lanes";
    const Mark mark = single ? mark_of(root, {"pools", config.pools[0].name, "workers"})
                             : mark_of(root, {"segment", "lanes"});
    reader.error(
        mark, path,
        std::string(has_spares ? "workers, spares" : "workers") +
            " and max_surge of all pools are " + std::to_string(wanted) + ", at most half of the " +
            std::to_string(config.segment.lanes) + " lanes: " +
            (wanted * 2 <= kMaxLanes
                 ? "write segment: { lanes: " + std::to_string(wanted * 2) + " }, or fewer workers"
                 : "write fewer workers; lanes end at " + std::to_string(kMaxLanes)));
}

/// A channel's messages are for a pool that there is, and each of its slots has an inbox.
void check_channels(Reader& reader, const Node& root, const Config& config) {
    std::vector<std::string> pools;
    for (const Pool& pool : config.pools) {
        pools.push_back(pool.name);
    }
    for (const Channel& channel : config.shared.channels) {
        const std::string path = "shared.channels." + channel.name;
        const Pool* pool = config.find_pool(channel.to);
        if (!channel.to.empty() && pool == nullptr) {
            const std::string meant = nearest(channel.to, pools);
            reader.error(mark_of(root, {"shared", "channels", channel.name, "to"}), path + ".to",
                         "no pool is called " + shown(channel.to) + ": " +
                             (meant.empty() ? "" : "did you mean " + meant + "? ") +
                             "the pools are " + listed(pools));
        } else if (pool != nullptr && pool->workers > channel.slots) {
            reader.error(mark_of(root, {"shared", "channels", channel.name, "slots"}),
                         path + ".slots",
                         "pool " + pool->name + " has " + std::to_string(pool->workers) +
                             " workers, and only " + std::to_string(channel.slots) +
                             " of them an inbox: write slots: " + std::to_string(pool->workers));
        }
    }
}

}  // namespace

void check_config(Reader& reader, const Node& root, const Config& config) {
    check_addresses(reader, root, config);
    for (const Pool& pool : config.pools) {
        check_pool_listeners(reader, root, config, pool);
        check_listener_fds(reader, root, pool);
        check_pool(reader, root, pool);
        check_spares(reader, root, config, pool);
    }
    check_lanes(reader, root, config);
    check_channels(reader, root, config);
    if (auto wrong = group_problem(config.control.group)) {
        reader.error(mark_of(root, {"control", "group"}), "control.group", *wrong);
    }
}

}  // namespace topsman::config
