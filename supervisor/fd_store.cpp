#include "supervisor/fd_store.hpp"

#include "config/address.hpp"

#include <charconv>
#include <fcntl.h>
#include <string_view>
#include <sys/socket.h>
#include <sys/stat.h>
#include <utility>

namespace topsman::supervisor {

namespace {

constexpr std::string_view kMark = "topsman.";

/// "topsman.http.4711": each socket has a name of its own, so that it can be removed alone.
std::string name_of(const std::string& listener, std::uint64_t inode) {
    return std::string(kMark) + listener + "." + std::to_string(inode);
}

bool shares_port(int fd) {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &value, &size) == 0 && value == 1;
}

/// Is it the listener's? By its address; by its name only where the kernel has chosen the port.
bool is_of(const posix::InheritedSocket& stored, const config::Listener& listener) {
    const int fd = stored.fd.get();
    const auto address = config::parse_address(listener.address);
    if (!address || !posix::is_listener_of(fd, listener.address)) {
        return false;
    }
    if (address->kind == config::Address::Kind::Unix) {
        // Without its file nobody can reach it any more.
        struct stat status {};

        return ::lstat(address->path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
    }
    const bool is_group = listener.accept == config::Accept::ReusePort;
    return shares_port(fd) == is_group &&
           (address->port != 0 || stored.name == name_of(listener.name, posix::socket_inode(fd)));
}

}  // namespace

StoredNames stored_names(const std::vector<std::string>& names) {
    StoredNames stored;
    for (const std::string& name : names) {
        const std::string_view digits = std::string_view(name).substr(name.rfind('.') + 1);
        std::uint64_t inode = 0;
        if (std::from_chars(digits.data(), digits.data() + digits.size(), inode).ec ==
            std::errc{}) {
            stored[inode] = name;
        }
    }
    return stored;
}

std::vector<std::string> FdStore::names() const {
    std::vector<std::string> names;
    for (const auto& [inode, name] : stored_) {
        names.push_back(name);
    }
    return names;
}

StoredSockets take_stored(std::vector<posix::InheritedSocket>& given,
                          const std::vector<config::Listener>& known) {
    StoredSockets stored;
    for (posix::InheritedSocket& socket : given) {
        if (!socket.name.starts_with(kMark)) {
            continue;
        }
        stored.names[posix::socket_inode(socket.fd.get())] = socket.name;
        bool is_known = false;
        for (const config::Listener& listener : known) {
            UniqueFd copy(is_of(socket, listener) ? ::fcntl(socket.fd.get(), F_DUPFD_CLOEXEC, 0)
                                                  : -1);
            if (copy) {
                is_known = true;
                stored.sockets[{listener.name, listener.socket()}].push_back(std::move(copy));
            }
        }
        if (!is_known) {
            stored.others.push_back(std::move(socket.fd));
        }
        socket.fd.reset();
    }
    std::erase_if(given, [](const posix::InheritedSocket& socket) { return !socket.fd; });
    return stored;
}

void StoredSockets::close_others() {
    for (const UniqueFd& fd : others) {
        (void)::shutdown(fd.get(), SHUT_RDWR);
    }
    others.clear();
}

void FdStore::follow(const std::vector<posix::BoundListener>& listeners,
                     const posix::ServiceManager& manager) {
    if (!manager.present()) {
        return;
    }
    std::map<std::uint64_t, std::pair<std::string, int>> wanted;
    for (const posix::BoundListener& listener : listeners) {
        for (const UniqueFd& fd : listener.sockets) {
            const std::uint64_t inode = listener.from_systemd ? 0 : posix::socket_inode(fd.get());
            if (inode != 0) {
                wanted.try_emplace(inode, name_of(listener.spec.name, inode), fd.get());
            }
        }
    }
    for (const auto& [inode, socket] : wanted) {
        const auto& [name, fd] = socket;
        if (!stored_.contains(inode) && manager.store(name, fd)) {
            stored_[inode] = name;
        }
    }
    std::erase_if(stored_, [&](const auto& entry) {
        return !wanted.contains(entry.first) &&
               manager.notify("FDSTOREREMOVE=1\nFDNAME=" + entry.second);
    });
}

}  // namespace topsman::supervisor
