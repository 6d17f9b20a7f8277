#pragma once

// Signals are data: blocked for the whole life of the master and read from a descriptor. There is
// no signal handler in topsman, but for a program that has not yet taken over (execution.hpp).

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace topsman::posix {

struct ReceivedSignal {
    int number = 0;
    bool from_process = false;  ///< by kill(2) and its kin; false: by the kernel or the terminal
    pid_t sender = 0;
};

/// Blocks what the master listens to (HUP TERM QUIT INT USR1 USR2 WINCH TTIN TTOU CHLD), ignores
/// SIGPIPE, and gives the descriptor (signalfd(2), non-blocking, close-on-exec) to read them from.
/// Call it before the first thread is started: threads inherit the mask.
[[nodiscard]] Result<UniqueFd> open_signal_fd();

/// Blocks these alone, whatever else was blocked: after an exec that had to block all of them.
void block_only_listened() noexcept;

/// The next signal, or nullopt when there is none. Never blocks.
[[nodiscard]] std::optional<ReceivedSignal> read_signal(const UniqueFd& fd);

/// signal_name(6) == "SIGABRT", "SIGRTMIN+3", "signal 77" for what has no name.
[[nodiscard]] std::string signal_name(int number);

/// Accepts "SIGTERM", "TERM", "sigterm" and "15".
[[nodiscard]] std::optional<int> signal_number(std::string_view name);

}  // namespace topsman::posix
