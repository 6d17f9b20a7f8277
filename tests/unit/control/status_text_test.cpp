#include "supervisor/control/status_text.hpp"

#include "supervisor/control/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace topsman::control {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

WorkerLine worker(std::uint32_t slot, std::uint64_t id, const char* state) {
    WorkerLine line;
    line.slot = slot;
    line.worker = id;
    line.role = "current";
    line.pid = 41'000 + static_cast<std::uint32_t>(id);
    line.state = state;
    line.generation = 3;
    line.uptime_s = 11'520;
    line.requests = 120'345;
    line.in_flight = 2;
    line.cpu_s = 192.4;
    line.rss_bytes = 12'897'485;
    return line;
}

ClusterView shop() {
    ClusterView view;
    view.cluster = "shop";
    view.config_file = "/etc/topsman/shop.yaml";
    view.master_pid = 40'999;
    view.master_state = "running";
    view.uptime_s = 1'047'600;
    view.note = "watching shop.yaml";

    PoolLines web{.name = "web",
                  .wanted = 4,
                  .ready = 2,
                  .breaker = "closed",
                  .generation = 3,
                  .rollout = "rolling 2/4",
                  .note = {},
                  .slots = {}};
    web.slots.push_back(worker(0, 17, "serving"));
    web.slots.push_back(worker(1, 18, "serving"));
    web.slots[1].status = "größere Last: 日本";
    web.slots[1].restarts = 2;
    web.slots[1].watchdog_age_s = 0.31;
    web.slots[1].last_exit = "killed by SIGSEGV (core dumped)";
    web.slots.push_back(worker(1, 12, "draining"));
    web.slots[2].role = "leaving";
    WorkerLine waiting;
    waiting.slot = 2;
    waiting.state = "waiting";
    waiting.restarts = 14;
    waiting.last_exit = "exit code 1";
    waiting.next_try_s = 6.4;
    web.slots.push_back(waiting);
    web.slots.push_back(worker(3, 19, "starting"));
    web.slots[4].uptime_s = 0.2;
    web.slots[4].requests = 0;
    web.slots[4].stopped = true;
    PoolLines jobs{.name = "jobs",
                   .wanted = 1,
                   .ready = 0,
                   .breaker = "open",
                   .generation = 3,
                   .rollout = {},
                   .note = {},
                   .slots = {}};
    WorkerLine tripped;
    tripped.state = "tripped";
    tripped.restarts = 5;
    tripped.last_exit = "exit code 78";
    jobs.slots.push_back(tripped);
    view.pools = {web, jobs};
    view.listeners = {{.name = "http",
                       .address = "0.0.0.0:8080",
                       .accept = "shared",
                       .queue = 3,
                       .backlog = 4'096,
                       .sockets = 1}};
    view.counters = {{.name = "orders", .total = 1'204'311, .lanes = {}},
                     {.name = "http_requests", .total = 9, .lanes = {}}};
    view.gauges = {{.name = "http_connections", .total = 12}};
    view.mutexes = {{.name = "stock", .state = "held", .owner = "web/1", .owner_deaths = 2},
                    {.name = "audit", .state = "poisoned", .owner = {}, .owner_deaths = 1}};
    view.shared = {{.kind = "semaphore", .name = "db", .state = "20 of 20 taken", .waiting = 3},
                   {.kind = "rate limit", .name = "api", .state = "7 of 200 left"}};
    return view;
}

constexpr const char* kIn40Columns = R"(shop: master running, pid 40999, up
12d3h, /etc/topsman/shop.yaml
watching shop.yaml
web: 2 of 4 workers ready, rolling 2/4
jobs: 0 of 1 worker ready, breaker open
(`topsman reset-failed jobs` tries
again)

SLOT      PID  STATE            UP
web/0   41017  serving       3h12m
web/1   41018  serving       3h12m
web/1   41012  draining      3h12m
web/2          waiting 6.4s
web/3   41019  stopped        0.2s
jobs/0         tripped

LISTENER  ADDRESS       ACCEPT   QUEUE
http      0.0.0.0:8080  shared  3/4096

COUNTER          TOTAL
orders         1204311
http_requests        9

GAUGE             NOW
http_connections   12

