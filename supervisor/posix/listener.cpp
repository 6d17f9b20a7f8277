#include "supervisor/posix/listener.hpp"

#include "supervisor/posix/address.hpp"
#include "supervisor/posix/inet_socket.hpp"
#include "supervisor/posix/launcher.hpp"
#include "supervisor/posix/unix_socket_file.hpp"

#include <algorithm>
#include <fcntl.h>
#include <set>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <utility>

namespace topsman::posix {
namespace {

bool is_listening(int fd) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value == 1;
}

bool make_nonblocking(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_NONBLOCK) != 0) {
        return false;
    }
    return ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

bool is_bound_to(int fd, const Address& address) {
    const auto bound = bound_address(fd);
    return bound && *bound == address && is_listening(fd);
}

/// Moves those of `inherited` that are bound to `address` out of it.
std::vector<UniqueFd> take_matching(const Address& address, std::vector<UniqueFd>& inherited) {
    std::vector<UniqueFd> taken;
    for (UniqueFd& fd : inherited) {
        if (fd && is_bound_to(fd.get(), address)) {
            (void)make_nonblocking(fd.get());
            taken.push_back(std::move(fd));
        }
    }
    std::erase_if(inherited, [](const UniqueFd& fd) { return !fd; });
    return taken;
}

struct Sources {
    std::vector<UniqueFd>& inherited;
    std::uint32_t reuse_port_sockets;
    const std::vector<BoundListener>& bound;
    const Owners& owners;
};

Result<void> bind_own(BoundListener& listener, Address address, const Sources& sources) {
    if (address.family() == AF_UNIX) {
        auto made = bind_unix_socket(listener.spec, address, sources.owners);
        if (!made) {
            return made.error();
        }
        listener.path_inode = made->path_inode;
        listener.sockets.push_back(std::move(made->fd));
        return {};
    }
    const bool is_group = listener.spec.accept == config::Accept::ReusePort;
    const std::uint32_t count = is_group ? std::max(sources.reuse_port_sockets, 1U) : 1;
    for (std::uint32_t i = 0; i < count; ++i) {
        auto fd = bind_inet(listener.spec, address, sources.bound, Use::Listen);
        if (!fd) {
            return fd.error();
        }
        if (address.port() == 0) {
            // The kernel chose one; the others of the group go to the same.
            if (const auto chosen = bound_address(fd->get())) {
                address.set_port(chosen->port());
            }
        }
        listener.sockets.push_back(std::move(*fd));
    }
    return {};
}

