#pragma once

// What the master hands over to the program that is executed in its place: what it knows beyond the
// segment, and the numbers of the descriptors that stay open. It goes through a sealed memfd, so no
// worker can have written it; it is read with care all the same, because another version of topsman
// may have written it.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"
#include "supervisor/adoption.hpp"
#include "supervisor/core/inheritance.hpp"
#include "supervisor/posix/line_splitter.hpp"
#include "supervisor/posix/listener.hpp"
#include "supervisor/posix/program.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace topsman::supervisor {

/// One worker, beside what the core says of it.
struct HandedWorker {
    core::WorkerId worker;
    std::uint32_t pid = 0;
    std::uint64_t start_ticks = 0;
    std::uint32_t lane = 0;
    std::uint32_t lane_generation = 0;
    std::uint64_t fingerprint = 0;
    std::uint64_t output_inode = 0;
    std::uint32_t wake_number = 0;  ///< its own number of the event descriptor
    std::string status;
    std::optional<int> error_number;
    posix::LineSplitter::Rest output_rest;
    bool is_looked_at = false;  ///< until it is seen listening, or its probe succeeds
    int pidfd = -1;
    int notify = -1;  ///< -1: it cannot be heard
    int output = -1;
    int wake = -1;
    std::vector<int> sockets;  ///< of the listeners that it holds
    friend bool operator==(const HandedWorker&, const HandedWorker&) = default;
};

/// posix::BoundListener, its sockets as numbers.
struct HandedListener {
    config::Listener spec;
    std::string address;
    std::vector<int> sockets;
    std::uint64_t inode = 0;
    bool from_systemd = false;
    std::uint32_t nudges = 0;
    std::uint64_t path_inode = 0;
    std::uint32_t row = 0;
    bool in_force = true;
    bool gate_closed = false;
    friend bool operator==(const HandedListener&, const HandedListener&) = default;
};

/// A worker that leaves as the last one on a listener (Sendoff).
struct HandedLeaver {
    core::WorkerId worker;
    bool is_told = false;
    core::TimePoint since;
    core::TimePoint until;
    friend bool operator==(const HandedLeaver&, const HandedLeaver&) = default;
};

struct Handover {
    std::string version;  ///< of who wrote it
    posix::Program program;
    std::string directory;  ///< RUNTIME_DIRECTORY
    std::string config_file;
    std::string control_path;
    std::string generations;  ///< as kept in CLUSTER.generations
    std::string refused;      ///< why the file was refused since it was read last
    std::string manager;      ///< its address; empty: none
    std::int64_t manager_watchdog_us = 0;
    core::Inheritance left;  ///< without `legacy`, which is in `generations`
    std::vector<HandedWorker> workers;
    std::vector<HandedListener> listeners;
    std::vector<HandedLeaver> leavers;
    std::vector<LeftExit> exits;
    std::vector<std::string> stored;  ///< names in the manager's descriptor store
    std::vector<int> spare_sockets;   ///< a service manager's, that no listener uses
    std::vector<int> clients;         ///< of the control socket, that have asked nothing yet
    int lock = -1;
    int control = -1;
    int caller = -1;  ///< whoever waits to hear how it went; -1: nobody
    int watch = -1;   ///< inotify(7)'s of the saved file; -1: it is not watched
};

[[nodiscard]] std::string to_text(const Handover& handover);

/// The error is one sentence: whatever the bytes are.
[[nodiscard]] Result<Handover> parse_handover(std::string_view text);

/// Each descriptor there is; those that are -1 are left out.
void for_each_descriptor(Handover& handover, const std::function<void(int&)>& visit);
[[nodiscard]] std::vector<int> descriptors_of(const Handover& handover);

/// Descriptors as numbers, and numbers that belong to us from now on.
[[nodiscard]] std::vector<int> numbers_of(const std::vector<UniqueFd>& fds);
[[nodiscard]] std::vector<UniqueFd> owned(const std::vector<int>& fds);

}  // namespace topsman::supervisor
