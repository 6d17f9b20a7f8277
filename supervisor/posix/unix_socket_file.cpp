#include "supervisor/posix/unix_socket_file.hpp"

#include "shm/base/check.hpp"
#include "supervisor/posix/process_info.hpp"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

/// Is there a socket in the way that nobody listens at? Error: who has the path.
Result<bool> is_left_by_the_dead(const Address& address) {
    const std::string path = path_of(address);

    struct stat status {};

    if (::lstat(path.c_str(), &status) != 0) {
        return false;  // nothing there, or a folder that bind(2) will name
    }
    if (!S_ISSOCK(status.st_mode)) {
        return plain_error("bind unix:" + path + ": a file that is not a socket is in the way",
                           std::errc::file_exists);
    }
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!probe) {
        return system_error("socket for unix:" + path);
    }
    if (::connect(probe.get(), address.get(), address.length) == 0) {
        // Credentials of the process that called listen(2), unix(7).
        ucred peer{};
        socklen_t size = sizeof peer;
        std::string who = "a living process";
        if (::getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0) {
            who = process_name(static_cast<std::uint32_t>(peer.pid)) + " (pid " +
                  std::to_string(peer.pid) + ")";
        }
        return plain_error("bind unix:" + path + ": in use by " + who, std::errc::address_in_use);
    }
    if (errno != ECONNREFUSED) {
        // EAGAIN: its queue is full, so it lives. EACCES, EPROTOTYPE: not ours to judge.
        return errno == EAGAIN ? plain_error("bind unix:" + path + ": in use by a living process",
                                             std::errc::address_in_use)
                               : system_error("bind unix:" + path + ": a socket is there already");
    }
    return true;
}

/// Makes the path free for us, or says who has it.
Result<void> clear_path(const Address& address) {
    const std::string path = path_of(address);
    const Result<bool> is_left = is_left_by_the_dead(address);
    if (!is_left) {
        return is_left.error();
    }
    if (*is_left && ::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return system_error("unlink " + path);
    }
    return {};
}

Result<void> set_owner(const config::Listener& spec, const std::string& path,
                       const Owners& owners) {
    if (spec.owner.empty()) {
        return {};
    }
    const auto owner = owners.find(spec.owner);
    CHECK(owner != owners.end());
    if (::lchown(path.c_str(), owner->second.uid, owner->second.gid) != 0) {
        return system_error("chown " + path + " to " + spec.owner);
    }
    return {};
}

}  // namespace

Result<UnixSocket> bind_unix_socket(const config::Listener& spec, const Address& address,
                                    const Owners& owners) {
    const std::string path = path_of(address);
    if (auto cleared = clear_path(address); !cleared) {
        return cleared.error();
    }
    UnixSocket made{UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), 0};
    if (!made.fd) {
        return system_error("socket for unix:" + path);
    }
    // The file is born with the socket's own mode (fchmod before bind, Linux): until its owner is
    // right it is never wider than it will be.
    if (spec.mode) {
        (void)::fchmod(made.fd.get(), spec.owner.empty() ? *spec.mode : *spec.mode & 0700U);
    }
    if (::bind(made.fd.get(), address.get(), address.length) != 0) {
        return system_error("bind unix:" + path);
    }

    struct stat status {};

    if (::lstat(path.c_str(), &status) == 0) {
        made.path_inode = status.st_ino;
    }
    const auto give_up = [&](Error error) -> Result<UnixSocket> {
        remove_socket_file(address, made.path_inode);
        return error;
    };
    if (auto owned = set_owner(spec, path, owners); !owned) {
        return give_up(owned.error());
    }
    // The umask has cut the mode at bind.
    if (spec.mode && ::chmod(path.c_str(), *spec.mode) != 0) {
        return give_up(system_error("chmod " + path));
    }
    if (::listen(made.fd.get(), static_cast<int>(spec.backlog)) != 0) {
        return give_up(system_error("listen on unix:" + path));
    }
    return made;
}

Result<void> try_unix_socket(const Address& address) {
    const Result<bool> is_left = is_left_by_the_dead(address);
    return is_left ? Result<void>() : is_left.error();
}

Result<void> set_socket_file(const config::Listener& spec, const Address& address,
                             const Owners& owners) {
    const std::string path = path_of(address);
    if (spec.owner.empty() && ::lchown(path.c_str(), ::geteuid(), ::getegid()) != 0) {
        return system_error("chown " + path);
    }
    if (auto owned = set_owner(spec, path, owners); !owned) {
        return owned;
    }
    const mode_t mask = ::umask(077);  // the only way to ask
    (void)::umask(mask);
    if (::chmod(path.c_str(), spec.mode ? *spec.mode : 0777U & ~mask) != 0) {
        return system_error("chmod " + path);
    }
    return {};
}

void remove_socket_file(const Address& address, std::uint64_t path_inode) noexcept {
    if (path_inode == 0 || address.family() != AF_UNIX) {
        return;
    }
    const auto& un = *reinterpret_cast<const sockaddr_un*>(&address.storage);

    struct stat status {};

    if (::lstat(un.sun_path, &status) == 0 && S_ISSOCK(status.st_mode) &&
        status.st_ino == path_inode) {
        (void)::unlink(un.sun_path);
    }
}

}  // namespace topsman::posix
