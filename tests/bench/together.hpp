#pragma once

// Processes that work together, each a worker of a cluster that consists of nothing else.

#include "tests/unit/worker/herd.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace topsman {

/// Nanoseconds for one of `turns`, until all of `work` have ended; the i-th is in slot i. All
/// processes are there before the clock starts.
double measure(test::Herd& herd, std::uint64_t turns,
               const std::vector<std::function<int()>>& work);

double median(std::vector<double> values);

}  // namespace topsman
