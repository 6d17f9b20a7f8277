#pragma once

// A program that was executed in the place of the master before it: from what that one handed over
// to a running master.

#include "shm/base/result.hpp"
#include "supervisor/handover.hpp"
#include "supervisor/kept_generations.hpp"
#include "supervisor/posix/execution.hpp"

namespace topsman::supervisor {

/// What was handed over, and what it was configured by.
struct ReadHandover {
    Handover handover;
    KeptGenerations kept;
    posix::Owners owners;  ///< of the unix sockets that it may have to bind
};

/// Could this program go on with it? Changes nothing. Blocks on the user database.
[[nodiscard]] Result<ReadHandover> examine_handover(int state);

/// Goes on with it until the cluster's end; the exit code is that of run_master(). What goes wrong
/// before it has taken over executes the old program again.
int resume_master(const posix::Passed& passed, char** words);

}  // namespace topsman::supervisor