/// The file of a unix socket that a dead master made is ours from now on.
std::uint64_t path_inode_of(const Address& address) noexcept {
    struct stat status {};

    if (address.family() != AF_UNIX) {
        return 0;
    }
    const auto& un = *reinterpret_cast<const sockaddr_un*>(&address.storage);
    return ::lstat(un.sun_path, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

/// Of one that is bound at the same address, under whatever name; it stays as it is.
Result<bool> share(BoundListener& listener, const Address& address,
                   const std::vector<BoundListener>& bound) {
    for (const BoundListener& other : bound) {
        const auto at = bound_address(other.sockets.front().get());
        if (!at || !(*at == address)) {
            continue;
        }
        if (other.spec.accept != listener.spec.accept) {
            return plain_error("accept: " + to_string(address) + " is shared in another way, by " +
                               "listener " + other.spec.name + ", as long as its workers live");
        }
        for (const UniqueFd& fd : other.sockets) {
            UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
            if (!copy) {
                return system_error("dup");
            }
            listener.sockets.push_back(std::move(copy));
        }
        // As it is; retune() makes of it what the file says.
        listener.spec.backlog = other.spec.backlog;
        listener.spec.mode = other.spec.mode;
        listener.spec.owner = other.spec.owner;
        listener.path_inode = other.path_inode;
        listener.from_systemd = other.from_systemd;
        return true;
    }
    return false;
}

Result<BoundListener> bind_one(const config::Listener& spec, const Sources& sources,
                               std::vector<UniqueFd> kept) {
    auto address = parse_address(spec.address);
    if (!address) {
        return address.error();
    }
    BoundListener listener;
    listener.spec = spec;
    listener.sockets = take_matching(*address, sources.inherited);
    listener.from_systemd = !listener.sockets.empty();
    const Result<bool> shared =
        listener.from_systemd ? true : share(listener, *address, sources.bound);
    if (!shared) {
        return shared.error();
    }
    if (!*shared && !kept.empty()) {
        listener.sockets = std::move(kept);
        listener.path_inode = path_inode_of(*address);
        (void)repair_flags(listener);
    } else if (!*shared) {
        if (auto bound = bind_own(listener, *address, sources); !bound) {
            remove_socket_file(*address, listener.path_inode);
            return bound.error();
        }
    }
    const auto bound = bound_address(listener.sockets.front().get());
    listener.address = bound ? to_string(*bound) : spec.address;
    listener.inode = socket_inode(listener.sockets.front().get());
    return listener;
}

Error named(const config::Listener& spec, Error error) {
    error.message = "listener " + spec.name + ": " + error.message;
    return error;
}

Result<void> set_backlog(const BoundListener& listener) {
    Result<void> done;
    if (listener.from_systemd) {
        return done;
    }
    for (const UniqueFd& fd : listener.sockets) {
        // For a socket that listens this is its new limit, and nothing else.
        if (::listen(fd.get(), static_cast<int>(listener.spec.backlog)) != 0) {
            done = named(listener.spec, system_error("backlog"));
        }
    }
    return done;
}

/// Mode and owner of a unix socket's file.
Result<void> set_file(const BoundListener& listener, const Owners& owners) {
    if (listener.path_inode == 0) {
        return {};
    }
    const auto address = parse_address(listener.spec.address);
    auto set =
        address ? set_socket_file(listener.spec, *address, owners) : Result<void>(address.error());
    return set ? set : named(listener.spec, set.error());
}

}  // namespace

Result<Owners> resolve_owners(const std::vector<config::Listener>& specs) {
    Owners owners;
    for (const config::Listener& spec : specs) {
        if (spec.owner.empty()) {
            continue;
        }
        const auto colon = spec.owner.find(':');
        const std::string group =
            colon == std::string::npos ? std::string() : spec.owner.substr(colon + 1);
        const auto identity = resolve_user(spec.owner.substr(0, colon), group);
        if (!identity) {
            return named(spec, identity.error());
        }
        owners[spec.owner] = {identity->uid, identity->gid};
    }
    return owners;
}

Result<std::vector<BoundListener>> bind_listeners(const std::vector<config::Listener>& specs,
                                                  std::vector<UniqueFd>& inherited,
                                                  std::uint32_t reuse_port_sockets,
                                                  KeptSockets kept, const Owners& owners) {
    std::set<std::string> of_the_living;
    std::vector<BoundListener> listeners;
    for (const config::Listener& spec : specs) {
        std::vector<UniqueFd>& own = kept[{spec.name, spec.socket()}];
        if (!own.empty()) {
            of_the_living.insert(spec.name);
        }
        auto listener = bind_one(spec, {inherited, reuse_port_sockets, {}, owners}, std::move(own));
        if (!listener) {
            std::erase_if(listeners, [&of_the_living](const BoundListener& bound) {
                return of_the_living.contains(bound.spec.name);
            });
            remove_socket_files(listeners);
            return named(spec, listener.error());
        }
        listener->row = static_cast<std::uint32_t>(listeners.size());
        listeners.push_back(std::move(*listener));
    }
    return listeners;
}

Result<std::vector<BoundListener>> bind_beside(const std::vector<config::Listener>& specs,
                                               std::vector<UniqueFd>& inherited,
                                               const std::vector<BoundListener>& bound,
                                               const Owners& owners) {
    std::vector<BoundListener> listeners;
    for (const config::Listener& spec : specs) {
        auto listener = bind_one(spec, {inherited, 1, bound, owners}, {});
        if (!listener) {
            std::erase_if(listeners, [&bound](const BoundListener& made) {
                return std::any_of(bound.begin(), bound.end(), [&made](const BoundListener& other) {
                    return other.inode == made.inode;
                });
            });
            remove_socket_files(listeners);
            return named(spec, listener.error());
        }
        listeners.push_back(std::move(*listener));
    }
    return listeners;
}

Result<void> try_beside(const std::vector<config::Listener>& specs,
                        const std::vector<UniqueFd>& inherited,
                        const std::vector<BoundListener>& bound) {
    std::vector<UniqueFd> tried;  // to the end: one may be in another's way
    for (const config::Listener& spec : specs) {
        const auto address = parse_address(spec.address);
        if (!address) {
            return named(spec, address.error());
        }
        const bool is_given =
            std::any_of(inherited.begin(), inherited.end(),
                        [&address](const UniqueFd& fd) { return is_bound_to(fd.get(), *address); });
        BoundListener listener;
        listener.spec = spec;
        const Result<bool> shared = is_given ? true : share(listener, *address, bound);
        if (!shared) {
            return named(spec, shared.error());
        }
        if (*shared) {
            continue;
        }
        if (address->family() == AF_UNIX) {
            if (auto free = try_unix_socket(*address); !free) {
                return named(spec, free.error());
            }
            continue;
        }
        auto fd = bind_inet(spec, *address, bound, Use::Try);
        if (!fd) {
            return named(spec, fd.error());
        }
        tried.push_back(std::move(*fd));
    }
    return {};
}

Result<void> tune(const BoundListener& listener, const Owners& owners) {
    const Result<void> backlog = set_backlog(listener);
    const Result<void> file = set_file(listener, owners);
    return file ? backlog : file;
}

Result<void> retune(BoundListener& listener, const config::Listener& spec, const Owners& owners) {
    const config::Listener before = std::exchange(listener.spec, spec);
    Result<void> done;
    if (spec.backlog != before.backlog) {
        done = set_backlog(listener);
    }
    if (spec.mode != before.mode || spec.owner != before.owner) {
        if (auto set = set_file(listener, owners); !set) {
            done = set;
        }
    }
    return done;
}

std::uint64_t socket_inode(int fd) noexcept {
    struct stat status {};

    return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

bool is_listener_of(int fd, const std::string& address) {
    const auto bound = bound_address(fd);
    auto wanted = parse_address(address);
    if (!bound || !wanted || !is_listening(fd)) {
        return false;
    }
    if (wanted->port() == 0) {
        wanted->set_port(bound->port());
    }
    return *bound == *wanted;
}

void remove_socket_files(std::span<const BoundListener> listeners) noexcept {
    for (const BoundListener& listener : listeners) {
        if (listener.path_inode == 0) {
            continue;
        }
        if (const auto address = parse_address(listener.spec.address)) {
            remove_socket_file(*address, listener.path_inode);
        }
    }
}

Result<void> fit_group(BoundListener& listener, std::uint32_t wanted,
                       const std::function<bool(int)>& is_in_use) {
    if (listener.spec.accept != config::Accept::ReusePort || listener.from_systemd) {
        return {};
    }
    while (listener.sockets.size() < wanted) {
        const auto address = bound_address(listener.sockets.front().get());
        if (!address) {
            return plain_error("listener " + listener.spec.name + ": its address is not known");
        }
        auto fd = bind_inet(listener.spec, *address, {}, Use::Listen);
        if (!fd) {
            return named(listener.spec, fd.error());
        }
        listener.sockets.push_back(std::move(*fd));
    }
    const std::size_t least = std::max(wanted, 1U);  // the port stays ours
    for (std::size_t i = listener.sockets.size(); i-- > 0 && listener.sockets.size() > least;) {
        if (!is_in_use(listener.sockets[i].get())) {
            listener.sockets.erase(listener.sockets.begin() + static_cast<std::ptrdiff_t>(i));
        }
    }
    listener.inode = socket_inode(listener.sockets.front().get());
    return {};
}

bool repair_flags(const BoundListener& listener) {
    bool repaired = false;
    for (const UniqueFd& fd : listener.sockets) {
        repaired = make_nonblocking(fd.get()) || repaired;
    }
    return repaired;
}

}  // namespace topsman::posix
