#include "supervisor/posix/gate.hpp"

#include "supervisor/posix/accept_queue.hpp"
#include "supervisor/posix/address.hpp"
#include "supervisor/posix/sock_diag.hpp"

#include <array>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

/// Drops what has SYN and not ACK: the handshakes that have begun go on. A socket filter of TCP
/// sees the packet from the TCP header on; byte 13 has the flags.
Result<void> drop_requests(int fd) {
    constexpr unsigned kFlags = 13;
    std::array<sock_filter, 5> program{{
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kFlags),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffff'ffff),
    }};
    const sock_fprog filter{.len = program.size(), .filter = program.data()};
    if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) {
        return system_error("SO_ATTACH_FILTER");
    }
    return {};
}

std::uint64_t socket_file(const std::string& path) {
    struct stat status {};

    return ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

std::string leaving_path(const Address& address) {
    return path_of(address) + ".leaving";
}

}  // namespace

Result<void> close_gate(BoundListener& listener) {
    if (listener.gate_closed || listener.from_systemd) {
        return {};
    }
    listener.gate_closed = true;
    const auto address = bound_address(listener.sockets.front().get());
    if (!address) {
        return address.error();
    }
    if (address->family() == AF_UNIX) {
        const std::string path = path_of(*address);
        const bool is_ours = listener.path_inode != 0 && socket_file(path) == listener.path_inode;
        return is_ours && ::rename(path.c_str(), leaving_path(*address).c_str()) != 0
                   ? system_error("rename " + path)
                   : Result<void>();
    }
    for (const UniqueFd& fd : listener.sockets) {
        if (Result<void> dropped = drop_requests(fd.get()); !dropped) {
            return dropped;
        }
    }
    return {};
}

void open_gate(BoundListener& listener) {
    listener.gate_closed = false;
    if (listener.from_systemd) {
        return;
    }
    const auto address = bound_address(listener.sockets.front().get());
    if (address && address->family() == AF_UNIX) {
        const std::string path = path_of(*address);
        const std::string away = leaving_path(*address);
        if (const auto inode = socket_file(away);
            inode != 0 && socket_file(path) == 0 && ::rename(away.c_str(), path.c_str()) == 0) {
            listener.path_inode = inode;
        }
        return;
    }
    for (const UniqueFd& fd : listener.sockets) {
        const int nothing = 0;
        (void)::setsockopt(fd.get(), SOL_SOCKET, SO_DETACH_FILTER, &nothing, sizeof nothing);
    }
}

void remove_gate(const BoundListener& listener) noexcept {
    const auto address = bound_address(listener.sockets.front().get());
    if (!listener.gate_closed || !address || address->family() != AF_UNIX) {
        return;
    }
    if (const std::string away = leaving_path(*address);
        listener.path_inode != 0 && socket_file(away) == listener.path_inode) {
        (void)::unlink(away.c_str());
    }
}

Behind behind_gate(const BoundListener& listener) {
    Behind behind;
    for (const UniqueFd& fd : listener.sockets) {
        behind.waiting += waiting_connections(fd.get());
    }
    const auto address = bound_address(listener.sockets.front().get());
    if (address && address->port() != 0) {
        behind.arriving = handshakes(address->port());
    }
    return behind;
}

}  // namespace topsman::posix
