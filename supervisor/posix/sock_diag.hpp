#pragma once

// Sockets as the kernel lists them, through sock_diag(7): works without privileges and without
// owning the socket.

#include "supervisor/posix/address.hpp"
#include "supervisor/posix/listener.hpp"

#include <cstdint>
#include <functional>

namespace topsman::posix {

struct ListeningSocket {
    std::uint64_t inode = 0;
    std::uint16_t port = 0;  ///< 0 for unix sockets
    QueueLength queue;
};

/// Every listening TCP and unix socket of this network namespace.
void for_each_listening_socket(const std::function<void(const ListeningSocket&)>& visit);

/// The queue of one unix socket; nothing waits in one that is not found.
[[nodiscard]] QueueLength unix_queue(std::uint64_t inode);

/// Connections to this TCP port whose handshake has begun and is not done.
[[nodiscard]] std::uint32_t handshakes(std::uint16_t port);

/// "nginx (pid 123)": who has a TCP socket listening on this port, as far as /proc lets us see.
/// Empty when nobody can be named.
[[nodiscard]] std::string listening_process(std::uint16_t port);

}  // namespace topsman::posix
