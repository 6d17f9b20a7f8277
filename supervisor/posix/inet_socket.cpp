#include "supervisor/posix/inet_socket.hpp"

#include "supervisor/posix/sock_diag.hpp"

#include <cerrno>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>

namespace topsman::posix {
namespace {

std::string hint_for(int number, const Address& address) {
    switch (number) {
        case EACCES:
            return address.port() != 0 && address.port() < 1'024
                       ? " (needs CAP_NET_BIND_SERVICE or a port above 1023)"
                       : "";
        case EADDRINUSE: {
            const std::string holder = listening_process(address.port());
            return holder.empty() ? "" : ": in use by " + holder;
        }
        case EADDRNOTAVAIL:
            return " (no interface of this machine has it)";
        case EAFNOSUPPORT:
            return address.family() == AF_INET6 ? " (IPv6 is off on this machine)" : "";
        default:
            return "";
    }
}

Error refusal(const std::string& what, const Address& address, int number) {
    Error error = system_error(what + " " + to_string(address), number);
    error.message += hint_for(number, address);
    return error;
}

void switch_on(int fd, int level, int option) noexcept {
    const int one = 1;
    // The options here are of every Linux that has pidfds; a refusal shows at bind.
    (void)::setsockopt(fd, level, option, &one, sizeof one);
}

void share_port(int fd, bool on) noexcept {
    const int value = on ? 1 : 0;
    (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &value, sizeof value);
}

/// While it lives, those of our own sockets that are in the way of a new one let it in: in Linux
/// two sockets listen at one port, one at an address of its own and one at all of them, only if
/// both have SO_REUSEPORT (inet_csk_bind_conflict() looks at it anew at each bind and listen).
/// After that another program of the same user may bind there if it sets the option, too: the port
/// remembers it.
class Room {
  public:
    Room(const Address& address, const std::vector<BoundListener>& bound) {
        for (const BoundListener& other : bound) {
            for (const UniqueFd& fd : other.sockets) {
                const auto at = bound_address(fd.get());
                if (!at || at->family() != address.family() || at->port() == 0 ||
                    at->port() != address.port()) {
                    continue;
                }
                is_needed_ = true;
                if (other.spec.accept == config::Accept::Shared) {
                    share_port(fd.get(), true);
                    sockets_.push_back(fd.get());
                }
            }
        }
    }

    ~Room() {
        for (const int fd : sockets_) {
            share_port(fd, false);
        }
    }

    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;

    /// The new one needs the option, too.
    [[nodiscard]] bool is_needed() const { return is_needed_; }

  private:
    std::vector<int> sockets_;
    bool is_needed_ = false;
};

}  // namespace

Result<UniqueFd> bind_inet(const config::Listener& spec, const Address& address,
                           const std::vector<BoundListener>& bound, Use use) {
    const Room room(address, bound);
    UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) {
        return refusal("socket for", address, errno);
    }
    switch_on(fd.get(), SOL_SOCKET, SO_REUSEADDR);
    if (address.family() == AF_INET6) {
        switch_on(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
    }
    const bool is_group = spec.accept == config::Accept::ReusePort;
    share_port(fd.get(), is_group || room.is_needed());
    if (::bind(fd.get(), address.get(), address.length) != 0) {
        return refusal("bind", address, errno);
    }
    // Two sockets may be bound to one address with SO_REUSEADDR: then this is what refuses.
    if (use == Use::Listen && ::listen(fd.get(), static_cast<int>(spec.backlog)) != 0) {
        return refusal("listen on", address, errno);
    }
    share_port(fd.get(), is_group);
    return fd;
}

}  // namespace topsman::posix
