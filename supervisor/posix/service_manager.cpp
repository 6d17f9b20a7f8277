#include "supervisor/posix/notify_socket.hpp"

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

void ServiceManager::notify(std::string_view text) const {
    if (!present()) {
        return;
    }
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, address_.data(), address_.size());
    if (un.sun_path[0] == '@') {
        un.sun_path[0] = '\0';  // abstract, unix(7)
    }
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
    // A service manager that does not read is not waited for; the next message says it again.
    (void)::sendto(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                   reinterpret_cast<const sockaddr*>(&un), length);
}

}  // namespace topsman::posix
