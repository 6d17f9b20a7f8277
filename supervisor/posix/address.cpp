#include "supervisor/posix/address.hpp"

#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <optional>
#include <string_view>
#include <sys/un.h>

namespace topsman::posix {
namespace {

template <class Sockaddr>
const Sockaddr& as(const Address& address) noexcept {
    return *reinterpret_cast<const Sockaddr*>(&address.storage);
}

template <class Sockaddr>
Sockaddr& as(Address& address) noexcept {
    return *reinterpret_cast<Sockaddr*>(&address.storage);
}

Result<Address> parse_unix(const std::string& path) {
    Address address;
    auto& un = as<sockaddr_un>(address);
    if (path.empty() || path.front() != '/') {
        return plain_error("unix:" + path + ": the path must be absolute");
    }
    if (path.size() >= sizeof un.sun_path) {
        return plain_error("unix:" + path + ": the path is longer than " +
                           std::to_string(sizeof un.sun_path - 1) +
                           " characters, which is all that unix(7) allows");
    }
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
    address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    return address;
}

Result<Address> parse_v6(const std::string& host, const std::string& text) {
    addrinfo hints{};
    hints.ai_family = AF_INET6;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;  // no look-up of any kind
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), "0", &hints, &found) != 0) {
        return plain_error(text + ": [" + host + "] is not an IPv6 address");
    }
    Address address;
    std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
    address.length = found->ai_addrlen;
    ::freeaddrinfo(found);
    return address;
}

Result<Address> parse_v4(const std::string& host, const std::string& text) {
    Address address;
    auto& in = as<sockaddr_in>(address);
    in.sin_family = AF_INET;
    address.length = sizeof in;
    if (host == "localhost") {
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (::inet_pton(AF_INET, host.c_str(), &in.sin_addr) != 1) {
        return plain_error(text + ": '" + host +
                           "' is not a numeric address; write 0.0.0.0, [::], localhost or an "
                           "address of this machine");
    }
    return address;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return port;
}

std::string v6_to_string(const sockaddr_in6& in6) {
    std::array<char, INET6_ADDRSTRLEN> host{};
    (void)::inet_ntop(AF_INET6, &in6.sin6_addr, host.data(), host.size());
    std::string text = std::string("[") + host.data();
    if (in6.sin6_scope_id != 0) {
        std::array<char, IF_NAMESIZE> name{};
        text += '%';
        text += ::if_indextoname(in6.sin6_scope_id, name.data()) != nullptr
                    ? std::string(name.data())
                    : std::to_string(in6.sin6_scope_id);
    }
    return text + "]:" + std::to_string(ntohs(in6.sin6_port));
}

std::string unix_to_string(const Address& address) {
    const auto& un = as<sockaddr_un>(address);
    const std::size_t room = address.length - offsetof(sockaddr_un, sun_path);
    return "unix:" + std::string(un.sun_path, ::strnlen(un.sun_path, room));
}

}  // namespace

std::uint16_t Address::port() const noexcept {
    switch (family()) {
        case AF_INET:
            return ntohs(as<sockaddr_in>(*this).sin_port);
        case AF_INET6:
            return ntohs(as<sockaddr_in6>(*this).sin6_port);
        default:
            return 0;
    }
}

void Address::set_port(std::uint16_t port) noexcept {
    if (family() == AF_INET) {
        as<sockaddr_in>(*this).sin_port = htons(port);
    } else if (family() == AF_INET6) {
        as<sockaddr_in6>(*this).sin6_port = htons(port);
    }
}

bool operator==(const Address& a, const Address& b) noexcept {
    // By their words: the kernel fills fields that are of no meaning here (flow labels, padding).
    return a.family() == b.family() && to_string(a) == to_string(b);
}

Result<Address> parse_address(const std::string& text) {
    if (text.starts_with("unix:")) {
        return parse_unix(text.substr(5));
    }
    const auto colon = text.rfind(':');
    const auto port = colon == std::string::npos
                          ? std::nullopt
                          : parse_port(std::string_view(text).substr(colon + 1));
    if (!port) {
        return plain_error(text + ": write HOST:PORT, [V6]:PORT or unix:/path");
    }
    const std::string host = text.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    auto address =
        bracketed ? parse_v6(host.substr(1, host.size() - 2), text) : parse_v4(host, text);
    if (address) {
        address->set_port(*port);
    }
    return address;
}

std::string to_string(const Address& address) {
    switch (address.family()) {
        case AF_INET: {
            std::array<char, INET_ADDRSTRLEN> host{};
            (void)::inet_ntop(AF_INET, &as<sockaddr_in>(address).sin_addr, host.data(),
                              host.size());
            return std::string(host.data()) + ":" + std::to_string(address.port());
        }
        case AF_INET6:
            return v6_to_string(as<sockaddr_in6>(address));
        case AF_UNIX:
            return unix_to_string(address);
        default:
            return "family " + std::to_string(address.family());
    }
}

std::string path_of(const Address& address) {
    return to_string(address).substr(std::string("unix:").size());
}

Result<Address> bound_address(int fd) {
    Address address;
    address.length = sizeof address.storage;
    if (::getsockname(fd, address.get(), &address.length) != 0) {
        return system_error("getsockname");
    }
    return address;
}

}  // namespace topsman::posix
