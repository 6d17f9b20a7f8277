#pragma once

// A listener's address as the kernel takes it, and back. Names are never looked up: a master that
// waits for a name server answers nobody else meanwhile.

#include "shm/base/result.hpp"

#include <cstdint>
#include <string>
#include <sys/socket.h>

namespace topsman::posix {

struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;

    [[nodiscard]] const sockaddr* get() const noexcept {
        return reinterpret_cast<const sockaddr*>(&storage);
    }

    [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }

    [[nodiscard]] int family() const noexcept { return storage.ss_family; }

    /// 0 for unix sockets.
    [[nodiscard]] std::uint16_t port() const noexcept;
    void set_port(std::uint16_t port) noexcept;

    friend bool operator==(const Address& a, const Address& b) noexcept;
};

/// `1.2.3.4:80`, `[::1]:80`, `[fe80::1%eth0]:80`, `localhost:80` (127.0.0.1), `unix:/path`.
[[nodiscard]] Result<Address> parse_address(const std::string& text);

/// In the same words: `[::]:80`, `unix:/run/a.sock`.
[[nodiscard]] std::string to_string(const Address& address);

/// Of a unix socket.
[[nodiscard]] std::string path_of(const Address& address);

/// What a socket is bound to.
[[nodiscard]] Result<Address> bound_address(int fd);

}  // namespace topsman::posix
