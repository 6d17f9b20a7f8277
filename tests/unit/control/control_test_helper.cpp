#include "tests/unit/control/control_test_helper.hpp"

#include "supervisor/control/control_socket.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/runtime_dir.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <thread>

namespace topsman::control {
namespace {

std::string unused_name() {
    static std::atomic<int> next{0};
    return "ctl" + std::to_string(::getpid()) + "-" + std::to_string(++next);
}

}  // namespace

Setting::Setting(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name); old != nullptr) {
        old_ = old;
    }
    (void)(value != nullptr ? ::setenv(name, value, 1) : ::unsetenv(name));
}

Setting::~Setting() {
    (void)(old_ ? ::setenv(name_, old_->c_str(), 1) : ::unsetenv(name_));
}

HandMadeCluster::HandMadeCluster(std::uint32_t lanes)
    : xdg_("XDG_RUNTIME_DIR", dir_.path().c_str()),
      runtime_("RUNTIME_DIRECTORY", nullptr),
      name_(unused_name()) {
    auto made = shm::Segment::create({.name = shm::segment_name(name_, ::geteuid()),
                                      .lanes = lanes,
                                      .mode = 0600,
                                      .blocks = {{{4'096, 3}}},
                                      .histograms = {"time"},
                                      .channels = {{"news", "web", {4, 8, 32}}}});
    EXPECT_TRUE(made) << made.error().message;
    segment_ = std::move(*made);
    (void)::mkdir((dir_.path() + "/topsman").c_str(), 0700);
    master_.state = shm::MasterState::Running;
    master_.started_monotonic_ns = monotonic_ns();
    shm::put_text(master_.cluster, name_);
    shm::put_text(master_.version, "0.1.0");
    shm::put_text(master_.config_file, file());
    set_master(static_cast<std::uint32_t>(::getpid()), own_start_ticks());
}

HandMadeCluster::~HandMadeCluster() {
    remove_segment();
}

void HandMadeCluster::remove_segment() {
    (void)shm::Segment::remove(shm::segment_name(name_, ::geteuid()));
    remove_record(dir_.path() + "/topsman", name_);
}

void HandMadeCluster::set_master(std::uint32_t pid, std::uint64_t start_ticks) {
    master_.pid = pid;
    master_.start_ticks = start_ticks;
    segment_->set_master(pid, start_ticks);
    segment_->scoreboard().master.store(master_);
    const auto written =
        write_record(dir_.path() + "/topsman", {.cluster = name_,
                                                .pid = pid,
                                                .start_ticks = start_ticks,
                                                .file = file(),
                                                .socket = socket(),
                                                .segment = shm::segment_name(name_, ::geteuid()),
                                                .directory = {}});
    EXPECT_TRUE(written);
}

void HandMadeCluster::set_tables(std::uint32_t pools, std::uint32_t slots,
                                 std::uint32_t listeners) {
    master_.pools = pools;
    master_.slots = slots;
    master_.listeners = listeners;
    segment_->scoreboard().master.store(master_);
}

void HandMadeCluster::add_pool(std::uint32_t index, const char* pool, std::uint32_t wanted,
                               std::uint32_t ready) {
    shm::PoolRecord record{};
    shm::put_text(record.name, pool);
    record.wanted = wanted;
    record.ready = ready;
    record.generation = 1;
    segment_->scoreboard().pools[index].store(record);
}

void HandMadeCluster::add_slot(std::uint32_t index, std::uint32_t pool, std::uint32_t slot,
                               shm::SlotPhase phase) {
    shm::SlotRecord record{};
    record.phase = phase;
    record.pool = pool;
    record.slot = slot;
    record.restarts = 3;
    shm::put_text(record.last_exit, "killed by SIGKILL");
    segment_->scoreboard().slots[index].store(record);
}

shm::WorkerRecord HandMadeCluster::add_worker(std::uint32_t lane, std::uint32_t pool,
                                              std::uint32_t slot) {
    shm::WorkerRecord record{};
    record.worker = 100 + lane;
    record.lane_generation = 7;
    record.pool = pool;
    record.slot = slot;
    record.role = shm::WorkerRole::Current;
    record.state = shm::WorkerState::Serving;
    record.pid = static_cast<std::uint32_t>(::getpid());
    record.start_ticks = own_start_ticks();
    record.generation = 1;
    record.spawned_monotonic_ns = monotonic_ns() - 2'000'000'000;
    segment_->scoreboard().workers[lane].store(record);
    segment_->lanes()[lane].word.store(
        shm::LaneWord{.phase = shm::LanePhase::Started, .generation = 7, .value = record.pid}
            .pack());
    return record;
}

void run_beside(boost::asio::io_context& io, const std::function<void()>& client) {
    auto work = boost::asio::make_work_guard(io);
    std::thread thread([&] {
        client();
        boost::asio::post(io, [&io] { io.stop(); });
    });
    io.restart();
    io.run_for(std::chrono::seconds(30));
    EXPECT_TRUE(io.stopped()) << "the client was not done in 30 s";
    thread.join();
}

RawClient::RawClient(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    const auto address = unix_address(path);
    const timeval limit{.tv_sec = 30, .tv_usec = 0};
    (void)::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address),
              0)
        << path;
}

void RawClient::send(std::string_view text) {
    // The server may have closed already: what it said first is what counts.
    (void)::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

std::string RawClient::read_all() {
    return read_until("");
}

std::string RawClient::read_until(const std::string& until) {
    std::string text;
    std::array<char, 4'096> chunk{};
    while (until.empty() || text.find(until) == std::string::npos) {
        const ssize_t n = ::recv(fd_.get(), chunk.data(), chunk.size(), 0);
        if (n <= 0) {
            break;
        }
        text.append(chunk.data(), static_cast<std::size_t>(n));
    }
    return text;
}

void RawClient::shut_down_sending() {
    (void)::shutdown(fd_.get(), SHUT_WR);
}

std::int64_t monotonic_ns() {
    timespec now{};
    (void)::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

std::uint64_t own_start_ticks() {
    const auto info = posix::process_info(static_cast<std::uint32_t>(::getpid()));
    EXPECT_TRUE(info);
    return info ? info->start_ticks : 0;
}

}  // namespace topsman::control
