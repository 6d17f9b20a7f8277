#pragma once

// What `misbehaving_worker` does, for the simulated world: the same command line is read as what
// the process does there, and how long it takes.

#include "shm/base/result.hpp"
#include "tests/sim/fault_plan.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace topsman::sim {

/// How the `incarnation`th process (from 0) of a slot behaves that executes this command. An error:
/// a word of it is not known here.
[[nodiscard]] Result<Behaviour> behaviour_of(const std::vector<std::string>& command,
                                             std::size_t incarnation, Duration watchdog);

}  // namespace topsman::sim
