#pragma once

// What WorkerTable keeps of one process; its three files share it, nobody else includes it.

#include "supervisor/fd_watch.hpp"
#include "supervisor/freeze_watch.hpp"
#include "supervisor/listening_watch.hpp"
#include "supervisor/posix/notify_socket.hpp"
#include "supervisor/posix/output_pipe.hpp"
#include "supervisor/worker_table.hpp"

#include <boost/asio/steady_timer.hpp>

#include <optional>
#include <string>
#include <vector>

namespace topsman::supervisor {

// One started process and what belongs to it. The watches are declared last, so that they let go of
// the descriptors before these are closed.
struct WorkerTable::Process {
    WorkerFacts facts;
    core::SlotId slot;
    core::Generation generation;
    SpecPtr spec;
    UniqueFd wake;
    std::optional<posix::NotifySocket> notify;
    std::optional<posix::OutputPipe> output;
    std::vector<int> sockets;                  // the listeners' descriptors that it holds
    std::optional<posix::SpawnReport> report;  // after a failure until the exit
    std::optional<posix::SpawnFailure> failure;
    std::optional<posix::Child> child;
    int exit_asked = 0;
    std::optional<boost::asio::steady_timer> ask_again;
    std::optional<FdWatch> exit_watch;
    std::optional<FdWatch> report_watch;
    std::optional<FdWatch> notify_watch;
    std::optional<FdWatch> output_watch;
    std::optional<ListeningWatch> listening;  // until it is ready, or leaves
    std::optional<FreezeWatch> freeze;        // a spare that is being frozen

    /// "web/0"; "web/spare".
    [[nodiscard]] std::string name() const { return slot_name(spec->pool.name, slot.index); }
};

}  // namespace topsman::supervisor