MUTEX  STATE          OWNERS DIED
stock  held by web/1            2
audit  poisoned                 1

SHARED  KIND        STATE
db      semaphore   20 of 20 taken
api     rate limit  7 of 200 left
)";

constexpr const char* kIn80Columns =
    R"(shop: master running, pid 40999, up 12d3h, /etc/topsman/shop.yaml
watching shop.yaml
web: 2 of 4 workers ready, rolling 2/4
jobs: 0 of 1 worker ready, breaker open (`topsman reset-failed jobs` tries
again)

SLOT      PID  STATE            UP  RESTARTS  MEMORY  REQUESTS  REMARK
web/0   41017  serving       3h12m         0   12.3M    120345
web/1   41018  serving       3h12m         2   12.3M    120345  größere Last: 日…
web/1   41012  draining      3h12m         0   12.3M    120345  leaving
web/2          waiting 6.4s               14                    last: exit code…
web/3   41019  stopped        0.2s         0   12.3M         0
jobs/0         tripped                     5                    last: exit code…

LISTENER  ADDRESS       ACCEPT   QUEUE
http      0.0.0.0:8080  shared  3/4096

COUNTER          TOTAL
orders         1204311
http_requests        9

GAUGE             NOW
http_connections   12

MUTEX  STATE          OWNERS DIED
stock  held by web/1            2
audit  poisoned                 1

SHARED  KIND        STATE           WAITING
db      semaphore   20 of 20 taken        3
api     rate limit  7 of 200 left
)";

constexpr const char* kWithRoom =
    R"(shop: master running, pid 40999, up 12d3h, /etc/topsman/shop.yaml
watching shop.yaml
web: 2 of 4 workers ready, rolling 2/4
jobs: 0 of 1 worker ready, breaker open (`topsman reset-failed jobs` tries again)

SLOT      PID  STATE         GEN     UP  RESTARTS    CPU  MEMORY  REQUESTS  IN FLIGHT  BEAT  REMARK
web/0   41017  serving         3  3h12m         0  3m12s   12.3M    120345          2
web/1   41018  serving         3  3h12m         2  3m12s   12.3M    120345          2  0.3s  größere Last: 日本; last: killed by SIGSEGV (core dumped)
web/1   41012  draining        3  3h12m         0  3m12s   12.3M    120345          2        leaving
web/2          waiting 6.4s                    14                                            last: exit code 1
web/3   41019  stopped         3   0.2s         0  3m12s   12.3M         0          2
jobs/0         tripped                          5                                            last: exit code 78

LISTENER  ADDRESS       ACCEPT   QUEUE
http      0.0.0.0:8080  shared  3/4096

COUNTER          TOTAL
orders         1204311
http_requests        9

GAUGE             NOW
http_connections   12

MUTEX  STATE          OWNERS DIED
stock  held by web/1            2
audit  poisoned                 1

SHARED  KIND        STATE           WAITING
db      semaphore   20 of 20 taken        3
api     rate limit  7 of 200 left
)";

TEST(StatusTextTest, LocksSayWhoHasThemSinceWhenAndHowManyWait) {
    ClusterView view;
    EXPECT_EQ(locks_text(view, {}), "no mutexes\n");
    view.mutexes = {{.name = "stock",
                     .state = "held",
                     .owner = "web/1",
                     .owner_deaths = 2,
                     .pid = 4'711,
                     .held_s = 12,
                     .waiting = 3},
                    {.name = "audit", .state = "poisoned", .owner = {}, .owner_deaths = 1},
                    {.name = "files", .state = "free", .owner = {}}};
    EXPECT_EQ(locks_text(view, {}), R"(MUTEX  STATE     OWNER   PID  HELD  WAITING  OWNERS DIED
stock  held      web/1  4711   12s        3            2
audit  poisoned                                        1
files  free
)");
}

TEST(StatusTextTest, FitsIntoANarrowTerminal) {
    EXPECT_EQ(status_text(shop(), {.columns = 40, .color = false}), kIn40Columns);
}

TEST(StatusTextTest, FitsIntoAUsualTerminal) {
    EXPECT_EQ(status_text(shop(), {.columns = 80, .color = false}), kIn80Columns);
}

