#include "supervisor/posix/accept_queue.hpp"

#include "supervisor/posix/address.hpp"
#include "supervisor/posix/sock_diag.hpp"

#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace topsman::posix {
namespace {

bool is_connected(int fd) noexcept {
    pollfd entry{fd, POLLOUT, 0};
    return ::poll(&entry, 1, 0) == 1;
}

std::optional<std::uint32_t> tcp_queue(int listening_socket) noexcept {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(listening_socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
        return std::nullopt;
    }
    // Of a listening socket this is the accept queue (tcp_get_info() in the kernel's tcp.c).
    return info.tcpi_unacked;
}

}  // namespace

std::uint32_t waiting_connections(int listening_socket) {
    if (const auto waiting = tcp_queue(listening_socket)) {
        return *waiting;
    }

    struct stat status {};

    return ::fstat(listening_socket, &status) == 0 ? unix_queue(status.st_ino).waiting : 0;
}

bool is_surely_empty(int listening_socket) {
    return tcp_queue(listening_socket) == 0U;
}

Result<UniqueFd> nudge(int listening_socket) {
    const Result<Address> address = bound_address(listening_socket);
    if (!address) {
        return address.error();
    }
    UniqueFd fd(::socket(address->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) {
        return system_error("socket");
    }
    // Linux takes 0.0.0.0 and [::] for this machine's loopback address.
    if (::connect(fd.get(), address->get(), address->length) != 0 && errno != EINPROGRESS) {
        return system_error("connect to " + to_string(*address));
    }
    if (is_connected(fd.get())) {
        fd.reset();
    }
    return fd;
}

}  // namespace topsman::posix
