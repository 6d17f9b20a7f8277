#include "config/diff.hpp"

#include "config/schema.hpp"
#include "loading.hpp"

#include <gmock/gmock.h>

#include <map>

namespace topsman::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

Config config_of(const std::string& text) {
    const Loaded loaded = load(text);
    EXPECT_THAT(texts(loaded.errors), IsEmpty());
    return loaded.config.value();
}

Diff between(const std::string& before, const std::string& after) {
    return diff(config_of(before), config_of(after));
}

constexpr const char* kBase = "listeners: { a: { address: '[::]:0' }, b: { address: '[::]:0' } }\n";

TEST(Diff, OfEqualFilesIsEmpty) {
    const Diff none = between(pool("workers: 3"), "# comment\n" + pool("workers: auto"));
    EXPECT_TRUE(none.empty());
    EXPECT_THAT(none.lines(), IsEmpty());
}

TEST(Diff, WorkersAreScaledAndNotReplaced) {
    const Diff scaled = between(pool("workers: 4"), pool("workers: 8"));
    ASSERT_EQ(scaled.pools.size(), 1U);
    EXPECT_FALSE(scaled.pools[0].exec);
    EXPECT_FALSE(scaled.pools[0].policy);
    EXPECT_EQ(scaled.pools[0].workers_before, 4U);
    EXPECT_EQ(scaled.pools[0].workers_after, 8U);
    EXPECT_THAT(scaled.lines(), ElementsAre("web: workers 4 -> 8"));
}

TEST(Diff, PoolsComeAndGo) {
    const Diff changed = between("pools: { a: { command: [x] }, b: { command: [x] } }",
                                 "pools: { b: { command: [x] }, c: { command: [x], workers: 2 } }");
    ASSERT_EQ(changed.pools.size(), 2U);
    EXPECT_TRUE(changed.pools[0].added);
    EXPECT_TRUE(changed.pools[1].removed);
    EXPECT_THAT(changed.lines(), ElementsAre("c: added, 2 workers", "a: removed, 1 worker"));
}

/// For each key of a pool another value than its default. A new key must be added here, or fails.
const std::map<std::string, std::string> kOtherValues = {
    {"command", "[sleep, '5']"},
    {"workers", "2"},
    {"listeners", "[a]"},
    {"segment", "none"},
    {"environment", "{ A: b }"},
    {"env_file", "x.env"},
    {"working_directory", "/"},
    {"umask", "'0077'"},
    {"user", "root"},
    {"group", "root"},
    {"limits", "{ core: 0 }"},
    {"nice", "'-5'"},
    {"cpu_affinity", "[0]"},
    {"output.to", "prefix"},
    {"ready.by", "notify"},
    {"ready.timeout", "5s"},
    {"ready.min_uptime", "5s"},
    {"ready.command", "[x], by: exec"},
    {"ready.interval", "5s"},
    {"ready.run_timeout", "6s"},
    {"watchdog.timeout", "6s"},
    {"watchdog.signal", "SIGQUIT"},
    {"watchdog.kill_after", "6s"},
    {"restart", "no"},
    {"backoff.initial", "1s"},
    {"backoff.factor", "3"},
    {"backoff.max", "1m"},
    {"backoff.jitter", "0"},
    {"backoff.reset_after", "2m"},
    {"start_limit.burst", "5"},
    {"start_limit.interval", "5s"},
    {"start_limit.action", "exit"},
    {"stop_signal", "SIGINT"},
    {"stop_timeout", "5s"},
    {"on_master_death", "stop"},
    {"rollout.max_surge", "2"},
    {"rollout.max_unavailable", "1"},
    {"rollout.observe", "5s"},
    {"rollout.delay", "2s"},
    {"rollout.on_failure", "pause"},
    {"spares", "2"},
    {"spare_lifetime", "1h"},
    {"max_old_generations", "2"},
    {"recycle.lifetime", "1h"},
    {"recycle.requests", "1000"},
    {"recycle.memory", "1GiB"},
    {"recycle.jitter", "0"},
};

