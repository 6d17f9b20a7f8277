#pragma once

// The queue of a listening socket that is ours, and a connection of our own to it.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <cstdint>

namespace topsman::posix {

/// Connections that wait to be accepted, TCP or unix. 0 as well where the kernel does not say.
[[nodiscard]] std::uint32_t waiting_connections(int listening_socket);

/// Is it certain that nobody waits there? Of a unix socket it never is: the kernel takes longer to
/// say so than to wake somebody for nothing.
[[nodiscard]] bool is_surely_empty(int listening_socket);

/// A connection to it, of which nothing is sent: it wakes one of those that wait there. The
/// descriptor is open only if the connection is not made yet: close it later, a connection that is
/// broken off before it is in the queue wakes nobody. Never blocks.
[[nodiscard]] Result<UniqueFd> nudge(int listening_socket);

}  // namespace topsman::posix
