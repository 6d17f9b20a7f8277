// What an operator reads for each mistake: the place, the key, and what to write instead.

#include "loading.hpp"

#include <gmock/gmock.h>

namespace topsman::config {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

struct Mistake {
    const char* key;       ///< a line of the pool `web`, whose fourth line it is
    const char* expected;  ///< how the only problem starts
};

class PoolMistakes : public testing::TestWithParam<Mistake> {};

TEST_P(PoolMistakes, HaveOneSentenceEach) {
    EXPECT_THAT(texts(load(pool(GetParam().key)).errors),
                ElementsAre(StartsWith(GetParam().expected)));
}

INSTANTIATE_TEST_SUITE_P(
    All, PoolMistakes,
    testing::Values(
        Mistake{"comand: x", "4:5: pools.web.comand: unknown key: did you mean command?"},
        Mistake{"env: {}", "4:5: pools.web.env: unknown key: did you mean environment?"},
        Mistake{"instances: 2", "4:5: pools.web.instances: unknown key: did you mean workers?"},
        Mistake{"xyzzy: 2",
                "4:5: pools.web.xyzzy: unknown key: the keys here are command, workers"},
        Mistake{"workers: 0", "4:14: pools.web.workers: a pool has at least one worker"},
        Mistake{"workers: many",
                "4:14: pools.web.workers: \"many\" is no number of workers: write a "
                "whole number from 1, or auto"},
        Mistake{"workers: -1", "4:14: pools.web.workers: \"-1\" is no number of workers"},
        Mistake{"workers: [4]", "4:14: pools.web.workers: a list where one value belongs: write 1"},
        Mistake{"workers:", "4:5: pools.web.workers: this key has no value: write 1, or remove"},
        Mistake{"workers: 128",
                "4:14: pools.web.workers: workers and max_surge of all pools are 129, "
                "at most half of the 256 lanes: write segment: { lanes: 258 }"},
        Mistake{"workers: 600",
                "4:14: pools.web.workers: workers and max_surge of all pools are 601, "
                "at most half of the 256 lanes: write fewer workers"},
        Mistake{"spares: 1",
                "4:13: pools.web.spares: a spare waits for the connections of a worker that died, "
                "and the pool has no listeners: remove it, or write more workers"},
        Mistake{"spares: few", "4:13: pools.web.spares: \"few\" is no "},
        Mistake{"spare_lifetime: 5", "4:21: pools.web.spare_lifetime: \"5\" has no unit"},
        Mistake{"nice: 20",
                "4:11: pools.web.nice: \"20\" is no nice value: write a whole number from -20"},
        Mistake{"nice: -21", "4:11: pools.web.nice: \"-21\" is no nice value"},
        Mistake{"nice: high", "4:11: pools.web.nice: \"high\" is no nice value"},
        Mistake{"cpu_affinity: 0-3", "4:19: pools.web.cpu_affinity: this is a list: write [0-3]"},
        Mistake{"cpu_affinity: []", "4:19: pools.web.cpu_affinity: no CPU at all: write [0-3]"},
        Mistake{"cpu_affinity: [all]",
                "4:19: pools.web.cpu_affinity: \"all\" is no CPU: write a number like 3"},
        Mistake{"cpu_affinity: [0x3]", "4:19: pools.web.cpu_affinity: \"0x3\" is no CPU"},
        Mistake{"cpu_affinity: [-1]", "4:19: pools.web.cpu_affinity: \"-1\" is no CPU"},
        Mistake{"cpu_affinity: [3-1]",
                "4:19: pools.web.cpu_affinity: the range 3-1 ends before it begins: write 1-3"},
        Mistake{"cpu_affinity: [0-4294967295]",
                "4:19: pools.web.cpu_affinity: CPU 4294967295 cannot be: they end at 8191"},
        Mistake{"recycle: { memory: 512 }", "4:24: pools.web.recycle.memory: \"512\" has no unit"},
        Mistake{"recycle: { requests: many }",
                "4:26: pools.web.recycle.requests: \"many\" is no whole number"},
        Mistake{"ready: { by: listening }",
                "4:18: pools.web.ready.by: the pool has no listeners that it could wait on"},
        Mistake{"restart: sometimes",
                "4:14: pools.web.restart: \"sometimes\" is none of always, "
                "on-failure, on-abnormal and no"},
        Mistake{"restart: on_failure",
                "4:14: pools.web.restart: \"on_failure\" is none of always, "
                "on-failure, on-abnormal and no: did you mean on-failure?"},
        Mistake{"stop_timeout: 30", "4:19: pools.web.stop_timeout: \"30\" has no unit: write 30s"},
        Mistake{"stop_signal: SIGTREM",
                "4:18: pools.web.stop_signal: \"SIGTREM\" is no signal: did "
                "you mean SIGTERM?"},
        Mistake{"stop_signal: SIGSTOP", "4:18: pools.web.stop_signal: SIGSTOP stops no program"},
        Mistake{"listeners: [http]",
                "4:16: pools.web.listeners[0]: no listener is called http: "
                "there are none"},
        Mistake{"listeners: http", "4:16: pools.web.listeners: this is a list: write [http]"},
        Mistake{"ready: notify", "4:12: pools.web.ready: this is a map: write { by: ... }"},
        Mistake{"ready: { by: exec }",
                "4:18: pools.web.ready.by: a probe needs a command: write { by: exec, command: "},
        Mistake{"ready: { command: [x] }",
                "4:23: pools.web.ready.command: nobody would run it: write { by: exec, command: "},
        Mistake{"ready: { by: exec, command: curl -f x }",
                "4:33: pools.web.ready.command: a command is a list, no shell splits it: write "
                "[curl, -f, x]"},
        Mistake{"ready: { exec: [x] }", "4:14: pools.web.ready.exec: write { by: exec, command: "},
        Mistake{"ready: { run_timeout: 0s }",
                "4:27: pools.web.ready.run_timeout: 0s leaves a probe no time at all"},
        Mistake{"max_old_generations: few",
                "4:26: pools.web.max_old_generations: \"few\" is no whole number"},
        Mistake{"ready: { by: maybe }",
                "4:18: pools.web.ready.by: \"maybe\" is none of none, "
                "notify, listening and exec"},
        Mistake{"backoff: { factor: 0.5 }", "4:24: pools.web.backoff.factor: a factor is from 1"},
        Mistake{"backoff: { jitter: 2 }", "4:24: pools.web.backoff.jitter: this is from 0 to 1"},
        Mistake{"backoff: { max: 1ms }",
                "4:21: pools.web.backoff.max: max is shorter than initial"},
        Mistake{"start_limit: { burst: 3, interval: 0s }",
                "4:40: pools.web.start_limit.interval: a burst needs an interval"},
        Mistake{"rollout: { max_surge: 0 }",
                "4:14: pools.web.rollout: with max_surge: 0 and "
                "max_unavailable: 0 nothing can be replaced"},
        Mistake{"rollout: { on_failure: stop }",
                "4:28: pools.web.rollout.on_failure: \"stop\" is none of rollback and pause"},
        Mistake{"rollout: { observe: 1 }", "4:25: pools.web.rollout.observe: "},
        Mistake{"environment: [A]",
                "4:18: pools.web.environment: this is a map: write { NAME: value }"},
        Mistake{"environment: { 1A: x }", "4:20: pools.web.environment.1A: a variable's name has"},
        Mistake{"environment: { LISTEN_FDS: 1 }",
                "4:20: pools.web.environment.LISTEN_FDS: topsman "
                "sets this variable itself"},
        Mistake{"environment: { A: }", "4:20: pools.web.environment.A: no value: write \"\""},
        Mistake{"umask: 27",
                "4:12: pools.web.umask: \"27\" is no umask: write it in octal with a "
                "leading zero, like \"0022\""},
        Mistake{"user: nosuchuser", "4:11: pools.web.user: there is no user nosuchuser on this"},
        Mistake{"group: nosuchgroup",
                "4:12: pools.web.group: there is no group nosuchgroup on this"},
        Mistake{"env_file: \"\"", "4:15: pools.web.env_file: an empty path"},
        Mistake{"limits: { files: 1 }",
                "4:15: pools.web.limits.files: unknown limit: the limits are"},
        Mistake{"limits: { nofiles: 1 }",
                "4:15: pools.web.limits.nofiles: unknown limit: did you "
                "mean nofile?"},
        Mistake{"limits: { memory: 1000 }", "4:23: pools.web.limits.memory: \"1000\" has no unit"},
        Mistake{"limits: 5", "4:13: pools.web.limits: this is a map: write { nofile: 65536 }"},
        Mistake{"segment: some", "4:14: pools.web.segment: \"some\" is none of inherit and none"}));

INSTANTIATE_TEST_SUITE_P(
    NotYet, PoolMistakes,
    testing::Values(
        Mistake{"workers: { min: 1, max: 2 }", "4:14: pools.web.workers: not supported yet: "},
        Mistake{"ready: { by: http }", "4:18: pools.web.ready.by: not supported yet: "},
        Mistake{"output: { to: file }",
                "4:19: pools.web.output.to: not supported yet: write `to: "
                "prefix`"},
        Mistake{"output: { file: x.log }", "4:15: pools.web.output.file: not supported yet: "}));

class FileMistakes : public testing::TestWithParam<Mistake> {};

TEST_P(FileMistakes, HaveOneSentenceEach) {
    const std::string text =
        std::string(GetParam().key) + "\npools: { web: { command: [sleep] } }\n";
    EXPECT_THAT(texts(load(text).errors), ElementsAre(StartsWith(GetParam().expected)));
}

INSTANTIATE_TEST_SUITE_P(
    All, FileMistakes,
    testing::Values(
        Mistake{"watch: yes", "1:8: watch: \"yes\" is not accepted here: write true"},
        Mistake{"cluster: my shop", "1:10: cluster: \"my shop\" is no name: a name is a letter"},
        Mistake{"log: { level: loud }",
                "1:15: log.level: \"loud\" is none of debug, info, warning"},
        Mistake{"segment: { reserve: 17GiB }",
                "1:21: segment.reserve: a reserve has at most 16GiB"},
        Mistake{"segment: { reserve: lots }", "1:21: segment.reserve: "},
        Mistake{"segment: { lanes: 2000 }", "1:19: segment.lanes: lanes are from 4 to 1023"},
        Mistake{"segment: { kind: sealed }", "1:18: segment.kind: not supported yet: write named"},
        Mistake{"segment: { lanes: 4, knd: named }",
                "1:22: segment.knd: unknown key: did you mean "
                "kind?"},
        Mistake{"shared: { queues: [a] }",
                "1:19: shared.queues: this is a map: write the queue's name, then its keys"},
        Mistake{"shared: { queues: { a b: {} } }", "1:21: shared.queues.a b: this is no name"},
        Mistake{"shared: { queues: { a: { size: 1 } } }",
                "1:26: shared.queues.a.size: unknown key"},
        Mistake{
            "shared: { queues: { a: { capacity: 0 } } }",
            "1:36: shared.queues.a.capacity: a queue's capacity is from 1 to 1048576: write 1024"},
        Mistake{"shared: { queues: { a: { capacity: 2000000 } } }",
                "1:36: shared.queues.a.capacity: a queue's capacity is from 1 to 1048576"},
        Mistake{"shared: { queues: { a: { item_size: 65KiB } } }",
                "1:37: shared.queues.a.item_size: an item has 1 to 65536 bytes: write 256"},
        Mistake{"shared: { queues: { a: { max_attempts: 31 } } }",
                "1:40: shared.queues.a.max_attempts: max_attempts is from 1 to 30: write 3"},
        Mistake{"shared: { channels: { a: {} } }",
                "1:26: shared.channels.a: the channel has no receiving pool: write to: POOL"},
        Mistake{"shared: { channels: { a: { to: wbe } } }",
                "1:32: shared.channels.a.to: no pool is called wbe: did you mean web? the pools "
                "are web"},
        Mistake{"shared: { channels: { a: { to: web, slots: 513 } } }",
                "1:44: shared.channels.a.slots: how many slots have an inbox is from 1 to 512: "
                "write 64"},
        Mistake{
            "shared: { channels: { a: { to: web, capacity: 65537 } } }",
            "1:47: shared.channels.a.capacity: an inbox's capacity is from 1 to 65536: write 128"},
        Mistake{"shared: { channels: { a: { to: web, message_size: 0 } } }",
                "1:51: shared.channels.a.message_size: a message has 1 to 65536 bytes: write 256"},
        Mistake{"shared: { channels: { a: { to: web, delivery: exactly-once } } }",
                "1:47: shared.channels.a.delivery: \"exactly-once\" is none of at-least-once and "
                "at-most-once"},
        Mistake{"shared: { queues: { a: { priorities: 9 } } }",
                "1:38: shared.queues.a.priorities: how many priorities is from 1 to 8: write 2"},
        Mistake{
            "shared: { queues: { a: { result_size: 65KiB } } }",
            "1:39: shared.queues.a.result_size: a result has 1 to 65536 bytes: write 256, and put "
            "longer things into a file"},
        Mistake{"shared: { queues: { a: { dedup: maybe } } }",
                "1:33: shared.queues.a.dedup: \"maybe\" is neither true nor false: write one of "
                "them"},
        Mistake{"shared: { rate_limits: { a: 1 } }",
                "1:29: shared.rate_limits.a: this is a map: write { rate: 1000/s }"},
        Mistake{"shared: { rate_limits: { a: { burst: 2 } } }",
                "1:29: shared.rate_limits.a: the rate limit has no rate: write { rate: 1000/s, "},
        Mistake{"shared: { rate_limits: { a: { rate: 1000 } } }",
                "1:37: shared.rate_limits.a.rate: \"1000\" is no rate: write how many a second"},
        Mistake{"shared: { rate_limits: { a: { rate: 2000000/s } } }",
                "1:37: shared.rate_limits.a.rate: \"2000000/s\" is too fast: at most 1000000/s"},
        Mistake{"shared: { rate_limits: { a: { rate: 1/s, burst: 0 } } }",
                "1:49: shared.rate_limits.a.burst: a burst is from 1 to 1000000"},
        Mistake{"shared: { semaphores: [db] }", "1:23: shared.semaphores: this is a map: "},
        Mistake{"shared: { semaphores: { db: 0 } }",
                "1:29: shared.semaphores.db: permits are from 1 to 1023"},
        Mistake{"shared: { semaphores: { db: } }",
                "1:25: shared.semaphores.db: the semaphore has no number of permits: write db: 20"},
        Mistake{"shared: { semaphores: { 1db: 2 } }",
                "1:25: shared.semaphores.1db: this is no name"},
        Mistake{"shared: { blocks: [16KiB] }", "1:19: shared.blocks: this is a map of sizes"},
        Mistake{"shared: { blocks: { 16K: 1 } }",
                "1:21: shared.blocks.16K: \"16K\" has an unknown unit"},
        Mistake{"shared: { blocks: { 0: 1 } }", "1:21: shared.blocks.0: a block has from 1B"},
        Mistake{"shared: { blocks: { 2GiB: 1 } }", "1:21: shared.blocks.2GiB: a block has"},
        Mistake{"shared: { blocks: { 1KiB: 0 } }",
                "1:27: shared.blocks.1KiB: how many blocks of a size is from 1 to 65536"},
        Mistake{"shared: { blocks: { 1KiB: 1, 1024B: 2 } }",
                "1:30: shared.blocks.1024B: this size is here twice"},
        Mistake{"shared: { blocks: { 1B: 65536, 2B: 1 } }",
                "1:19: shared.blocks: at most 65536 blocks in all"},
        Mistake{"shared: { blocks: { 1B: 1, 2B: 1, 3B: 1, 4B: 1, 5B: 1, 6B: 1, 7B: 1, 8B: 1, 9B: "
                "1 } }",
                "1:19: shared.blocks: at most 8 sizes, not 9"},
        Mistake{"shared: { counters: [a, b, a] }", "1:28: shared.counters[2]: a is here twice"},
        Mistake{"shared: { histograms: [a, b, a] }", "1:30: shared.histograms[2]: a is here twice"},
        Mistake{"shared: { mutexes: [a b] }", "1:21: shared.mutexes[0]: \"a b\" is no name"},
        Mistake{"control: { mode: 600 }", "1:18: control.mode: \"600\" is no file mode"},
        Mistake{"control: { group: nosuchgroup }", "1:19: control.group: there is no group"},
        Mistake{"user: nosuchuser", "1:7: user: there is no user nosuchuser"},
        Mistake{"listeners: { http: \"0.0.0.0:80\" }",
                "1:20: listeners.http: a listener is a map: "
                "write { address: \"0.0.0.0:80\" }"},
        Mistake{"listeners: { http: { backlog: 5 } }",
                "1:20: listeners.http: the listener has no "
                "address"},
        Mistake{"listeners: { http: { address: \"80\" } }",
                "1:31: listeners.http.address: \"80\" is "
                "a port only: write \"0.0.0.0:80\""},
        Mistake{"listeners: { \"a b\": { address: \"[::]:80\" } }",
                "1:14: listeners.a b: this is no "
                "name"},
        Mistake{"listeners: { a: { address: \"[::]:80\", mode: \"0600\" } }",
                "1:45: listeners.a.mode: only unix sockets have a mode"},
        Mistake{"listeners: { a: { address: \"[::]:80\", owner: root } }",
                "1:46: listeners.a.owner: only unix sockets have an owner"},
        Mistake{"listeners: { a: { address: \"unix:/x\", owner: \"nosuchuser:root\" } }",
                "1:46: listeners.a.owner: there is no user nosuchuser"},
        Mistake{"listeners: { a: { address: \"unix:/x\", accept: reuse_port } }",
                "1:47: listeners.a.accept: a unix socket has one queue"},
        Mistake{"listeners: { a: { address: \"[::]:80\", accept: least_busy } }",
                "1:47: listeners.a.accept: not supported yet: write shared"},
        Mistake{"listeners: { a: { address: \"[::]:80\", backlog: 0 } }",
                "1:48: listeners.a.backlog: a backlog is from 1"},
        Mistake{"listeners: { a: { address: \"localhost:80\" }, b: { address: \"127.0.0.1:80\" } }",
                "1:60: listeners.b.address: listener a has this address already"}));

TEST(Problems, AreAllReportedAtOnceInTheFilesOrder) {
    EXPECT_THAT(
        texts(load("watch: on\npools:\n  web:\n    command: x\n    workers: 0\n    workers: 1\n"
                   "  b: {}\nlgo: {}\n")
                  .errors),
        ElementsAre(StartsWith("1:8: watch: "), StartsWith("4:14: pools.web.command: "),
                    StartsWith("5:14: pools.web.workers: "),
                    StartsWith("6:5: pools.web.workers: this key is here twice"),
                    StartsWith("7:6: pools.b: the pool has no command"),
                    StartsWith("8:1: lgo: unknown key: did you mean log?")));
}

TEST(Problems, APlainCommandShowsItsList) {
    EXPECT_THAT(texts(load("pools: { a: { command: node server.js } }").errors),
                ElementsAre(HasSubstr("write [node, server.js]")));
    EXPECT_THAT(texts(load("pools: { a: { command: 'a | b' } }").errors),
                ElementsAre(HasSubstr("write [sh, -c, 'a | b']")));
    EXPECT_THAT(texts(load("pools: { a: { command: [] } }").errors),
                ElementsAre(HasSubstr("write [program, argument]")));
    EXPECT_THAT(texts(load("pools: { a: { command: [sleep, ~] } }").errors),
                ElementsAre(HasSubstr("pools.a.command[1]: an item without a value")));
}

TEST(Problems, AnEmptyFileShowsTheSmallestGoodOne) {
    for (const char* text : {"", "hello", "[a]"}) {
        const Loaded loaded = load(text);
        EXPECT_FALSE(loaded.config);
        EXPECT_THAT(texts(loaded.errors),
                    Contains(HasSubstr("write pools: { web: { command: [program] } }")));
    }
    EXPECT_THAT(texts(load("pools: {}").errors), Contains(HasSubstr("there is no pool")));
    EXPECT_THAT(texts(load("watch: true").errors), Contains(HasSubstr("there is no pool")));
}

TEST(Problems, AnUnknownListenerListsTheKnownOnes) {
    const std::string listeners =
        "listeners: {http: {address: '[::]:1'}, admin: {address: '[::]:2'}}\n";
    EXPECT_THAT(
        texts(load(listeners + pool("listeners: [htp]")).errors),
        ElementsAre(HasSubstr("no listener is called htp: did you mean http? the listeners are "
                              "http and admin")));
    EXPECT_THAT(texts(load(listeners + pool("listeners: [http, http]")).errors),
                ElementsAre(HasSubstr("listener http is here twice")));
}

TEST(Problems, AListenersDescriptorMustBeThePoolsOwn) {
    const auto errors = [](const std::string& listeners, const std::string& argument) {
        return texts(
            load("listeners: {a: {address: '[::]:1'}, b: {address: '[::]:2'}}\npools:\n  w:\n"
                 "    listeners: " +
                 listeners + "\n    command: [sleep, \"" + argument + "\"]\n")
                .errors);
    };
    EXPECT_THAT(errors("[a]", "--fd=${LISTENER_FD:a}"), IsEmpty());
    EXPECT_THAT(
        errors("[a]", "${LISTENER_FD:a},${LISTENER_FD:b}"),
        ElementsAre("5:14: pools.w.command[1]: the pool has no listener b: its listeners are a"));
    EXPECT_THAT(errors("[]", "${LISTENER_FD:a}"),
                ElementsAre(HasSubstr("the pool has no listener a: write listeners: [a]")));
}

TEST(Problems, TheLanesOfAllPoolsAreAddedUp) {
    EXPECT_THAT(
        texts(
            load("pools: {a: {command: [x], workers: 70}, b: {command: [x], workers: 70}}").errors),
        ElementsAre(HasSubstr("segment.lanes: workers and max_surge of all pools are 142")));
    EXPECT_THAT(
        texts(load("segment: {lanes: 284}\n"
                   "pools: {a: {command: [x], workers: 70}, b: {command: [x], workers: 70}}")
                  .errors),
        IsEmpty());
    EXPECT_THAT(texts(load(pool("workers: 127")).errors), IsEmpty());
}

TEST(Problems, SparesShareAQueueAndTakeAnySeat) {
    const auto errors = [](const std::string& accept, const std::string& more) {
        return texts(load("listeners: {a: {address: '[::]:1', accept: " + accept +
                          "}}\npools:\n  w:\n    command: [sleep]\n    listeners: [a]\n"
                          "    spares: 2\n    " +
                          more + "\n")
                         .errors);
    };
    EXPECT_THAT(errors("shared", "spare_lifetime: 1m"), IsEmpty());
    EXPECT_THAT(
        errors("reuse_port", ""),
        ElementsAre(
            "6:13: pools.w.spares: with accept: reuse_port a worker has a queue of its own, "
            "and a spare none: write accept: shared for listener a, or remove spares"));
    EXPECT_THAT(errors("shared", "cpu_affinity: auto"),
                ElementsAre(HasSubstr("pools.w.spares: a spare has no slot yet that cpu_affinity: "
                                      "auto could go by: list the CPUs")));
    EXPECT_THAT(
        errors("shared", "on_master_death: stop"),
        ElementsAre(HasSubstr("pools.w.spares: a frozen spare does not hear that the master "
                              "has died: write on_master_death: keep")));
    EXPECT_THAT(errors("shared", "workers: 126"),
                ElementsAre(HasSubstr("pools.w.workers: workers, spares and max_surge of all pools "
                                      "are 129, at most half of the 256 lanes")));
}

TEST(Problems, ThereAreLimitsToHowMuch) {
    std::string many = "pools: {";
    for (int i = 0; i < 65; ++i) {
        many += "p" + std::to_string(i) + ": {command: [x]},";
    }
    EXPECT_THAT(texts(load(many + "}").errors), Contains(HasSubstr("at most 64 of these, not 65")));
    std::string counters = "shared: {counters: [";
    for (int i = 0; i < 257; ++i) {
        counters += "c" + std::to_string(i) + ",";
    }
    EXPECT_THAT(texts(load(counters + "]}\n" + pool("workers: 1")).errors),
                Contains(HasSubstr("room for 256 of these, not 257")));
}

TEST(Problems, OnlyTheFirstHundredAreShown) {
    std::string text;
    for (int i = 0; i < 500; ++i) {
        text += "k" + std::to_string(i) + ": 1\n";
    }
    const Loaded loaded = load(text + pool("workers: 1"));
    ASSERT_EQ(loaded.errors.size(), 101U);
    EXPECT_EQ(loaded.errors.back().sentence, "400 more problems are not shown");
}

}  // namespace
}  // namespace topsman::config
