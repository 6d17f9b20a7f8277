#pragma once

// A cluster made by hand: a segment, a record and, where a test wants one, a control server that
// answers as it is told. No master, no workers, no ports.

#include "shm/base/unique_fd.hpp"
#include "shm/segment.hpp"
#include "supervisor/control/cluster_view.hpp"
#include "supervisor/control/commands.hpp"
#include "supervisor/control/control_server.hpp"
#include "tests/unit/temp_dir.hpp"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <optional>
#include <sstream>
#include <string>

namespace topsman::control {

using test::TempDir;

/// Sets an environment variable while it lives; nullptr unsets it.
class Setting {
  public:
    Setting(const char* name, const char* value);
    ~Setting();
    Setting(const Setting&) = delete;
    Setting& operator=(const Setting&) = delete;

  private:
    const char* name_;
    std::optional<std::string> old_;
};

class HandMadeCluster {
  public:
    explicit HandMadeCluster(std::uint32_t lanes = 16);
    ~HandMadeCluster();
    HandMadeCluster(const HandMadeCluster&) = delete;
    HandMadeCluster& operator=(const HandMadeCluster&) = delete;

    [[nodiscard]] shm::Segment& segment() { return *segment_; }

    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    [[nodiscard]] std::string socket() const { return dir_.path() + "/" + name_ + ".sock"; }

    [[nodiscard]] std::string file() const { return dir_.path() + "/shop.yaml"; }

    [[nodiscard]] Target target() const { return {.name = name_, .file = {}}; }

    [[nodiscard]] ClusterView look() const { return read_cluster(*segment_); }

    /// The master's record: this process by default.
    void set_master(std::uint32_t pid, std::uint64_t start_ticks);
    void set_tables(std::uint32_t pools, std::uint32_t slots, std::uint32_t listeners);
    void add_pool(std::uint32_t index, const char* pool, std::uint32_t wanted, std::uint32_t ready);
    void add_slot(std::uint32_t index, std::uint32_t pool, std::uint32_t slot,
                  shm::SlotPhase phase);
    /// A serving worker: this process, in that lane, in generation 7 of it.
    shm::WorkerRecord add_worker(std::uint32_t lane, std::uint32_t pool, std::uint32_t slot);
    void remove_segment();

  private:
    TempDir dir_;
    Setting xdg_;
    Setting runtime_;
    std::string name_;
    std::optional<shm::Segment> segment_;
    shm::MasterRecord master_{};
};

/// A command's two streams, as texts.
struct Printed {
    std::ostringstream out;
    std::ostringstream err;

    [[nodiscard]] Output plain() {
        return {.out = out,
                .err = err,
                .json = false,
                .color = false,
                .columns = 0,
                .show_waiting = false};
    }

    [[nodiscard]] Output json() {
        return {.out = out,
                .err = err,
                .json = true,
                .color = false,
                .columns = 0,
                .show_waiting = false};
    }
};

/// Runs `client` in a thread while this thread runs the loop; returns when the client is done.
void run_beside(boost::asio::io_context& io, const std::function<void()>& client);

/// A client that writes what it likes and reads until the other side closes, or `until` was read.
class RawClient {
  public:
    explicit RawClient(const std::string& path);
    void send(std::string_view text);
    [[nodiscard]] std::string read_all();
    [[nodiscard]] std::string read_until(const std::string& until);
    void shut_down_sending();

    void close() { fd_.reset(); }

  private:
    UniqueFd fd_;
};

[[nodiscard]] std::int64_t monotonic_ns();
[[nodiscard]] std::uint64_t own_start_ticks();

}  // namespace topsman::control
