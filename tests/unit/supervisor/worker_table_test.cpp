#include "supervisor/worker_table.hpp"

#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>

#include <filesystem>
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
    WorkerTable table_{{io_, segment_, listeners_, journal_, "unit", dir_ / "notify", -1},
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
    EXPECT_TRUE(fs::exists(dir_ / "notify.1"));
    table_.signal(core::WorkerId{2}, core::SignalKind::Kill, config::Pool{});
    while (events_.size() < 3) {
        ASSERT_GT(io_.run_one(), 0U);
    }
    EXPECT_FALSE(fs::exists(dir_ / "notify.1"));
}

}  // namespace
}  // namespace topsman::supervisor
