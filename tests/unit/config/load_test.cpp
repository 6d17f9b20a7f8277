#include "config/load.hpp"

#include "loading.hpp"

#include <gmock/gmock.h>

#include <filesystem>

namespace topsman::config {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

TEST(Load, TheQuickstartMeansWhatItSays) {
    const Loaded loaded =
        load_file(TOPSMAN_SOURCE_DIR "/config/examples/quickstart.yaml", small_machine());
    ASSERT_THAT(texts(loaded.errors), IsEmpty());
    const Config& config = *loaded.config;
    EXPECT_EQ(config.cluster, "quickstart");
    ASSERT_EQ(config.listeners.size(), 1U);
    EXPECT_EQ(config.listeners[0].address, "0.0.0.0:8080");
    ASSERT_EQ(config.pools.size(), 1U);
    EXPECT_EQ(config.pools[0].workers, 4U);
    EXPECT_THAT(config.pools[0].exec.command, ElementsAre("topsman-http"));
    EXPECT_THAT(config.pools[0].exec.listeners, ElementsAre("http"));
    EXPECT_THAT(config.shared.counters, ElementsAre("orders"));
    EXPECT_THAT(config.shared.mutexes, ElementsAre("stock"));
    EXPECT_TRUE(config.watch);
}

TEST(Load, EveryKeyOfAPoolArrives) {
    const Loaded loaded = load(R"(
listeners:
  a: { address: "127.0.0.1:0" }
  b: { address: "unix:run/b.sock", mode: "0660", owner: "root:root", backlog: 100 }
pools:
  web:
    command: [./server, -x]
    listeners: [b, a]
    segment: none
    workers: auto
    environment: { A: 1, B: "" }
    env_file: app.env
    working_directory: data
    umask: "0027"
    user: root
    group: root
    limits: { nofile: 1024, memory: 2GiB, core: unlimited, cpu: 1m }
    nice: -5
    cpu_affinity: [4, 0-2, 1]
    output: { to: prefix }
    ready: { by: exec, timeout: 5s, min_uptime: 2s, command: [./probe, -q], interval: 3s, run_timeout: 4s }
    watchdog: { timeout: 10s, signal: QUIT, kill_after: 1s }
    restart: no
    backoff: { initial: 1s, factor: 1.5, max: 2s, jitter: 0, reset_after: 3s }
    start_limit: { burst: 5, interval: 20s, action: exit }
    stop_signal: 2
    stop_timeout: 0s
    on_master_death: stop
    rollout: { max_surge: 0, max_unavailable: 2 }
    max_old_generations: 2
    recycle: { lifetime: 1h, jitter: 0.5, requests: 10000, memory: 1GiB }
)");
    ASSERT_THAT(texts(loaded.errors), IsEmpty());
    Pool expected;
    expected.name = "web";
    expected.exec.command = {"/srv/app/server", "-x"};
    expected.exec.listeners = {"b", "a"};
    expected.exec.sockets = {"unix:/srv/app/run/b.sock", "127.0.0.1:0"};
    expected.exec.segment = SegmentUse::None;
    expected.exec.environment = {{"A", "1"}, {"B", ""}};
    expected.exec.env_file = "/srv/app/app.env";
    expected.exec.working_directory = "/srv/app/data";
    expected.exec.umask = 027;
    expected.exec.user = "root";
    expected.exec.group = "root";
    expected.exec.limits = {{"nofile", 1024}, {"memory", 2LL << 30}, {"core", -1}, {"cpu", 60}};
    expected.exec.nice = -5;
    expected.exec.cpu_affinity = {false, {0, 1, 2, 4}};
    expected.exec.output = OutputTo::Prefix;
    expected.exec.on_master_death = OnMasterDeath::Stop;
    expected.workers = 3;
    expected.workers_auto = true;
    expected.ready = {.by = ReadyBy::Exec,
                      .timeout = seconds(5),
                      .min_uptime = seconds(2),
                      .command = {"/srv/app/probe", "-q"},
                      .interval = seconds(3),
                      .run_timeout = seconds(4)};
    expected.watchdog = {seconds(10), 3, seconds(1)};
    expected.restart = RestartPolicy::No;
    expected.backoff = {seconds(1), 1.5, seconds(2), 0, seconds(3)};
    expected.start_limit = {5, seconds(20), BreakerAction::Exit};
    expected.stop_signal = 2;
    expected.stop_timeout = Duration(0);
    expected.rollout = {0, 2};
    expected.max_old_generations = 2;
    expected.recycle = {seconds(3'600), 0.5, 10'000, 1LL << 30};
    EXPECT_EQ(loaded.config->pools[0], expected);
    const Listener& socket = loaded.config->listeners[1];
    EXPECT_EQ(socket.address, "unix:/srv/app/run/b.sock");
    EXPECT_EQ(socket.mode, 0660U);
    EXPECT_EQ(socket.owner, "root:root");
    EXPECT_EQ(socket.backlog, 100U);
}

TEST(Load, WhoHasListenersAndDoesNotSayByWhatIsLookedAt) {
    const auto ready = [](const std::string& keys) {
        return load("listeners: { a: { address: '[::]:0' } }\n" + pool(keys))
            .config->pools[0]
            .ready;
    };
    EXPECT_EQ(ready("listeners: [a]").by, ReadyBy::Listening);
    EXPECT_TRUE(ready("listeners: [a]").assumed);
    EXPECT_TRUE(ready("listeners: [a]\n    ready: { min_uptime: 5s }").assumed);
    EXPECT_EQ(ready("workers: 1"), Ready{}) << "no listeners";
    for (const auto& [word, by] : {std::pair("none", ReadyBy::None),
                                   {"notify", ReadyBy::Notify},
                                   {"listening", ReadyBy::Listening}}) {
        const Ready said = ready("listeners: [a]\n    ready: { by: " + std::string(word) + " }");
        EXPECT_EQ(said.by, by);
        EXPECT_FALSE(said.assumed) << word;
    }
}

TEST(Load, TheTopLevelArrives) {
    const Loaded loaded = load(R"(
cluster: other
user: root
group: root
log: { level: debug, format: json }
segment: { kind: named, lanes: 512 }
control: { socket: x.sock, mode: "0660", group: root }
watch: true
pools: { web: { command: [sleep] }, own: { command: [sleep], user: nobody } }
)");
    ASSERT_THAT(texts(loaded.errors), IsEmpty());
    const Config& config = *loaded.config;
    EXPECT_EQ(config.cluster, "other");
    EXPECT_EQ(config.log, (Log{LogLevel::Debug, LogFormat::Json}));
    EXPECT_EQ(config.segment.lanes, 512U);
    EXPECT_EQ(config.control, (Control{"/srv/app/x.sock", 0660, "root"}));
    EXPECT_EQ(config.pools[0].exec.user, "root");
    EXPECT_EQ(config.pools[0].exec.group, "root");
    // The top level's group belongs to the top level's user.
    EXPECT_EQ(config.pools[1].exec.user, "nobody");
    EXPECT_EQ(config.pools[1].exec.group, "");
}

TEST(Load, TheClusterIsNamedAfterTheFile) {
    const std::string text = pool("workers: 1");
    const auto cluster = [&](const std::string& path) {
        const Loaded loaded = load_text(text, path, small_machine());
        return loaded.config ? loaded.config->cluster : loaded.errors[0].text();
    };
    EXPECT_EQ(cluster("/etc/topsman/shop.yaml"), "shop");
    EXPECT_EQ(cluster("/etc/my.shop v2.yml"), "my-shop-v2");
    EXPECT_THAT(cluster("/etc/2shop.yaml"), HasSubstr("write cluster: NAME"));
}

TEST(Load, RelativePathsStartWhereTheFileWasNamed) {
    const TempFolder folder;
    folder.write("releases/7/topsman.yaml", pool("env_file: a.env"));
    std::filesystem::create_directory_symlink(folder.path("releases/7"), folder.path("current"));
    const Loaded loaded = load_file(folder.path("current/topsman.yaml"), small_machine());
    ASSERT_TRUE(loaded.config);
    EXPECT_EQ(loaded.config->pools[0].exec.working_directory, folder.path("current"));
    EXPECT_EQ(loaded.config->pools[0].exec.env_file, folder.path("current/a.env"));
    EXPECT_EQ(loaded.config->file,
              std::filesystem::canonical(folder.path("releases/7/topsman.yaml")).string());
}

TEST(Load, AProgramWithoutASlashIsLeftToThePath) {
    EXPECT_EQ(load(pool("workers: 1")).config->pools[0].exec.command[0], "sleep");
}

TEST(Load, AutoAffinityIsForEachSlot) {
    const Exec exec = load(pool("cpu_affinity: auto")).config->pools[0].exec;
    EXPECT_TRUE(exec.cpu_affinity.by_slot);
    EXPECT_THAT(exec.cpu_affinity.cpus, IsEmpty());
    EXPECT_EQ(exec.nice, std::nullopt);
}

TEST(Load, QuotedNumbersAreNumbersAndNoIsAPolicy) {
    const Pool pool_of = load(pool("workers: \"2\"\n    restart: \"no\"")).config->pools[0];
    EXPECT_EQ(pool_of.workers, 2U);
    EXPECT_EQ(pool_of.restart, RestartPolicy::No);
}

TEST(Load, SharedLimits) {
    const Config config = load(
                              "shared:\n  semaphores: { db: 20, disk: 1 }\n"
                              "  rate_limits: { api: { rate: 1000/s, burst: 200 }, "
                              "mail: { rate: 7/h } }\n" +
                              pool("workers: 1"))
                              .config.value();
    EXPECT_THAT(config.shared.semaphores, ElementsAre(Semaphore{.name = "db", .permits = 20},
                                                      Semaphore{.name = "disk", .permits = 1}));
    EXPECT_THAT(config.shared.rate_limits,
                ElementsAre(RateLimit{.name = "api", .interval_ns = 1'000'000, .burst = 200},
                            RateLimit{.name = "mail", .interval_ns = 514'285'714'286, .burst = 1}));
}

TEST(Load, BlocksAreSortedBySize) {
    const auto loaded = load("shared: { blocks: { 1MiB: 2, 16KiB: 1024 } }\n" + pool("workers: 1"));
    ASSERT_TRUE(loaded.config);
    EXPECT_THAT(loaded.config->shared.blocks,
                ElementsAre(Blocks{16'384, 1'024}, Blocks{1'048'576, 2}));
}

TEST(Load, ValuesOfRefusedKeysThatAskForWhatHappensAnywayAreFine) {
    EXPECT_THAT(texts(load(pool("recycle: { requests: 0, memory: 0 }\n    rollout: { "
                                "observe: 0s }"))
                          .errors),
                IsEmpty());
    EXPECT_THAT(texts(load("shared: { queues: {}, blocks: {} }\n" + pool("workers: 1")).errors),
                IsEmpty());
}

TEST(Load, AMissingFileIsOneProblem) {
    const Loaded loaded = load_file("/nonexistent/x.yaml", small_machine());
    EXPECT_FALSE(loaded.config);
    ASSERT_EQ(loaded.errors.size(), 1U);
    EXPECT_EQ(loaded.errors[0].text(),
              "/nonexistent/x.yaml: cannot be read: No such file or directory");
}

TEST(Load, TheEnvironmentOfThisProcessIsItsOwn) {
    ::setenv("TOPSMAN_TEST_VARIABLE", "a=b", 1);
    const Environment environment = Environment::of_this_process();
    EXPECT_THAT(environment.variables, testing::Contains(Pair("TOPSMAN_TEST_VARIABLE", "a=b")));
    EXPECT_GE(environment.cpus, 1U);
    ::unsetenv("TOPSMAN_TEST_VARIABLE");
}

}  // namespace
}  // namespace topsman::config
