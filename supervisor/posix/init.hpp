#pragma once

#include <functional>

namespace topsman::posix {

/// The duty of a container's PID 1: starts the master as a child, forwards signals to it, reaps
/// what is orphaned, starts the master again when it dies by a signal (after a pause that grows
/// while it keeps dying young), and ends with its exit status otherwise; with 128 + signal when it
/// was killed after it had been asked to stop. A container ends with its PID 1, so the master's
/// death could not be survived if it were PID 1 itself.
///
/// `master(again)` runs in the child, in a session of its own and with all forwarded signals still
/// blocked, so that one sent early waits until the master listens; `again`: one before it has died.
int run_as_init(const std::function<int(bool again)>& master);

}  // namespace topsman::posix
