#pragma once

// The file of a unix socket outlives its process: it has to be cleaned away, but never under the
// feet of a living one. Internal to the listeners.

#include "config/model.hpp"
#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"
#include "supervisor/posix/address.hpp"
#include "supervisor/posix/listener.hpp"

#include <cstdint>

namespace topsman::posix {

struct UnixSocket {
    UniqueFd fd;
    std::uint64_t path_inode = 0;
};

/// Binds and listens, with the mode and owner that `spec` asks for. What a dead process left at the
/// path is replaced; a living listener there, or a file that is no socket, is an error.
[[nodiscard]] Result<UnixSocket> bind_unix_socket(const config::Listener& spec,
                                                  const Address& address, const Owners& owners);

/// Is the path free, or what is there a dead process's? Changes nothing; the same errors.
[[nodiscard]] Result<void> try_unix_socket(const Address& address);

/// Gives an existing file the mode and owner that `spec` asks for, or those of a new one.
Result<void> set_socket_file(const config::Listener& spec, const Address& address,
                             const Owners& owners);

/// Removes the file if it is still the one that was made; 0 is none.
void remove_socket_file(const Address& address, std::uint64_t path_inode) noexcept;

}  // namespace topsman::posix
