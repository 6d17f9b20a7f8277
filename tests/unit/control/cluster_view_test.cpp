#include "supervisor/control/cluster_view.hpp"

#include "shm/named_mutex.hpp"
#include "supervisor/control/status_json.hpp"
#include "supervisor/control/status_text.hpp"
#include "supervisor/posix/process_info.hpp"
#include "tests/unit/control/control_test_helper.hpp"

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <random>
#include <sys/wait.h>
#include <thread>

namespace topsman::control {
namespace {

using ::testing::HasSubstr;

/// A child that does nothing until it is killed.
class Idler {
  public:
    Idler() : pid_(::fork()) {
        if (pid_ == 0) {
            for (;;) {
                (void)::pause();
            }
        }
    }

    Idler(const Idler&) = delete;
    Idler& operator=(const Idler&) = delete;

    ~Idler() { end(); }

    /// Returns when the kernel says so.
    void stop() const {
        (void)::kill(pid_, SIGSTOP);
        (void)::waitpid(pid_, nullptr, WUNTRACED);
    }

    void end() {
        if (pid_ > 0) {
            (void)::kill(pid_, SIGKILL);
            (void)::waitpid(std::exchange(pid_, -1), nullptr, 0);
        }
    }

    [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }

  private:
    pid_t pid_;
};

std::uint64_t start_ticks_of(std::uint32_t pid);

TEST(ClusterViewTest, ARunningMasterIsRunning) {
    HandMadeCluster cluster;
    const ClusterView view = cluster.look();
    EXPECT_EQ(view.cluster, cluster.name());
    EXPECT_EQ(view.master_state, "running");
    EXPECT_EQ(view.version, "0.1.0");
    EXPECT_EQ(view.config_file, cluster.file());
    EXPECT_EQ(view.master_pid, static_cast<std::uint32_t>(::getpid()));
}

TEST(ClusterViewTest, AMasterIsHungWhenItIsStopped) {
    HandMadeCluster cluster;
    const Idler master;
    cluster.set_master(master.pid(), start_ticks_of(master.pid()));
    EXPECT_EQ(cluster.look().master_state, "running");
    master.stop();
    EXPECT_EQ(cluster.look().master_state, "hung");
    EXPECT_THAT(cluster.look().trouble, HasSubstr("kill -CONT"));
}

TEST(ClusterViewTest, AMasterIsHungWhenOneTurnTakesForEver) {
    HandMadeCluster cluster;
    auto& turn = cluster.segment().scoreboard().turn_began_ns;
    turn.store(monotonic_ns() - 3'000'000'000);
    EXPECT_EQ(cluster.look().master_state, "hung");
    turn.store(monotonic_ns());
    EXPECT_EQ(cluster.look().master_state, "running");
    turn.store(0);
    EXPECT_EQ(cluster.look().master_state, "running") << "it waits for events";
}

TEST(ClusterViewTest, AMasterIsDeadWhenItsProcessIsGoneOrAnother) {
    HandMadeCluster cluster;
    Idler master;
    const std::uint64_t ticks = start_ticks_of(master.pid());
    cluster.set_master(master.pid(), ticks + 1);
    EXPECT_EQ(cluster.look().master_state, "dead") << "the number is used again";
    cluster.set_master(master.pid(), ticks);
    EXPECT_EQ(cluster.look().master_state, "running");
    master.end();
    EXPECT_EQ(cluster.look().master_state, "dead");
    EXPECT_EQ(cluster.look().uptime_s, 0);
}

TEST(ClusterViewTest, SlotsShowTheirWorkers) {
    HandMadeCluster cluster;
    cluster.set_tables(1, 3, 0);
    cluster.add_pool(0, "web", 3, 1);
    cluster.add_slot(0, 0, 0, shm::SlotPhase::Occupied);
    cluster.add_slot(1, 0, 1, shm::SlotPhase::Waiting);
    cluster.add_slot(2, 0, 2, shm::SlotPhase::Tripped);
    shm::WorkerRecord record = cluster.add_worker(5, 0, 0);
    shm::put_text(record.status, "warming up");
    cluster.segment().scoreboard().workers[5].store(record);
    cluster.segment().lanes()[5].requests.store(42);
    cluster.segment().lanes()[5].in_flight.store(3);

    const ClusterView view = cluster.look();
    ASSERT_EQ(view.pools.size(), 1U);
    ASSERT_EQ(view.pools[0].slots.size(), 3U);
    const WorkerLine& line = view.pools[0].slots[0];
    EXPECT_EQ(line.worker, 105U);
    EXPECT_EQ(line.role, "current");
    EXPECT_EQ(line.state, "serving");
    EXPECT_EQ(line.status, "warming up");
    EXPECT_EQ(line.requests, 42U);
    EXPECT_EQ(line.in_flight, 3U);
    EXPECT_EQ(line.restarts, 3U);
    EXPECT_EQ(line.last_exit, "killed by SIGKILL");
    EXPECT_GT(line.uptime_s, 1.9);
    EXPECT_GT(line.rss_bytes, 0U);
    EXPECT_FALSE(line.watchdog_age_s);
    EXPECT_EQ(view.pools[0].slots[1].state, "waiting");
    EXPECT_TRUE(view.pools[0].slots[1].next_try_s);
    EXPECT_EQ(view.pools[0].slots[2].state, "tripped");
}

TEST(ClusterViewTest, SparesHaveNoSlotAndComeLast) {
    HandMadeCluster cluster;
    cluster.set_tables(1, 1, 0);
    cluster.add_pool(0, "web", 1, 1);
    shm::PoolRecord pool_record{};
    ASSERT_TRUE(cluster.segment().scoreboard().pools[0].load(pool_record));
    pool_record.spares = 3;
    cluster.segment().scoreboard().pools[0].store(pool_record);
    cluster.add_slot(0, 0, 0, shm::SlotPhase::Occupied);
    (void)cluster.add_worker(5, 0, 0);
    const auto add_spare = [&cluster](std::uint32_t lane, shm::WorkerState state) {
        shm::WorkerRecord record = cluster.add_worker(lane, 0, kNoSlot);
        record.role = shm::WorkerRole::Spare;
        record.state = state;
        record.watchdog_timeout_ns = 1'000'000'000;
        cluster.segment().scoreboard().workers[lane].store(record);
    };
    add_spare(2, shm::WorkerState::Parked);
    add_spare(3, shm::WorkerState::Serving);
    add_spare(4, shm::WorkerState::Starting);
    const PoolLines pool = cluster.look().pools.at(0);
    EXPECT_EQ(pool.spares, 3U);
    EXPECT_EQ(pool.spares_ready, 2U);
    ASSERT_EQ(pool.slots.size(), 4U);
    EXPECT_EQ(pool.slots[0].role, "current");
    EXPECT_EQ(pool.slots[1].role, "spare");
    EXPECT_EQ(pool.slots[1].slot, kNoSlot);
    EXPECT_EQ(pool.slots[1].state, "parked");
    EXPECT_FALSE(pool.slots[1].watchdog_age_s) << "nobody waits for its sign of life";
    EXPECT_TRUE(pool.slots[2].watchdog_age_s);
}

TEST(ClusterViewTest, DrainedSlotsAreCountedAndShowWhoStillLeaves) {
    HandMadeCluster cluster;
    cluster.set_tables(1, 2, 0);
    cluster.add_pool(0, "web", 2, 0);
    cluster.add_slot(0, 0, 0, shm::SlotPhase::Drained);
    cluster.add_slot(1, 0, 1, shm::SlotPhase::Drained);
    shm::WorkerRecord record = cluster.add_worker(5, 0, 1);
    record.role = shm::WorkerRole::Leaving;
    record.state = shm::WorkerState::Draining;
    cluster.segment().scoreboard().workers[5].store(record);
    const PoolLines pool = cluster.look().pools.at(0);
    EXPECT_EQ(pool.drained, 2U);
    ASSERT_EQ(pool.slots.size(), 2U);
    EXPECT_EQ(pool.slots[0].state, "drained");
    EXPECT_EQ(pool.slots[1].state, "draining");
}

TEST(ClusterViewTest, CurrentSuccessorAndLeavingAreShownInThatOrder) {
    HandMadeCluster cluster;
    cluster.set_tables(1, 1, 0);
    cluster.add_pool(0, "web", 1, 1);
    cluster.add_slot(0, 0, 0, shm::SlotPhase::Occupied);
    const auto set_role = [&](std::uint32_t lane, std::uint32_t slot, shm::WorkerRole role) {
        shm::WorkerRecord record = cluster.add_worker(lane, 0, slot);
        record.role = role;
        cluster.segment().scoreboard().workers[lane].store(record);
    };
    set_role(1, 0, shm::WorkerRole::Leaving);
    set_role(2, 0, shm::WorkerRole::Successor);
    set_role(3, 0, shm::WorkerRole::Current);
    set_role(4, 7, shm::WorkerRole::Leaving);
    const auto lines = cluster.look().pools.at(0).slots;
    ASSERT_EQ(lines.size(), 4U);
    EXPECT_EQ(lines[0].role, "current");
    EXPECT_EQ(lines[1].role, "successor");
    EXPECT_EQ(lines[2].role, "leaving");
    EXPECT_EQ(lines[3].slot, 7U) << "its slot is no more, it is shown until it is gone";
}

TEST(ClusterViewTest, ALaneOfAnotherGenerationSaysNothingOfTheWorker) {
    HandMadeCluster cluster;
    cluster.set_tables(1, 1, 0);
    cluster.add_pool(0, "web", 1, 1);
    cluster.add_slot(0, 0, 0, shm::SlotPhase::Occupied);
    cluster.add_worker(5, 0, 0);
    shm::Lane& lane = cluster.segment().lanes()[5];
    lane.requests.store(42);
    lane.word.store(
        shm::LaneWord{.phase = shm::LanePhase::Started, .generation = 8, .value = 1}.pack());
    EXPECT_EQ(cluster.look().pools.at(0).slots.at(0).requests, 0U);
}

TEST(ClusterViewTest, TheLastSignOfLifeIsTheLaterOne) {
    HandMadeCluster cluster;
    cluster.set_tables(1, 1, 0);
    cluster.add_pool(0, "web", 1, 1);
    cluster.add_slot(0, 0, 0, shm::SlotPhase::Occupied);
    shm::WorkerRecord record = cluster.add_worker(5, 0, 0);
    record.watchdog_timeout_ns = 5'000'000'000;
    record.spawned_monotonic_ns = 1;
    record.last_beat_monotonic_ns = monotonic_ns() - 100'000'000'000;
    cluster.segment().scoreboard().workers[5].store(record);
    const auto age = [&] { return cluster.look().pools.at(0).slots.at(0).watchdog_age_s; };
    EXPECT_GE(age().value(), 100);
    cluster.segment().lanes()[5].heartbeat_ns.store(
        static_cast<std::uint64_t>(monotonic_ns() - 40'000'000'000));
    EXPECT_GE(age().value(), 40);
    EXPECT_LT(age().value(), 100);
    cluster.segment().lanes()[5].heartbeat_ns.store(~std::uint64_t{0} >> 1U);
    EXPECT_GE(age().value(), 100) << "a beat from the future is none";
}

TEST(ClusterViewTest, BesideADeadMasterTheLivingAreCounted) {
    HandMadeCluster cluster;
    cluster.set_tables(1, 2, 0);
    cluster.add_pool(0, "web", 2, 2);
    cluster.add_slot(0, 0, 0, shm::SlotPhase::Occupied);
    cluster.add_slot(1, 0, 1, shm::SlotPhase::Occupied);
    cluster.add_worker(1, 0, 0);
    shm::WorkerRecord record = cluster.add_worker(2, 0, 1);
    record.start_ticks += 1;
    cluster.segment().scoreboard().workers[2].store(record);
    EXPECT_EQ(cluster.look().pools.at(0).slots.at(1).state, "serving")
        << "the living master will know in a moment";
    cluster.set_master(1, 1);
    const ClusterView view = cluster.look();
    EXPECT_EQ(view.master_state, "dead");
    EXPECT_EQ(view.pools.at(0).ready, 1U);
    EXPECT_EQ(view.pools.at(0).slots.at(0).state, "serving");
    EXPECT_EQ(view.pools.at(0).slots.at(1).state, "gone");
}

/// The mutex "stock".
shm::RobustMutex& stock_of(shm::Segment& segment) {
    const auto row = shm::find_or_make_mutex(segment.mutex_names(), segment.mutexes(), "stock", {});
    return segment.mutexes()[row.value()];
}

TEST(ClusterViewTest, CountersGaugesAndMutexesAreRead) {
    HandMadeCluster cluster;
    cluster.set_tables(1, 1, 0);
    cluster.add_pool(0, "web", 1, 1);
    cluster.add_slot(0, 0, 2, shm::SlotPhase::Occupied);
    cluster.add_worker(5, 0, 2);
    const shm::Owner master{.lane = 0, .generation = 1};
    shm::Segment& segment = cluster.segment();
    const auto nothing = [](std::uint32_t) {};
    const auto orders =
        segment.metric_names().find_or_add("orders", shm::NameKind::Counter, 0, master, nothing);
    const auto open =
        segment.metric_names().find_or_add("open", shm::NameKind::Gauge, 0, master, nothing);
    ASSERT_TRUE(orders && open);
    shm::RobustMutex& mutex = stock_of(segment);
    segment.metrics().cell(3, *orders).store(40);
    segment.metrics().cell(5, *orders).store(2);
    segment.metrics().cell(5, *open).store(static_cast<std::uint64_t>(-4));

    ClusterView view = cluster.look();
    ASSERT_EQ(view.counters.size(), 1U);
    EXPECT_EQ(view.counters[0].total, 42U);
    EXPECT_EQ(view.counters[0].lanes,
              (std::vector<std::pair<std::uint32_t, std::uint64_t>>{{3, 40}, {5, 2}}));
    ASSERT_EQ(view.gauges.size(), 1U);
    EXPECT_EQ(view.gauges[0].total, -4);
    ASSERT_EQ(view.mutexes.size(), 1U);
    EXPECT_EQ(view.mutexes[0].state, "free");

    ASSERT_EQ(mutex.lock({.lane = 5, .generation = 7}), shm::LockResult::Locked);
    view = cluster.look();
    EXPECT_EQ(view.mutexes[0].state, "held");
    EXPECT_EQ(view.mutexes[0].owner, "web/2");
    EXPECT_EQ(view.mutexes[0].pid, view.pools[0].slots[0].pid);
    EXPECT_NE(view.mutexes[0].pid, 0U);
    EXPECT_GE(view.mutexes[0].held_s, 0);
    EXPECT_LT(view.mutexes[0].held_s, 60);
    EXPECT_EQ(view.mutexes[0].waiting, 0U);
    mutex.unlock();
    EXPECT_EQ(cluster.look().mutexes[0].state, "free");
}

TEST(ClusterViewTest, AMutexThatIsRefusedSaysWhy) {
    HandMadeCluster cluster;
    shm::Segment& segment = cluster.segment();
    shm::RobustMutex& mutex = stock_of(segment);
    mutex.poison();
    EXPECT_EQ(cluster.look().mutexes.at(0).state, "poisoned");
    mutex.init();
    std::memset(static_cast<void*>(&mutex), 0xff, sizeof(pthread_mutex_t));
    EXPECT_EQ(mutex.try_lock({.lane = 5, .generation = 7}), shm::LockResult::Poisoned);
    EXPECT_EQ(cluster.look().mutexes.at(0).state, "overwritten");
}

TEST(ClusterViewTest, WhoWaitsForAMutexIsCountedAndADeadOwnerIsNobody) {
    HandMadeCluster cluster;
    shm::Segment& segment = cluster.segment();
    shm::RobustMutex& mutex = stock_of(segment);
    ASSERT_EQ(mutex.lock({.lane = 5, .generation = 7}), shm::LockResult::Locked);
    std::vector<std::thread> waiters;
    for (const std::uint32_t lane : {2U, 3U}) {
        waiters.emplace_back([&mutex, lane] {
            if (mutex.lock({.lane = lane, .generation = 1}) == shm::LockResult::Locked) {
                mutex.unlock();
            }
        });
    }
    while (!mutex.is_waited_for_by(2) || !mutex.is_waited_for_by(3)) {
        std::this_thread::yield();
    }
    const MutexLine line = cluster.look().mutexes.at(0);
    EXPECT_EQ(line.waiting, 2U);
    EXPECT_EQ(line.owner, "a dead worker");  // nobody of that lane is on the scoreboard
    EXPECT_EQ(line.pid, 0U);
    mutex.unlock();
    for (std::thread& waiter : waiters) {
        waiter.join();
    }
    EXPECT_EQ(cluster.look().mutexes.at(0).waiting, 0U);
}

TEST(ClusterViewTest, ListenersAreFoundByTheirSocket) {
    HandMadeCluster cluster;
    cluster.set_tables(0, 0, 1);
    shm::ListenerRecord record{};
    shm::put_text(record.name, "http");
    shm::put_text(record.address, "127.0.0.1:8080");
    record.backlog = 4'096;
    record.sockets = 1;
    cluster.segment().scoreboard().listeners[0].store(record);
    const ClusterView view = cluster.look();
    ASSERT_EQ(view.listeners.size(), 1U);
    EXPECT_EQ(view.listeners[0].accept, "shared");
    EXPECT_EQ(view.listeners[0].backlog, 4'096U);
}

TEST(ClusterViewTest, WhateverIsWrittenThereItIsReadAndShown) {
    // Everything behind the header: what any worker can scribble on.
    std::mt19937_64 random(7);
    for (int round = 0; round < 20; ++round) {
        HandMadeCluster cluster;
        const std::string name = shm::segment_name(cluster.name(), ::geteuid());
        {
            shm::Segment& segment = cluster.segment();
            const auto scribble = [&random](void* at, std::size_t size) {
                auto* bytes = static_cast<unsigned char*>(at);
                for (std::size_t i = 0; i < size; ++i) {
                    bytes[i] = static_cast<unsigned char>(random());
                }
            };
            scribble(&segment.scoreboard(), sizeof(shm::Scoreboard));
            scribble(segment.lanes().data(), segment.lanes().size_bytes());
            scribble(&segment.metric_names(), sizeof(shm::NameTable));
            scribble(&segment.mutex_names(), sizeof(shm::NameTable));
            scribble(segment.mutexes().data(), segment.mutexes().size_bytes());
            scribble(&segment.events(), sizeof(shm::EventRing));
        }
        const auto looked = shm::Segment::open_read_only(name);
        ASSERT_TRUE(looked) << looked.error().message;
        const ClusterView view = read_cluster(*looked);
        EXPECT_LE(view.pools.size(), shm::kMaxPools);
        boost::system::error_code error;
        (void)boost::json::parse(status_json(view), error);
        EXPECT_FALSE(error) << error.message();
        const std::string text = status_text(view, {.columns = 80, .color = false});
        EXPECT_EQ(text.find('\x1b'), std::string::npos);
    }
}

std::uint64_t start_ticks_of(std::uint32_t pid) {
    const auto info = posix::process_info(pid);
    EXPECT_TRUE(info);
    return info ? info->start_ticks : 0;
}

}  // namespace
}  // namespace topsman::control
