#include "config/diff.hpp"

#include "config/names.hpp"
#include "shm/base/size_text.hpp"

#include <algorithm>
#include <utility>

namespace topsman::config {
namespace {

using Keys = std::vector<std::string>;

template <class T>
void note(Keys& keys, const char* key, const T& before, const T& after) {
    if (!(before == after)) {
        keys.emplace_back(key);
    }
}

Keys exec_changes(const Exec& a, const Exec& b) {
    Keys keys;
    note(keys, "command", a.command, b.command);
    if (a.listeners != b.listeners || a.sockets != b.sockets) {
        keys.emplace_back("listeners");
    }
    note(keys, "segment", a.segment, b.segment);
    note(keys, "environment", a.environment, b.environment);
    note(keys, "env_file", a.env_file, b.env_file);
    note(keys, "working_directory", a.working_directory, b.working_directory);
    note(keys, "umask", a.umask, b.umask);
    note(keys, "user", a.user, b.user);
    note(keys, "group", a.group, b.group);
    note(keys, "limits", a.limits, b.limits);
    note(keys, "nice", a.nice, b.nice);
    note(keys, "cpu_affinity", a.cpu_affinity, b.cpu_affinity);
    note(keys, "output.to", a.output, b.output);
    note(keys, "on_master_death", a.on_master_death, b.on_master_death);
    return keys;
}

Keys policy_changes(const Pool& a, const Pool& b) {
    Keys keys;
    // What is assumed of a pool that gets its first listener, or loses its last, nobody has
    // changed.
    const bool follows = a.exec.listeners.empty() != b.exec.listeners.empty() &&
                         (a.ready.assumed || b.ready.assumed);
    if (!follows) {
        note(keys, "ready.by", std::pair(a.ready.by, a.ready.assumed),
             std::pair(b.ready.by, b.ready.assumed));
    }
    note(keys, "ready.timeout", a.ready.timeout, b.ready.timeout);
    note(keys, "ready.min_uptime", a.ready.min_uptime, b.ready.min_uptime);
    note(keys, "ready.command", a.ready.command, b.ready.command);
    note(keys, "ready.interval", a.ready.interval, b.ready.interval);
    note(keys, "ready.run_timeout", a.ready.run_timeout, b.ready.run_timeout);
    note(keys, "watchdog.timeout", a.watchdog.timeout, b.watchdog.timeout);
    note(keys, "watchdog.signal", a.watchdog.signal, b.watchdog.signal);
    note(keys, "watchdog.kill_after", a.watchdog.kill_after, b.watchdog.kill_after);
    note(keys, "restart", a.restart, b.restart);
    note(keys, "backoff.initial", a.backoff.initial, b.backoff.initial);
    note(keys, "backoff.factor", a.backoff.factor, b.backoff.factor);
    note(keys, "backoff.max", a.backoff.max, b.backoff.max);
    note(keys, "backoff.jitter", a.backoff.jitter, b.backoff.jitter);
    note(keys, "backoff.reset_after", a.backoff.reset_after, b.backoff.reset_after);
    note(keys, "start_limit.burst", a.start_limit.burst, b.start_limit.burst);
    note(keys, "start_limit.interval", a.start_limit.interval, b.start_limit.interval);
    note(keys, "start_limit.action", a.start_limit.action, b.start_limit.action);
    note(keys, "stop_signal", a.stop_signal, b.stop_signal);
    note(keys, "stop_timeout", a.stop_timeout, b.stop_timeout);
    note(keys, "rollout.max_surge", a.rollout.max_surge, b.rollout.max_surge);
    note(keys, "rollout.max_unavailable", a.rollout.max_unavailable, b.rollout.max_unavailable);
    note(keys, "rollout.observe", a.rollout.observe, b.rollout.observe);
    note(keys, "rollout.delay", a.rollout.delay, b.rollout.delay);
    note(keys, "rollout.on_failure", a.rollout.on_failure, b.rollout.on_failure);
    note(keys, "spares", a.spares, b.spares);
    note(keys, "spare_lifetime", a.spare_lifetime, b.spare_lifetime);
    note(keys, "max_old_generations", a.max_old_generations, b.max_old_generations);
    note(keys, "recycle.lifetime", a.recycle.lifetime, b.recycle.lifetime);
    note(keys, "recycle.requests", a.recycle.requests, b.recycle.requests);
    note(keys, "recycle.memory", a.recycle.memory, b.recycle.memory);
    note(keys, "recycle.jitter", a.recycle.jitter, b.recycle.jitter);
    return keys;
}

PoolChange compare(const Pool& before, const Pool& after) {
    PoolChange change;
    change.pool = after.name;
    change.workers_before = before.workers;
    change.workers_after = after.workers;
    const Keys exec = exec_changes(before.exec, after.exec);
    const Keys policy = policy_changes(before, after);
    change.exec = !exec.empty();
    change.policy = !policy.empty();
    if (before.workers != after.workers) {
        change.keys.emplace_back("workers");
    }
    change.keys.insert(change.keys.end(), exec.begin(), exec.end());
    change.keys.insert(change.keys.end(), policy.begin(), policy.end());
    return change;
}

/// Its keys that a socket takes while it is in use.
Keys settings_of(const Listener& before, const Listener& after) {
    Keys keys;
    note(keys, "backlog", before.backlog, after.backlog);
    note(keys, "mode", before.mode, after.mode);
    note(keys, "owner", before.owner, after.owner);
    return keys;
}

/// One line for each change. Their order means nothing: workers find them by name.
Keys listener_changes(const Config& before, const Config& after) {
    Keys lines;
    for (const Listener& listener : after.listeners) {
        const std::string what = "listener " + listener.name + ": ";
        const Listener* old = before.find_listener(listener.name);
        if (old == nullptr) {
            lines.push_back(what + "added, " + listener.address);
            continue;
        }
        if (old->address != listener.address) {
            lines.push_back(what + old->address + " -> " + listener.address);
        }
        if (const Keys keys = settings_of(*old, listener); !keys.empty()) {
            lines.push_back(what + listed(keys) + " changed: applies at once");
        }
    }
    for (const Listener& listener : before.listeners) {
        if (after.find_listener(listener.name) == nullptr) {
            lines.push_back("listener " + listener.name + ": removed, " + listener.address);
        }
    }
    return lines;
}

void refuse(std::vector<std::string>& refused, const std::string& what) {
    refused.push_back(what +
                      ": a reload cannot change this; undo it, or stop topsman and run it "
                      "again");
}

const std::string& name_of(const std::string& name) {
    return name;
}

template <class Named>
const std::string& name_of(const Named& named) {
    return named.name;
}

std::string name_of(const Blocks& blocks) {
    return size_text(blocks.size);
}

template <class T>
const T* find_named(const std::vector<T>& all, const std::string& name) {
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const T& one) { return name_of(one) == name; });
    return found == all.end() ? nullptr : &*found;
}

