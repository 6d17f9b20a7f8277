#include "worker/http/listen.hpp"

#include <cstring>
#include <memory>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace topsman::http {

namespace {

constexpr int kBacklog = 4096;  // the kernel lowers it to net.core.somaxconn (listen(2))

Result<UniqueFd> bind_and_listen(const std::string& name, int family, const sockaddr* address,
                                 socklen_t length, bool reuse_port) {
    UniqueFd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) {
        return system_error(name + ": socket");
    }
    const int on = 1;
    if (family != AF_UNIX) {
        (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    if (reuse_port && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
        return system_error(name + ": SO_REUSEPORT");
    }
    if (::bind(socket.get(), address, length) != 0) {
        return system_error(name + ": bind");
    }
    if (::listen(socket.get(), kBacklog) != 0) {
        return system_error(name + ": listen");
    }
    return socket;
}

Result<UniqueFd> listen_unix(const std::string& name, const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return plain_error(name + ": a path of 1 to 107 bytes is needed");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return bind_and_listen(name, AF_UNIX, reinterpret_cast<const sockaddr*>(&address),
                           sizeof address, false);
}

}  // namespace

Result<UniqueFd> listen_at(const std::string& address, bool reuse_port) {
    if (address.starts_with("unix:")) {
        return listen_unix(address, address.substr(5));
    }
    const auto colon = address.rfind(':');
    if (colon == std::string::npos) {
        return plain_error(address + ": expected host:port, [v6]:port or unix:/path");
    }
    std::string host = address.substr(0, colon);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
    }
    addrinfo hints = {};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const bool any = host.empty() || host == "*";
    if (const int rc = ::getaddrinfo(any ? nullptr : host.c_str(), address.c_str() + colon + 1,
                                     &hints, &found);
        rc != 0) {
        return plain_error(address + ": " + ::gai_strerror(rc));
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> keep(found, &::freeaddrinfo);
    return bind_and_listen(address, found->ai_family, found->ai_addr, found->ai_addrlen,
                           reuse_port);
}

}  // namespace topsman::http
