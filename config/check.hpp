#pragma once

// The `check` command: says everything that is wrong or odd in a file, or what the file means.

#include "config/load.hpp"

#include <iosfwd>
#include <string>

namespace topsman::config {

/// Prints problems and warnings to `err`, the summary (with `json`: everything) to `out`. The exit
/// status: 0 for a good file, with or without warnings, else 78 (EX_CONFIG of sysexits.h).
int check_command(const std::string& file, bool json, std::ostream& out, std::ostream& err,
                  const Environment& environment = Environment::of_this_process());

/// "cluster shop, 1 pool, 4 workers, 1 listener, 1 counter, 1 mutex"
[[nodiscard]] std::string summary(const Config& config);

}  // namespace topsman::config
