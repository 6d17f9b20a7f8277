#pragma once

// The syntax of a listener's address: `host:port`, `[v6]:port`, `unix:/path`. Hosts are numbers or
// `localhost`: a master that asks a name server would wait for it.

#include "shm/base/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace topsman::config {

struct Address {
    enum class Kind : std::uint8_t { V4, V6, Unix };
    Kind kind = Kind::V4;
    std::string host;  ///< a numeric address in its shortest form: 127.0.0.1, ::1
    std::uint16_t port = 0;
    std::string path;  ///< of a unix socket, as written

    /// The form that two equal addresses share.
    [[nodiscard]] std::string text() const;
};

[[nodiscard]] Result<Address> parse_address(std::string_view text);

}  // namespace topsman::config
