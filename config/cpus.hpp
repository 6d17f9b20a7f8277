#pragma once

// How many CPUs this process may use: what `workers: auto` becomes; and which there are.

#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace topsman::config {

/// The CPUs of the affinity mask, or fewer where a cgroup's quota (v1 or v2, of any level above
/// us) allows fewer; a quota is rounded up, and there is always one.
[[nodiscard]] std::uint32_t allowed_cpus();

/// The CPUs that the machine has switched on; nullopt: the kernel does not say.
[[nodiscard]] std::optional<std::set<std::uint32_t>> online_cpus(const std::string& root);

/// The quota alone, from the files below `root` ("" on a real machine); nullopt: no limit.
[[nodiscard]] std::optional<std::uint32_t> cgroup_cpus(const std::string& root);

}  // namespace topsman::config
