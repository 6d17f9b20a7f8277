#pragma once

// What `misbehaving_worker` does, for the simulated world: the same command line is read as what
// the process does there, and how long it takes.

#include "shm/base/result.hpp"
#include "tests/sim/fault_plan.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace topsman::sim {

/// Which of a slot's processes with the same command it is, from 0 on.
struct Incarnation {
    std::uint32_t slot = 0;
    std::size_t number = 0;
};

/// How it behaves when it executes this command. An error: a word of it is not known here.
[[nodiscard]] Result<Behaviour> behaviour_of(const std::vector<std::string>& command,
                                             const Incarnation& incarnation, Duration watchdog);

/// The same worker, ready when its probe, another such command, has succeeded. `runs`: how many of
/// these there were in its slot.
[[nodiscard]] Result<Behaviour> probed(Behaviour worker, const std::vector<std::string>& command,
                                       std::uint32_t slot, std::size_t& runs);

}  // namespace topsman::sim