TEST(StatusTextTest, ShowsAllWhereThereIsRoom) {
    EXPECT_EQ(status_text(shop(), {.columns = 200, .color = false}), kWithRoom);
    EXPECT_EQ(status_text(shop(), {.columns = 0, .color = false}), kWithRoom) << "a pipe";
}

TEST(StatusTextTest, NoLineIsWiderThanTheTerminal) {
    for (std::uint32_t columns = 40; columns < 200; ++columns) {
        std::istringstream text(status_text(shop(), {.columns = columns, .color = false}));
        for (std::string line; std::getline(text, line);) {
            EXPECT_LE(width(line), columns) << line;
        }
    }
}

TEST(StatusTextTest, SparesAreCountedAndSayHowTheyWait) {
    ClusterView view = shop();
    view.pools[0].spares = 3;
    view.pools[0].spares_ready = 3;
    for (const char* state : {"parked", "parked", "serving"}) {
        WorkerLine spare = worker(kNoSlot, 20, state);
        spare.role = "spare";
        view.pools[0].slots.push_back(spare);
    }
    view.pools[0].slots.back().role = "spare";
    view.pools[0].slots[view.pools[0].slots.size() - 2].stopped = true;
    const std::string text = status_text(view, {.columns = 0, .color = false});
    EXPECT_THAT(text, HasSubstr("web: 2 of 4 workers ready, 3 of 3 spares, rolling 2/4\n"));
    EXPECT_THAT(text, ContainsRegex("web/spare +41020 +parked "));
    EXPECT_THAT(text, ContainsRegex("web/spare +41020 +frozen "));
    EXPECT_THAT(text, ContainsRegex("web/spare +41020 +serving .* spare\n"));
}

TEST(StatusTextTest, ColourIsOnlyThereWhenItIsAskedFor) {
    EXPECT_THAT(status_text(shop(), {}), Not(HasSubstr("\x1b")));
    const std::string colored = status_text(shop(), {.columns = 120, .color = true});
    EXPECT_THAT(colored, HasSubstr("\x1b[32mserving\x1b[0m"));
    EXPECT_THAT(colored, HasSubstr("\x1b[31mtripped\x1b[0m"));
}

TEST(StatusTextTest, ADeadMasterIsTheFirstThingSaid) {
    ClusterView view = shop();
    view.master_state = "dead";
    view.trouble = "pid 40999 is gone";
    EXPECT_THAT(
        status_text(view, {}),
        StartsWith("shop: no master (pid 40999 is gone): 4 workers serve on; start it again "
                   "with `topsman run /etc/topsman/shop.yaml`\n"));
    for (PoolLines& pool : view.pools) {
        for (WorkerLine& line : pool.slots) {
            line.gone = true;
        }
    }
    EXPECT_THAT(status_text(view, {}), HasSubstr("no worker is left"));
}

TEST(StatusTextTest, AHungMasterIsTheFirstThingSaid) {
    ClusterView view = shop();
    view.master_state = "hung";
    view.trouble = "pid 40999 is stopped by a signal";
    EXPECT_THAT(
        status_text(view, {}),
        StartsWith("shop: master hung (pid 40999 is stopped by a signal): workers serve on\n"));
}

TEST(StatusTextTest, RatesComeFromTheLookBefore) {
    const ClusterView then = shop();
    ClusterView now = shop();
    now.pools[0].slots[0].requests += 2'400;
    now.pools[0].slots[0].cpu_s += 1;
    now.counters[0].total += 24;
    const Before before{.view = then, .seconds = 2};
    const std::string text = status_text(now, {}, &before);
    EXPECT_THAT(text, HasSubstr("REQ/S"));
    EXPECT_THAT(text, HasSubstr("1200"));
    EXPECT_THAT(text, HasSubstr("50%"));
    EXPECT_THAT(text, HasSubstr("orders         1204335          12\n"));
}

TEST(StatusTextTest, ANewWorkerOrCounterHasNoRateYet) {
    ClusterView then = shop();
    then.pools[0].slots[0].worker = 3;
    then.counters.clear();
    const Before before{.view = then, .seconds = 2};
    const std::string text = status_text(shop(), {}, &before);
    EXPECT_THAT(text, HasSubstr("orders         1204311           0\n"));
}

}  // namespace
}  // namespace topsman::control
