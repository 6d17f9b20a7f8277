#include "supervisor/posix/sock_diag.hpp"

#include "supervisor/posix/process_info.hpp"

#include <array>
#include <charconv>
#include <cstring>
#include <dirent.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <set>
#include <string_view>
#include <unistd.h>

namespace topsman::posix {
namespace {

using Visit = std::function<void(const ListeningSocket&)>;

constexpr std::size_t kAttributeHeader = 4;  // NLA_HDRLEN, which mixes signs

struct InetRequest {
    nlmsghdr header{};
    inet_diag_req_v2 body{};
};

struct UnixRequest {
    nlmsghdr header{};
    unix_diag_req body{};
};

void visit_inet(const nlmsghdr& header, const Visit& visit) {
    if (header.nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg))) {
        return;
    }
    inet_diag_msg message;
    std::memcpy(&message, reinterpret_cast<const char*>(&header) + NLMSG_HDRLEN, sizeof message);
    // For a listening socket these two are the accept queue and its limit (sock_diag(7)).
    visit({message.idiag_inode,
           ntohs(message.id.idiag_sport),
           {message.idiag_rqueue, message.idiag_wqueue}});
}

void visit_unix(const nlmsghdr& header, const Visit& visit) {
    std::size_t at = NLMSG_LENGTH(sizeof(unix_diag_msg));
    if (header.nlmsg_len < at) {
        return;
    }
    const char* base = reinterpret_cast<const char*>(&header);
    unix_diag_msg message;
    std::memcpy(&message, base + NLMSG_HDRLEN, sizeof message);
    ListeningSocket found{message.udiag_ino, 0, {}};
    while (at + sizeof(nlattr) <= header.nlmsg_len) {
        nlattr attribute;
        std::memcpy(&attribute, base + at, sizeof attribute);
        if (attribute.nla_len < sizeof attribute || at + attribute.nla_len > header.nlmsg_len) {
            break;
        }
        if (attribute.nla_type == UNIX_DIAG_RQLEN &&
            attribute.nla_len >= kAttributeHeader + sizeof(unix_diag_rqlen)) {
            unix_diag_rqlen lengths;
            std::memcpy(&lengths, base + at + kAttributeHeader, sizeof lengths);
            found.queue = {lengths.udiag_rqueue, lengths.udiag_wqueue};
        }
        at += (attribute.nla_len + NLA_ALIGNTO - 1U) & ~(NLA_ALIGNTO - 1U);
    }
    visit(found);
}

/// Sends one request, for one socket or for all (NLM_F_DUMP), and gives each answer to `take`.
template <class Request, class Take>
void ask(int netlink, Request& request, std::uint16_t flags, Take take) {
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    if (::send(netlink, &request, sizeof request, 0) != static_cast<ssize_t>(sizeof request)) {
        return;
    }
    alignas(nlmsghdr) std::array<char, 32'768> buffer;
    while (true) {
        // The kernel makes the answer while it is asked for (netlink(7)): this never waits for
        // anybody else.
        const ssize_t received = ::recv(netlink, buffer.data(), buffer.size(), 0);
        if (received < 0 && errno == EINTR) {
            continue;
        }
        if (received <= 0) {
            return;
        }
        auto left = static_cast<std::size_t>(received);
        const char* at = buffer.data();
        while (left >= sizeof(nlmsghdr)) {
            const auto* header = reinterpret_cast<const nlmsghdr*>(at);
            if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR ||
                header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > left) {
                return;
            }
            take(*header);
            const std::size_t step = std::min<std::size_t>(NLMSG_ALIGN(header->nlmsg_len), left);
            at += step;
            left -= step;
        }
        if ((flags & NLM_F_DUMP) == 0) {
            return;  // one answer, and no NLMSG_DONE after it
        }
    }
}

UnixRequest unix_request() {
    UnixRequest request;
    request.body.sdiag_family = AF_UNIX;
    request.body.udiag_states = 1U << TCP_LISTEN;
    request.body.udiag_show = UDIAG_SHOW_RQLEN;
    return request;
}

