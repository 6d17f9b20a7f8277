#pragma once

// A listener that goes away lets nobody new in while those who wait in its queue are still taken:
// a connection that the kernel has made is lost if nobody accepts it. Clients find a closed gate as
// a packet that was lost: they try again, and are refused when the socket is closed, or served when
// the gate is opened again.

#include "shm/base/result.hpp"
#include "supervisor/posix/listener.hpp"

#include <cstdint>

namespace topsman::posix {

/// TCP: connection requests are dropped by a socket filter (SO_ATTACH_FILTER). A unix socket's file
/// is renamed to PATH.leaving. Not for systemd's sockets.
Result<void> close_gate(BoundListener& listener);

/// Does nothing where it is open; undoes what a dead master did.
void open_gate(BoundListener& listener);

/// The listener is closed: removes what close_gate() has left.
void remove_gate(const BoundListener& listener) noexcept;

struct Behind {
    std::uint32_t waiting = 0;   ///< to be accepted
    std::uint32_t arriving = 0;  ///< in their handshake, of this port
};

[[nodiscard]] Behind behind_gate(const BoundListener& listener);

}  // namespace topsman::posix
