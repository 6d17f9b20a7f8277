#include "worker/notify.hpp"

#include <cstddef>
#include <cstring>

namespace topsman::detail {

Result<Notifier> Notifier::open(const std::string& path) {
    Notifier notifier;
    if (path.empty()) {
        return notifier;
    }
    if ((path[0] != '/' && path[0] != '@') || path.size() >= sizeof(sockaddr_un::sun_path)) {
        return plain_error("NOTIFY_SOCKET=" + path +
                           ": neither a path nor an abstract name of at most 107 bytes");
    }
    notifier.socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!notifier.socket_) {
        return system_error("NOTIFY_SOCKET: socket");
    }
    notifier.address_.sun_family = AF_UNIX;
    std::memcpy(notifier.address_.sun_path, path.data(), path.size());
    std::size_t length = offsetof(sockaddr_un, sun_path) + path.size();
    if (path[0] == '@') {
        notifier.address_.sun_path[0] = '\0';  // unix(7): an abstract name has its length, no NUL
    } else {
        ++length;
    }
    notifier.length_ = static_cast<socklen_t>(length);
    return notifier;
}

Result<void> Notifier::send(std::string_view lines) const noexcept {
    if (!socket_) {
        return {};
    }
    const auto* to = reinterpret_cast<const sockaddr*>(&address_);
    const ssize_t sent = ::sendto(socket_.get(), lines.data(), lines.size(),
                                  MSG_DONTWAIT | MSG_NOSIGNAL, to, length_);
    if (sent < 0) {
        return system_error("NOTIFY_SOCKET: sendto");
    }
    return {};
}

}  // namespace topsman::detail
