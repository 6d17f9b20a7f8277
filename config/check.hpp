#pragma once

// The `check` command: says everything that is wrong or odd in a file, or what the file means.

#include "config/load.hpp"

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

namespace topsman::config {

/// The shared segment that a configuration asks for, told by who makes it.
struct SegmentSize {
    std::uint64_t bytes = 0;
    std::vector<std::pair<std::string, std::uint64_t>> made_of;
    std::string text;     ///< one line of it
    std::string problem;  ///< why it cannot be made here; empty when it can
};

/// Prints problems and warnings to `err`, the summary (with `json`: everything) to `out`. The exit
/// status: 0 for a good file, with or without warnings, else 78 (EX_CONFIG of sysexits.h).
int check_command(const std::string& file, bool json, std::ostream& out, std::ostream& err,
                  const Environment& environment = Environment::of_this_process(),
                  const std::function<SegmentSize(const Config&)>& segment_size = nullptr);

/// "cluster shop, 1 pool, 4 workers, 1 listener, 1 counter, 1 mutex"
[[nodiscard]] std::string summary(const Config& config);

}  // namespace topsman::config