/// The names of those that are in both and differ.
template <class T>
Keys other_shapes(const std::vector<T>& before, const std::vector<T>& after) {
    Keys names;
    for (const T& one : after) {
        const T* old = find_named(before, name_of(one));
        if (old != nullptr && !(*old == one)) {
            names.push_back(name_of(one));
        }
    }
    return names;
}

template <class T>
void refuse_other_shapes(std::vector<std::string>& refused, const std::string& key,
                         const std::vector<T>& before, const std::vector<T>& after) {
    if (const Keys names = other_shapes(before, after); !names.empty()) {
        refuse(refused, key + ": " + listed(names));
    }
}

/// What became of the objects of one kind. Their order means nothing: they are found by name.
template <class T>
void note_shared(std::vector<std::string>& lines, const std::string& key,
                 const std::vector<T>& before, const std::vector<T>& after,
                 bool may_change = true) {
    Keys added;
    Keys removed;
    for (const T& one : after) {
        if (find_named(before, name_of(one)) == nullptr) {
            added.push_back(name_of(one));
        }
    }
    const Keys changed = may_change ? other_shapes(before, after) : Keys();
    for (const T& one : before) {
        if (find_named(after, name_of(one)) == nullptr) {
            removed.push_back(name_of(one));
        }
    }
    if (!added.empty()) {
        lines.push_back(key + ": " + listed(added) + " added, for all workers at once");
    }
    if (!changed.empty()) {
        lines.push_back(key + ": " + listed(changed) + " changed, for all workers at once");
    }
    if (!removed.empty()) {
        lines.push_back(key + ": " + listed(removed) +
                        " not named any more, but there until topsman is stopped");
    }
}

