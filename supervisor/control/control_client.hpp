#pragma once

// The commands' side of the control socket. Synchronous, with a deadline.

#include "shm/base/result.hpp"
#include "supervisor/control/control_server.hpp"

#include <chrono>
#include <functional>
#include <string>

namespace topsman::control {

/// Called about ten times a second while there is no answer, with the time since the question.
using Waiting = std::function<void(std::chrono::milliseconds)>;

/// POSTs `body` (JSON) to `target` ("/v1/reload") and returns the master's answer. Errors:
/// errc::connection_refused or no_such_file_or_directory (no master), errc::timed_out,
/// errc::permission_denied (names the socket's owner and mode), errc::connection_reset (the master
/// went away before it answered).
[[nodiscard]] Result<Response> post(const std::string& socket_path, const std::string& target,
                                    const std::string& body, std::chrono::milliseconds timeout,
                                    const Waiting& on_wait = {});

}  // namespace topsman::control
