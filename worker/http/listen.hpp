#pragma once

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <string>

namespace topsman::http {

/// Binds and listens: "host:port", "[v6]:port", "unix:/path". Errors name the address.
[[nodiscard]] Result<UniqueFd> listen_at(const std::string& address, bool reuse_port);

}  // namespace topsman::http