std::vector<std::string> shared_changes(const Shared& before, const Shared& after) {
    std::vector<std::string> lines;
    note_shared(lines, "shared.counters", before.counters, after.counters);
    note_shared(lines, "shared.mutexes", before.mutexes, after.mutexes);
    note_shared(lines, "shared.histograms", before.histograms, after.histograms);
    note_shared(lines, "shared.semaphores", before.semaphores, after.semaphores);
    note_shared(lines, "shared.rate_limits", before.rate_limits, after.rate_limits);
    note_shared(lines, "shared.queues", before.queues, after.queues, false);
    note_shared(lines, "shared.channels", before.channels, after.channels, false);
    note_shared(lines, "shared.blocks", before.blocks, after.blocks, false);
    return lines;
}

std::vector<std::string> refused_changes(const Config& before, const Config& after) {
    std::vector<std::string> refused;
    if (before.cluster != after.cluster) {
        refuse(refused, "cluster: " + before.cluster + " -> " + after.cluster);
    }
    // Two kinds of sockets at one address would take connections from each other.
    for (const Listener& listener : after.listeners) {
        for (const Listener& old : before.listeners) {
            const bool same_place = old.address == listener.address &&
                                    (old.name == listener.name || !old.address.ends_with(":0"));
            if (same_place && old.accept != listener.accept) {
                refuse(refused, "listeners." + listener.name + ".accept");
            }
        }
    }
    if (before.segment.reserve != after.segment.reserve) {
        refuse(refused, "segment.reserve: " + size_text(before.segment.reserve) + " -> " +
                            size_text(after.segment.reserve));
    }
    if (before.segment.lanes != after.segment.lanes) {
        refuse(refused, "segment.lanes: " + std::to_string(before.segment.lanes) + " -> " +
                            std::to_string(after.segment.lanes));
    }
    refuse_other_shapes(refused, "shared.queues", before.shared.queues, after.shared.queues);
    refuse_other_shapes(refused, "shared.channels", before.shared.channels, after.shared.channels);
    refuse_other_shapes(refused, "shared.blocks", before.shared.blocks, after.shared.blocks);
    if (before.control.socket != after.control.socket) {
        refuse(refused, "control.socket");
    }
    if (before.control.mode != after.control.mode) {
        refuse(refused, "control.mode");
    }
    if (before.control.group != after.control.group) {
        refuse(refused, "control.group");
    }
    return refused;
}

std::string workers(std::uint32_t count) {
    return std::to_string(count) + (count == 1 ? " worker" : " workers");
}

}  // namespace

Diff diff(const Config& before, const Config& after) {
    Diff result;
    for (const Pool& pool : after.pools) {
        if (const Pool* old = before.find_pool(pool.name)) {
            PoolChange change = compare(*old, pool);
            if (!change.keys.empty()) {
                result.pools.push_back(std::move(change));
            }
            continue;
        }
        PoolChange added;
        added.pool = pool.name;
        added.added = true;
        added.workers_after = pool.workers;
        result.pools.push_back(std::move(added));
    }
    for (const Pool& pool : before.pools) {
        if (after.find_pool(pool.name) == nullptr) {
            PoolChange removed;
            removed.pool = pool.name;
            removed.removed = true;
            removed.workers_before = pool.workers;
            result.pools.push_back(std::move(removed));
        }
    }
    result.listeners = listener_changes(before, after);
    result.refused = refused_changes(before, after);
    result.shared = shared_changes(before.shared, after.shared);
    note(result.other, "log.level", before.log.level, after.log.level);
    note(result.other, "log.format", before.log.format, after.log.format);
    note(result.other, "watch", before.watch, after.watch);
    return result;
}

std::vector<std::string> Diff::lines() const {
    std::vector<std::string> lines = refused;
    lines.insert(lines.end(), listeners.begin(), listeners.end());
    for (const PoolChange& change : pools) {
        if (change.added || change.removed) {
            lines.push_back(change.pool + (change.added
                                               ? ": added, " + workers(change.workers_after)
                                               : ": removed, " + workers(change.workers_before)));
            continue;
        }
        if (change.workers_before != change.workers_after) {
            lines.push_back(change.pool + ": workers " + std::to_string(change.workers_before) +
                            " -> " + std::to_string(change.workers_after));
        }
        Keys keys = change.keys;
        std::erase(keys, "workers");
        if (!keys.empty()) {
            lines.push_back(change.pool + ": " + listed(keys) +
                            (change.exec ? " changed: workers are replaced one by one"
                                         : " changed: applies at once"));
        }
    }
    lines.insert(lines.end(), shared.begin(), shared.end());
    for (const std::string& key : other) {
        lines.push_back(key + " changed: applies at once");
    }
    return lines;
}

}  // namespace topsman::config
