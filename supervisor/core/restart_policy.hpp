#pragma once

// What a death means, in systemd's words (systemd.service(5), Restart=). It does not know about
// waiting times, slots or rollouts.

#include "supervisor/core/types.hpp"

namespace topsman::core {

struct Death {
    bool clean = false;  ///< code 0, or SIGHUP, SIGINT, SIGTERM, SIGPIPE, and we did not force it
    bool abnormal = false;       ///< signal, watchdog, time-out, a system without resources
    bool misconfigured = false;  ///< code 78: trying again is of no use
};

/// `forced`: a deadline or the watchdog ended it.
[[nodiscard]] Death classify(const ExitReport& report, bool forced);

[[nodiscard]] bool wants_restart(config::RestartPolicy policy, const Death& death);

/// "always", "on-failure", ...: as in the file.
[[nodiscard]] const char* name_of(config::RestartPolicy policy);

}  // namespace topsman::core
