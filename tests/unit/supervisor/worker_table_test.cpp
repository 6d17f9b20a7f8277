#include "supervisor/worker_table.hpp"

#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>

#include <fcntl.h>
#include <filesystem>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::supervisor {
namespace {

namespace fs = std::filesystem;

class WorkerTableTest : public testing::Test {
  protected:
    WorkerTableTest() { fs::create_directory(dir_); }

    ~WorkerTableTest() override {
        (void)shm::Segment::remove(name_);
        fs::remove_all(dir_);
    }

    WorkerTable::Order order(std::uint64_t worker, std::vector<std::string> command) {
        auto spec = std::make_shared<Spec>();
        spec->pool.name = "web";
        spec->pool.exec.command = std::move(command);
        WorkerTable::Order order;
        order.worker = core::WorkerId{worker};
        order.generation = core::Generation{1};
        order.spec = std::move(spec);
        return order;
    }

    const std::string name_ = "topsman.unit-worker-table-" + std::to_string(::getpid());
    const fs::path dir_ = fs::temp_directory_path() / name_;
    boost::asio::io_context io_;
    shm::Segment segment_ = shm::Segment::create({.name = name_, .lanes = 4, .mode = 0600}).value();
    std::vector<posix::BoundListener> listeners_;
    Journal journal_{config::Log{}};
    std::vector<core::Event> events_;
    WorkerTable table_{{io_, segment_, listeners_, journal_, "unit", dir_ / "unit", -1},
                       [this](core::Event event) { events_.push_back(std::move(event)); }};
};

TEST_F(WorkerTableTest, WhoCouldNotBeStartedTakesNothingFromWhoGetsItsLane) {
    table_.spawn(order(1, {""}));
    ASSERT_EQ(events_.size(), 1U);
    EXPECT_EQ(std::get<core::Exited>(events_[0]).report.kind, core::ExitReport::Kind::SpawnFailed);
    table_.spawn(order(2, {"sleep", "1000"}));
    ASSERT_NE(table_.find(core::WorkerId{2}), nullptr);
    ASSERT_EQ(table_.find(core::WorkerId{1})->lane, table_.find(core::WorkerId{2})->lane);
    table_.bury(core::WorkerId{1});
    EXPECT_TRUE(fs::exists(dir_ / "unit.notify.1"));
    table_.signal(core::WorkerId{2}, core::SignalKind::Kill, config::Pool{});
    while (events_.size() < 3) {
        ASSERT_GT(io_.run_one(), 0U);
    }
    EXPECT_FALSE(fs::exists(dir_ / "unit.notify.1"));
}

// Between the look at its lane and the new socket nobody hears it.
TEST_F(WorkerTableTest, AnAdoptedWorkersReadyIsNotLostBetweenTheLookAndTheSocket) {
    const WorkerTable::Order first = order(1, {"sleep", "1000"});
    table_.spawn(first);
    const WorkerFacts& facts = *table_.find(core::WorkerId{1});
    std::vector<core::Event> heard;
    WorkerTable next({io_, segment_, listeners_, journal_, "unit", dir_ / "unit", -1},
                     [&heard](core::Event event) { heard.push_back(std::move(event)); });
    for (const bool was_seen : {false, true}) {
        Adoptee adoptee;
        adoptee.left.worker = core::WorkerId{1};
        adoptee.left.pool = "web";
        adoptee.left.said_ready = was_seen;
        adoptee.lane.lane = facts.lane;
        adoptee.lane.generation = facts.lane_generation;
        adoptee.lane.pid = facts.pid;
        adoptee.lane.start_ticks = facts.start_ticks;
        adoptee.child.emplace(posix::Child::open(facts.pid, facts.start_ticks).value());
        segment_.lanes()[facts.lane].flags.fetch_or(shm::kLaneReady);
        next.adopt(std::move(adoptee), first.spec);
        ASSERT_EQ(heard.size(), was_seen ? 0U : 1U);
        EXPECT_TRUE(was_seen || std::holds_alternative<core::BecameReady>(heard[0]));
        heard.clear();
        next.bury(core::WorkerId{1});
    }
    table_.signal(core::WorkerId{1}, core::SignalKind::Kill, config::Pool{});
    while (events_.empty() || !std::holds_alternative<core::Exited>(events_.back())) {
        ASSERT_GT(io_.run_one(), 0U);
    }
}

// Its loop, which handles the signal, does not run while it waits for a seat.
TEST_F(WorkerTableTest, ASpareThatIsToldToLeaveDoesNotBeginToWaitForASeat) {
    WorkerTable::Order spare = order(1, {"sleep", "1000"});
    spare.slot.index = kNoSlot;
    table_.spawn(spare);
    const shm::Lane& lane = segment_.lanes()[table_.find(core::WorkerId{1})->lane];
    ASSERT_EQ(lane.seat.load(), shm::kSeatHeld);
    table_.signal(core::WorkerId{1}, core::SignalKind::Terminate, config::Pool{});
    EXPECT_NE(lane.seat.load(), shm::kSeatHeld);
    table_.signal(core::WorkerId{1}, core::SignalKind::Kill, config::Pool{});
    while (events_.empty() || !std::holds_alternative<core::Exited>(events_.back())) {
        ASSERT_GT(io_.run_one(), 0U);
    }
}

/// The worker's end of its event descriptor: the one that the master writes to.
UniqueFd wake_of(std::uint32_t pid) {
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
        std::error_code gone;
        if (fs::read_symlink(entry, gone) == "anon_inode:[eventfd]") {
            const int number = std::stoi(entry.path().filename());
            return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
        }
    }
    return UniqueFd();
}

// Were it to wait, this test would never end.
TEST_F(WorkerTableTest, AWorkerThatFillsItsEventDescriptorDoesNotHoldUpWhoWakesIt) {
    table_.spawn(order(1, {"sleep", "1000"}));
    while (events_.empty()) {
        ASSERT_GT(io_.run_one(), 0U);
    }
    ASSERT_TRUE(std::holds_alternative<core::Spawned>(events_[0]));
    const WorkerFacts& facts = *table_.find(core::WorkerId{1});
    const UniqueFd wake = wake_of(facts.pid);
    ASSERT_TRUE(wake) << "pidfd_getfd";
    segment_.lanes()[facts.lane].flags.fetch_or(shm::kLaneAttached);

    // As the acceptor of the SDK waits: every wake-up is an edge.
    const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{EPOLLIN | EPOLLET, {}};
    ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event), 0);
    (void)::epoll_wait(epoll.get(), &event, 1, 0);
    table_.wake_acceptors();
    EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, 0), 1);

    ASSERT_EQ(::fcntl(wake.get(), F_SETFL, 0), 0) << "blocking, for the master too";
    const std::uint64_t rest = ~std::uint64_t{0} - 2;
    ASSERT_EQ(::write(wake.get(), &rest, sizeof rest), 8) << "not one more fits";
    table_.wake_acceptors();
    EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, 0), 1);

    table_.signal(core::WorkerId{1}, core::SignalKind::Kill, config::Pool{});
    while (events_.size() < 2) {
        ASSERT_GT(io_.run_one(), 0U);
    }
}

}  // namespace
}  // namespace topsman::supervisor
