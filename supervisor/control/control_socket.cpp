#include "supervisor/control/control_socket.hpp"

#include <charconv>
#include <cstring>
#include <grp.h>
#include <optional>
#include <sys/stat.h>

namespace topsman::control {
namespace {

std::optional<gid_t> find_group(const std::string& group) {
    if (const ::group* entry = ::getgrnam(group.c_str()); entry != nullptr) {
        return entry->gr_gid;
    }
    gid_t number = 0;
    const auto [end, error] = std::from_chars(group.data(), group.data() + group.size(), number);
    if (error == std::errc{} && end == group.data() + group.size()) {
        return number;
    }
    return std::nullopt;
}

/// Connecting takes write permission on the socket's file (unix(7)). The umask is for the instant
/// between bind(2) and chmod(2); the master is one thread where it matters.
int bind_private(int fd, const sockaddr_un& address) noexcept {
    const mode_t old = ::umask(0177);
    const int rc = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int error = errno;
    (void)::umask(old);
    errno = error;
    return rc;
}

Result<void> make_room(const std::string& path) {
    struct stat there {};

    if (::lstat(path.c_str(), &there) != 0) {
        return {};
    }
    if (!S_ISSOCK(there.st_mode)) {
        return plain_error("control socket " + path +
                               ": there is something else at this path; remove it or set another "
                               "control.socket",
                           std::errc::file_exists);
    }
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return system_error("control socket " + path + ": cannot replace the old one");
    }
    return {};
}

}  // namespace

Result<sockaddr_un> unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return plain_error("control socket " + path + ": the path has " +
                               std::to_string(path.size()) +
                               " bytes, the kernel takes 1 to 107; set a shorter control.socket",
                           std::errc::filename_too_long);
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

Result<UniqueFd> listen_unix(const std::string& path, std::uint32_t mode,
                             const std::string& group) {
    const auto address = unix_address(path);
    if (!address) {
        return address.error();
    }
    std::optional<gid_t> gid;
    if (!group.empty()) {
        gid = find_group(group);
        if (!gid) {
            return plain_error("control.group: there is no group " + group);
        }
    }
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        return system_error("control socket " + path);
    }
    if (const auto room = make_room(path); !room) {
        return room.error();
    }
    if (bind_private(fd.get(), *address) != 0) {
        return system_error("control socket " + path + ": bind");
    }
    // The group first: the mode may give it more than the one it had.
    if (gid && ::lchown(path.c_str(), static_cast<uid_t>(-1), *gid) != 0) {
        Error error = system_error("control socket " + path + ": cannot give it to group " + group);
        (void)::unlink(path.c_str());
        return error;
    }
    if (::chmod(path.c_str(), mode & 0777U) != 0 || ::listen(fd.get(), SOMAXCONN) != 0) {
        Error error = system_error("control socket " + path);
        (void)::unlink(path.c_str());
        return error;
    }
    return fd;
}

}  // namespace topsman::control
