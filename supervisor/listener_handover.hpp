#pragma once

// The listening sockets on their way from one program to the next in the master's place.

#include "supervisor/handover.hpp"
#include "supervisor/listener_set.hpp"

namespace topsman::supervisor {

[[nodiscard]] std::vector<HandedListener> handed_listeners(const ListenerSet& listeners);

/// What was handed over, and the sockets with it: to be called once.
[[nodiscard]] ListenerSet resumed_listeners(const Handover& handover, posix::Owners owners);

}  // namespace topsman::supervisor
