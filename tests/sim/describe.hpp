#pragma once

// One line of text for an event or an action: the trace of a run that broke a property.

#include "supervisor/core/action.hpp"
#include "supervisor/core/event.hpp"

#include <string>

namespace topsman::sim {

/// "worker.ready": as the master's events are called.
[[nodiscard]] std::string name_of(core::Notice notice);
/// "rolled_back"
[[nodiscard]] std::string name_of(core::Reply::Result result);

[[nodiscard]] std::string describe(const core::Event& event);
[[nodiscard]] std::string describe(const core::Action& action);

}  // namespace topsman::sim
