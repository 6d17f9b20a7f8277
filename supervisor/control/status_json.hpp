#pragma once

// A ClusterView as JSON, for programs. Fields are added, never renamed.

#include "supervisor/control/cluster_view.hpp"
#include "supervisor/control/json_writer.hpp"

#include <functional>
#include <string>
#include <vector>

namespace topsman::control {

[[nodiscard]] std::string status_json(const ClusterView& view);
[[nodiscard]] std::string counters_json(const ClusterView& view);  ///< its `counters` object
[[nodiscard]] std::string locks_json(const ClusterView& view);     ///< its `mutexes`
[[nodiscard]] std::string queues_json(const std::vector<QueueLine>& queues);  ///< its `queues`
/// One of them; `more`, if any, writes further members.
void write_queue(JsonWriter& w, const QueueLine& queue, const std::function<void()>& more);

}  // namespace topsman::control
