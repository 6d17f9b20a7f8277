#include "supervisor/control/status_json.hpp"

#include <boost/json.hpp>
#include <gtest/gtest.h>

namespace topsman::control {
namespace {

ClusterView small_shop() {
    ClusterView view;
    view.cluster = "shop";
    view.master_pid = 77;
    view.master_state = "running";
    view.uptime_s = 12.5;
    view.listeners = {{.name = "http",
                       .address = "0.0.0.0:8080",
                       .accept = "shared",
                       .queue = 1,
                       .backlog = 4'096,
                       .sockets = 1}};
    PoolLines pool;
    pool.name = "web";
    pool.wanted = 2;
    pool.ready = 1;
    pool.breaker = "closed";
    WorkerLine line;
    line.worker = 9;
    line.role = "current";
    line.pid = 123;
    line.state = "serving";
    line.requests = 1'000;
    line.last_exit = "killed by SIGKILL";
    pool.slots = {line, WorkerLine{}};
    view.pools = {pool};
    view.counters = {{.name = "orders", .total = 42, .lanes = {{3, 40}, {5, 2}}}};
    view.gauges = {{.name = "open", .total = -4}};
    view.mutexes = {{.name = "stock",
                     .state = "held",
                     .owner = "web/2",
                     .owner_deaths = 1,
                     .pid = 4'711,
                     .held_s = 12.5,
                     .waiting = 3}};
    view.shared = {{.kind = "semaphore",
                    .name = "db",
                    .state = "3 of 20 taken",
                    .waiting = 1,
                    .numbers = {{"taken", 3}, {"permits", 20}}}};
    return view;
}

TEST(StatusJsonTest, HasTheShapeThatOthersDependOn) {
    const auto json = boost::json::parse(status_json(small_shop()));
    EXPECT_EQ(json.at("cluster"), "shop");
    EXPECT_EQ(json.at("master").at("pid"), 77);
    EXPECT_EQ(json.at("master").at("state"), "running");
    EXPECT_EQ(json.at("master").at("uptime_s"), 12.5);
    const auto& listener = json.at("listeners").at(0);
    for (const char* key : {"name", "address", "accept", "queue", "backlog", "nudges"}) {
        EXPECT_TRUE(listener.as_object().contains(key)) << key;
    }
    const auto& pool = json.at("pools").at(0);
    for (const char* key : {"name", "wanted", "ready", "breaker", "slots"}) {
        EXPECT_TRUE(pool.as_object().contains(key)) << key;
    }
    const auto& slot = pool.at("slots").at(0);
    for (const char* key : {"slot", "worker", "role", "pid", "state", "generation", "uptime_s",
                            "restarts", "last_exit", "status", "requests", "in_flight"}) {
        EXPECT_TRUE(slot.as_object().contains(key)) << key;
    }
    EXPECT_EQ(slot.at("requests"), 1'000);
    EXPECT_EQ(json.at("counters").at("orders").at("total"), 42);
    EXPECT_EQ(json.at("counters").at("orders").at("lanes").at("3"), 40);
    EXPECT_EQ(json.at("gauges").at("open").at("total"), -4);
    EXPECT_EQ(json.at("mutexes").at("stock").at("state"), "held");
    EXPECT_EQ(json.at("mutexes").at("stock").at("owner"), "web/2");
    EXPECT_EQ(json.at("mutexes").at("stock").at("pid"), 4'711);
    EXPECT_EQ(json.at("mutexes").at("stock").at("held_s"), 12.5);
    EXPECT_EQ(json.at("mutexes").at("stock").at("waiting"), 3);
    EXPECT_EQ(boost::json::parse(locks_json(small_shop())), json.at("mutexes"));
    EXPECT_EQ(json.at("shared").at(0),
              boost::json::parse(R"({"kind": "semaphore", "name": "db", "state": "3 of 20 taken",
                                     "waiting": 1, "taken": 3, "permits": 20})"));
}

TEST(StatusJsonTest, ASpareHasNoSlot) {
    ClusterView view = small_shop();
    view.pools[0].spares = 2;
    view.pools[0].spares_ready = 1;
    view.pools[0].slots[0].slot = kNoSlot;
    const auto json = boost::json::parse(status_json(view));
    EXPECT_EQ(json.at("pools").at(0).at("spares"), 2);
    EXPECT_EQ(json.at("pools").at(0).at("spares_ready"), 1);
    EXPECT_TRUE(json.at("pools").at(0).at("slots").at(0).at("slot").is_null());
}

TEST(StatusJsonTest, CountersAreTheSameObject) {
    const ClusterView view = small_shop();
    EXPECT_EQ(boost::json::parse(counters_json(view)),
              boost::json::parse(status_json(view)).at("counters"));
}

TEST(StatusJsonTest, AnEmptyClusterHasEmptyLists) {
    const auto json = boost::json::parse(status_json(ClusterView{}));
    EXPECT_TRUE(json.at("pools").as_array().empty());
    EXPECT_TRUE(json.at("counters").as_object().empty());
    EXPECT_TRUE(json.at("mutexes").as_object().empty());
}

}  // namespace
}  // namespace topsman::control
