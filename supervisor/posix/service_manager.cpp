#include "supervisor/posix/notify_socket.hpp"

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

/// The value, taken out of the environment so that no worker believes that it is meant.
std::string take(const char* name) {
    const char* value = ::getenv(name);
    std::string taken = value == nullptr ? "" : value;
    (void)::unsetenv(name);
    return taken;
}

std::optional<std::int64_t> number_in(const std::string& text) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return number;
}

}  // namespace

ServiceManager ServiceManager::at(std::string address,
                                  std::optional<std::chrono::microseconds> watchdog) {
    ServiceManager manager;
    manager.watchdog_ = watchdog;
    const bool known = !address.empty() && (address.front() == '/' || address.front() == '@');
    if (known && address.size() < sizeof(sockaddr_un::sun_path)) {
        manager.fd_ = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (manager.fd_) {
            manager.address_ = std::move(address);
        }
    }
    return manager;
}

ServiceManager ServiceManager::from_environment() {
    std::string address = take("NOTIFY_SOCKET");
    const auto usec = number_in(take("WATCHDOG_USEC"));
    const auto pid = number_in(take("WATCHDOG_PID"));
    std::optional<std::chrono::microseconds> watchdog;
    if (usec && *usec > 0 && (!pid || *pid == ::getpid())) {
        watchdog = std::chrono::microseconds(*usec);
    }
    return at(std::move(address), watchdog);
}

bool ServiceManager::notify(std::string_view text) const {
    return send(text, -1);
}

bool ServiceManager::store(const std::string& name, int fd) const {
    return send("FDSTORE=1\nFDNAME=" + name, fd);
}

bool ServiceManager::send(std::string_view text, int fd) const {
    if (!present()) {
        return false;
    }
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, address_.data(), address_.size());
    if (un.sun_path[0] == '@') {
        un.sun_path[0] = '\0';  // abstract, unix(7)
    }
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
    std::string words(text);
    iovec data{words.data(), words.size()};
    msghdr message{};
    message.msg_name = &un;
    message.msg_namelen = length;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
    if (fd >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    // A service manager that does not read is not waited for; the next message says it again.
    return ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

}  // namespace topsman::posix
