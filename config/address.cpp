#include "config/address.hpp"

#include "config/limits.hpp"
#include "config/names.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <net/if.h>
#include <netinet/in.h>
#include <optional>

namespace topsman::config {
namespace {

constexpr const char* kForms = "write \"host:port\", \"[v6]:port\" or \"unix:/path\"";

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return port;
}

/// The shortest form of a numeric address; nullopt if it is none.
std::optional<std::string> canonical(int family, const std::string& host) {
    std::array<unsigned char, sizeof(in6_addr)> bytes{};
    std::array<char, INET6_ADDRSTRLEN> buffer{};
    if (::inet_pton(family, host.c_str(), bytes.data()) != 1 ||
        ::inet_ntop(family, bytes.data(), buffer.data(), buffer.size()) == nullptr) {
        return std::nullopt;
    }
    return std::string(buffer.data());
}

/// "%eth0" behind a link-local address, or nothing. Whether there is such a device shows when the
/// socket is bound: it may come later than this file.
bool is_scope(std::string_view text) {
    return text.empty() || (text.size() > 1 && text.size() <= IF_NAMESIZE &&
                            text.find_first_of(" /%:\n", 1) == std::string_view::npos);
}

Result<Address> parse_unix(std::string_view text) {
    const std::string_view path = text.substr(5);
    if (path.empty() || path[0] == '@' || path.ends_with('/')) {
        return plain_error("\"" + shown(text) + "\" names no file: write \"unix:/path\"");
    }
    if (path.size() > kMaxUnixPath) {
        return plain_error("the path of a unix socket has at most " + std::to_string(kMaxUnixPath) +
                           " bytes, this one has " + std::to_string(path.size()));
    }
    Address address;
    address.kind = Address::Kind::Unix;
    address.path = path;
    return address;
}

}  // namespace

std::string Address::text() const {
    switch (kind) {
        case Kind::V4:
            return host + ":" + std::to_string(port);
        case Kind::V6:
            return "[" + host + "]:" + std::to_string(port);
        case Kind::Unix:
            return "unix:" + path;
    }
    return "";
}

Result<Address> parse_address(std::string_view text) {
    if (text.starts_with("unix:")) {
        return parse_unix(text);
    }
    const std::string as_given = "\"" + shown(text) + "\"";
    if (text.starts_with("/") || text.starts_with("./")) {
        return plain_error(as_given + " is no address: write \"unix:" + shown(text) + "\"");
    }
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        const bool is_port = parse_port(text).has_value();
        return plain_error(as_given +
                           (is_port ? " is a port only: write \"0.0.0.0:" + std::string(text) + "\""
                                    : std::string(" has no port: ") + kForms));
    }
    std::string host(text.substr(0, colon));
    const auto port = parse_port(text.substr(colon + 1));
    if (!port) {
        return plain_error(as_given +
                           " has no port from 0 to 65535 after its last colon: " + kForms);
    }
    Address address;
    address.port = *port;
    if (host.starts_with("[") && host.ends_with("]")) {
        address.kind = Address::Kind::V6;
        const std::string inner = host.substr(1, host.size() - 2);
        const std::size_t percent = std::min(inner.find('%'), inner.size());
        const std::string scope = inner.substr(percent);
        const auto number = canonical(AF_INET6, inner.substr(0, percent));
        if (!number || !is_scope(scope)) {
            return plain_error(as_given + " has no IPv6 address between [ and ]: write \"[::]:" +
                               std::to_string(*port) + "\" for all");
        }
        address.host = *number + scope;
        return address;
    }
    if (canonical(AF_INET6, host) || std::count(host.begin(), host.end(), ':') > 0) {
        return plain_error(as_given + " is ambiguous: write IPv6 addresses in brackets, \"[::1]:" +
                           std::to_string(*port) + "\"");
    }
    if (host == "localhost") {
        host = "127.0.0.1";
    }
    const auto number = canonical(AF_INET, host);
    if (!number) {
        return plain_error(as_given + (host.empty() || host == "*"
                                           ? " has no host: write \"0.0.0.0:" +
                                                 std::to_string(*port) + "\" for all addresses"
                                           : " has no numeric host: names are not looked up, "
                                             "write an address like \"127.0.0.1:" +
                                                 std::to_string(*port) + "\""));
    }
    address.host = *number;
    return address;
}

}  // namespace topsman::config