const std::vector<std::string> kExecKeys = {
    "command",           "listeners", "segment",      "environment",    "env_file",
    "working_directory", "umask",     "user",         "group",          "limits",
    "output.to",         "nice",      "cpu_affinity", "on_master_death"};

TEST(Diff, EveryKeyOfAPoolIsCompared) {
    const std::string prefix = "pools.NAME.";
    for (const KnownKey& known : known_keys()) {
        if (!known.path.starts_with(prefix) || !known.refused.empty()) {
            continue;
        }
        const std::string key = known.path.substr(prefix.size());
        ASSERT_TRUE(kOtherValues.contains(key)) << key;
        const std::size_t dot = key.find('.');
        const std::string& value = kOtherValues.at(key);
        const std::string text =
            dot == std::string::npos
                ? key + ": " + value
                : key.substr(0, dot) + ": { " + key.substr(dot + 1) + ": " + value + " }";
        // Spares wait beside a listener.
        const std::string web =
            std::string(kBase) + "pools: { web: { " + (key == "spares" ? "listeners: [a], " : "");
        const std::string before = web + "command: [sleep] } }\n";
        const std::string after =
            web + (key == "command" ? "" : "command: [sleep], ") + text + " } }\n";
        const Diff changed = between(before, after);
        ASSERT_EQ(changed.pools.size(), 1U) << key;
        EXPECT_THAT(changed.pools[0].keys, testing::Contains(key));
        EXPECT_EQ(changed.pools[0].keys.size(), key == "ready.command" ? 2U : 1U) << key;
        const bool is_exec = std::count(kExecKeys.begin(), kExecKeys.end(), key) == 1;
        EXPECT_EQ(changed.pools[0].exec, is_exec) << key;
        EXPECT_EQ(changed.pools[0].policy, !is_exec && key != "workers") << key;
    }
}

TEST(Diff, SaysHowAChangeApplies) {
    EXPECT_THAT(
        between(pool("stop_timeout: 1s"), pool("stop_timeout: 2s\n    restart: no")).lines(),
        ElementsAre("web: restart and stop_timeout changed: applies at once"));
    EXPECT_THAT(between(pool("umask: '022'"), pool("umask: '027'")).lines(),
                ElementsAre("web: umask changed: workers are replaced one by one"));
}

TEST(Diff, TellsWhatBecomesOfListeners) {
    const auto lines = [](const std::string& before, const std::string& after) {
        const std::string web = "\n" + pool("listeners: [a]");
        return between("listeners: " + before + web, "listeners: " + after + web).lines();
    };
    EXPECT_THAT(lines("{ a: { address: '[::]:0' }, b: { address: '[::]:1' } }",
                      "{ a: { address: '[::]:0' }, c: { address: '[::]:2' } }"),
                ElementsAre("listener c: added, [::]:2", "listener b: removed, [::]:1"));
    EXPECT_THAT(lines("{ a: { address: '[::]:1' } }", "{ a: { address: '[::]:2' } }"),
                ElementsAre("listener a: [::]:1 -> [::]:2",
                            "web: listeners changed: workers are replaced one by one"));
    EXPECT_THAT(lines("{ a: { address: 'unix:/a', mode: '0600' } }",
                      "{ a: { address: 'unix:/a', backlog: 7 } }"),
                ElementsAre("listener a: backlog and mode changed: applies at once"));
    EXPECT_THAT(lines("{ a: { address: '[::]:1' }, b: { address: '[::]:2' } }",
                      "{ b: { address: '[::]:2' }, a: { address: '[::]:1' } }"),
                ElementsAre());
}

