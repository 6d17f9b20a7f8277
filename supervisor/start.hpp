#pragma once

// `topsman run`: from a file name to a running master, and its end.

#include "supervisor/posix/program.hpp"
#include "supervisor/runtime_dir.hpp"

#include <string>

namespace topsman {
class Journal;
}

namespace topsman::supervisor {

class Master;
struct Foundation;

struct RunOptions {
    std::string file;
    bool take_over = false;   ///< end a dead master's living workers first, by their stop signal
    posix::Program program;   ///< this one, for an upgrade
    bool unattended = false;  ///< end those that cannot be adopted: nobody is there to say so
};

/// Runs the master in the foreground. Returns its exit code: 0 asked to stop, 1 system error or
/// already running, 78 configuration.
int run_master(const RunOptions& options);

/// What is written in CLUSTER.json.
[[nodiscard]] ClusterRecord own_record(const Foundation& foundation);

/// An open master, until its end; leaves nothing behind. Returns its exit code.
int run_to_end(Master& master, const ClusterRecord& record, Journal& journal);

}  // namespace topsman::supervisor
