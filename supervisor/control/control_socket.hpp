#pragma once

// The socket in the file system: a listening unix socket with a mode and a group, made so that it
// is never, not even for an instant, open to more than it says.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <cstdint>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>

namespace topsman::control {

/// Error: the path is empty or longer than the 107 bytes that sockaddr_un has (unix(7)).
[[nodiscard]] Result<sockaddr_un> unix_address(const std::string& path);

/// Non-blocking and close-on-exec. Replaces a socket that is there; anything else that is there is
/// an error.
[[nodiscard]] Result<UniqueFd> listen_unix(const std::string& path, std::uint32_t mode,
                                           const std::string& group);

}  // namespace topsman::control
