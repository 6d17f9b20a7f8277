#pragma once

// A ClusterView as JSON, for programs. Fields are added, never renamed.

#include "supervisor/control/cluster_view.hpp"

#include <string>

namespace topsman::control {

[[nodiscard]] std::string status_json(const ClusterView& view);
[[nodiscard]] std::string counters_json(const ClusterView& view);  ///< its `counters` object

}  // namespace topsman::control