UniqueFd open_netlink() {
    return UniqueFd(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
}

constexpr std::uint32_t kListening = 1U << TCP_LISTEN;
// A request is no socket yet and has a state of its own (TCP_NEW_SYN_RECV, in the kernel alone).
constexpr std::uint32_t kInHandshake = 1U << TCP_SYN_RECV | 1U << 12U;

/// `port` 0: of all.
void visit_tcp_sockets(int netlink, std::uint32_t states, std::uint16_t port, const Visit& visit) {
    for (const int family : {AF_INET, AF_INET6}) {
        InetRequest request;
        request.body.sdiag_family = static_cast<std::uint8_t>(family);
        request.body.sdiag_protocol = IPPROTO_TCP;
        request.body.idiag_states = states;
        request.body.id.idiag_sport = htons(port);
        ask(netlink, request, NLM_F_DUMP,
            [&](const nlmsghdr& header) { visit_inet(header, visit); });
    }
}

struct CloseDir {
    void operator()(DIR* dir) const noexcept { (void)::closedir(dir); }
};

using Dir = std::unique_ptr<DIR, CloseDir>;

/// Does the process hold a descriptor of one of these sockets? Only its own user and root may see.
bool holds_socket(const std::string& pid, const std::set<std::string>& links) {
    const std::string folder = "/proc/" + pid + "/fd";
    const Dir dir(::opendir(folder.c_str()));
    if (!dir) {
        return false;
    }
    std::array<char, 64> target{};
    while (const dirent* entry = ::readdir(dir.get())) {
        const ssize_t size =
            ::readlinkat(::dirfd(dir.get()), entry->d_name, target.data(), target.size());
        if (size > 0 &&
            links.contains(std::string(target.data(), static_cast<std::size_t>(size)))) {
            return true;
        }
    }
    return false;
}

}  // namespace

void for_each_listening_socket(const Visit& visit) {
    const UniqueFd netlink = open_netlink();
    if (!netlink) {
        return;
    }
    visit_tcp_sockets(netlink.get(), kListening, 0, visit);
    UnixRequest request = unix_request();
    ask(netlink.get(), request, NLM_F_DUMP,
        [&](const nlmsghdr& header) { visit_unix(header, visit); });
}

std::uint32_t handshakes(std::uint16_t port) {
    std::uint32_t count = 0;
    const UniqueFd netlink = open_netlink();
    if (netlink) {
        visit_tcp_sockets(netlink.get(), kInHandshake, port,
                          [&count](const ListeningSocket&) { ++count; });
    }
    return count;
}

QueueLength unix_queue(std::uint64_t inode) {
    QueueLength queue;
    const UniqueFd netlink = open_netlink();
    if (!netlink) {
        return queue;
    }
    UnixRequest request = unix_request();
    request.body.udiag_ino = static_cast<std::uint32_t>(inode);
    request.body.udiag_cookie[0] = ~0U;  // whatever its cookie is
    request.body.udiag_cookie[1] = ~0U;
    ask(netlink.get(), request, 0, [&](const nlmsghdr& header) {
        visit_unix(header, [&](const ListeningSocket& socket) { queue = socket.queue; });
    });
    return queue;
}

std::map<std::uint64_t, QueueLength> listener_queues() {
    std::map<std::uint64_t, QueueLength> queues;
    for_each_listening_socket(
        [&](const ListeningSocket& socket) { queues.emplace(socket.inode, socket.queue); });
    return queues;
}

std::string listening_process(std::uint16_t port) {
    std::set<std::string> links;
    const UniqueFd netlink = open_netlink();
    if (port == 0 || !netlink) {
        return {};
    }
    visit_tcp_sockets(netlink.get(), kListening, port, [&](const ListeningSocket& socket) {
        links.insert("socket:[" + std::to_string(socket.inode) + "]");
    });
    const Dir proc(links.empty() ? nullptr : ::opendir("/proc"));
    if (!proc) {
        return {};
    }
    while (const dirent* entry = ::readdir(proc.get())) {
        const std::string_view name = entry->d_name;
        std::uint32_t pid = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (error == std::errc{} && end == name.data() + name.size() &&
            holds_socket(std::string(name), links)) {
            return process_name(pid) + " (pid " + std::string(name) + ")";
        }
    }
    return {};
}

}  // namespace topsman::posix
