#pragma once

#include "supervisor/control/commands.hpp"

namespace topsman::control {

/// `status --watch`: on a terminal it takes the screen until q or Ctrl-C and leaves it as it was;
/// in a pipe it prints one block (with --json one line) per interval.
int watch_status(const Target& target, const Output& output, const StatusOptions& options);

}  // namespace topsman::control
