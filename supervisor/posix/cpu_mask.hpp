#pragma once

// `cpu_affinity` as the kernel takes it. It is made before the fork; the child only hands it over.

#include "config/model.hpp"

#include <cstdint>
#include <vector>

namespace topsman::posix {

/// A bit for each CPU (sched_setaffinity(2)); empty: nothing to change. With `auto` the CPUs that
/// this process may use are dealt out to the slots in turn, so a successor gets its current's.
[[nodiscard]] std::vector<unsigned long> cpu_mask(const config::CpuAffinity& affinity,
                                                  std::uint32_t slot);

/// The CPUs that this process may use, ascending (sched_getaffinity(2)).
[[nodiscard]] std::vector<std::uint32_t> usable_cpus();

}  // namespace topsman::posix
