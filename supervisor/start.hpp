#pragma once

// `topsman run`: from a file name to a running master, and its end.

#include <string>

namespace topsman::supervisor {

struct RunOptions {
    std::string file;
    bool take_over = false;   ///< end a dead master's living workers first, by their stop signal
    bool unattended = false;  ///< end those that cannot be adopted: nobody is there to say so
};

/// Runs the master in the foreground. Returns its exit code: 0 asked to stop, 1 system error or
/// already running, 78 configuration.
int run_master(const RunOptions& options);

}  // namespace topsman::supervisor