TEST(Diff, RefusesWhatIsMadeOnce) {
    const std::string web = pool("workers: 1");
    const auto refused = [&](const std::string& before, const std::string& after) {
        const Diff changed = between(before + "\n" + web, after + "\n" + web);
        EXPECT_EQ(changed.lines(), changed.refused);
        return changed.refused;
    };
    EXPECT_THAT(
        refused("cluster: a", "cluster: b"),
        ElementsAre("cluster: a -> b: a reload cannot change this; undo it, or stop topsman "
                    "and run it again"));
    EXPECT_THAT(refused("listeners: { a: { address: '[::]:1' } }",
                        "listeners: { a: { address: '[::]:1', accept: reuse_port } }"),
                ElementsAre(StartsWith("listeners.a.accept: ")));
    EXPECT_THAT(refused("listeners: { a: { address: '[::]:0' } }",
                        "listeners: { a: { address: '[::]:0', accept: reuse_port } }"),
                ElementsAre(StartsWith("listeners.a.accept: ")));
    EXPECT_THAT(refused("segment: { lanes: 100 }", "segment: { lanes: 200 }"),
                ElementsAre(StartsWith("segment.lanes: 100 -> 200: ")));
    EXPECT_THAT(refused("segment: { reserve: 1MiB }", "segment: { reserve: 2MiB }"),
                ElementsAre(StartsWith("segment.reserve: ")));
    EXPECT_THAT(
        refused("shared: { queues: { a: {} } }", "shared: { queues: { a: { capacity: 5 } } }"),
        ElementsAre(StartsWith("shared.queues: a: ")));
    EXPECT_THAT(refused("shared: { channels: { a: { to: web } } }",
                        "shared: { channels: { a: { to: web, slots: 2 } } }"),
                ElementsAre(StartsWith("shared.channels: a: ")));
    EXPECT_THAT(refused("shared: { blocks: { 1KiB: 1 } }", "shared: { blocks: { 1KiB: 2 } }"),
                ElementsAre(StartsWith("shared.blocks: 1KiB: ")));
    EXPECT_THAT(refused("", "control: { socket: /tmp/x }"),
                ElementsAre(StartsWith("control.socket: ")));
    EXPECT_THAT(refused("", "control: { mode: '0660', group: root }"),
                ElementsAre(StartsWith("control.mode: "), StartsWith("control.group: ")));
}

TEST(Diff, WhatIsSharedByNameMayComeAndChangeAndGo) {
    const std::string web = pool("workers: 1");
    const auto lines = [&](const std::string& before, const std::string& after) {
        const Diff changed =
            between("shared: " + before + "\n" + web, "shared: " + after + "\n" + web);
        EXPECT_EQ(changed.lines(), changed.shared);
        return changed.shared;
    };
    EXPECT_THAT(lines("{ counters: [a] }", "{ counters: [c, a, b] }"),
                ElementsAre("shared.counters: c and b added, for all workers at once"));
    EXPECT_THAT(lines("{ mutexes: [a] }", "{}"),
                ElementsAre("shared.mutexes: a not named any more, but there until topsman is "
                            "stopped"));
    EXPECT_THAT(lines("{ semaphores: { a: 1 } }", "{ semaphores: { a: 2, b: 1 } }"),
                ElementsAre("shared.semaphores: b added, for all workers at once",
                            "shared.semaphores: a changed, for all workers at once"));
    EXPECT_THAT(
        lines("{ rate_limits: { a: { rate: 1/s } } }", "{ rate_limits: { a: { rate: 1/m } } }"),
        ElementsAre("shared.rate_limits: a changed, for all workers at once"));
    EXPECT_THAT(lines("{ queues: { a: {} }, histograms: [x] }",
                      "{ queues: { a: {}, b: {} }, histograms: [y] }"),
                ElementsAre("shared.histograms: y added, for all workers at once",
                            "shared.histograms: x not named any more, but there until topsman is "
                            "stopped",
                            "shared.queues: b added, for all workers at once"));
    EXPECT_THAT(lines("{ counters: [a, b] }", "{ counters: [b, a] }"), ElementsAre());
}

TEST(Diff, TheRestAppliesAtOnce) {
    const std::string web = pool("workers: 1");
    const Diff changed = between(web, "log: { level: debug, format: json }\nwatch: true\n" + web);
    EXPECT_THAT(changed.other, ElementsAre("log.level", "log.format", "watch"));
    EXPECT_THAT(changed.lines(), testing::Contains("log.level changed: applies at once"));
    EXPECT_FALSE(changed.empty());
}

}  // namespace
}  // namespace topsman::config
