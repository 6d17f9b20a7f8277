#include "supervisor/posix/notify_socket.hpp"

#include "supervisor/posix/address.hpp"

#include <array>
#include <cstdint>
#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

constexpr std::size_t kMaxDatagram = 4'096;  // what systemd takes, too

/// Lets `user` write to our own file. By acl(5): that takes no capability, chown(2) takes
/// CAP_CHOWN, which a master of pools with users of their own has no other use for.
bool grant_write(const std::string& path, unsigned user) {
    const auto entry = [](std::uint16_t tag, std::uint16_t permissions, std::uint32_t id) {
        return posix_acl_xattr_entry{htole16(tag), htole16(permissions), htole32(id)};
    };
    constexpr std::uint16_t kReadWrite = ACL_READ | ACL_WRITE;
    constexpr std::uint32_t kNoId = 0xffff'ffff;

    struct {
        posix_acl_xattr_header header{htole32(POSIX_ACL_XATTR_VERSION)};
        std::array<posix_acl_xattr_entry, 5> entries{};
    } acl;

    acl.entries = {entry(ACL_USER_OBJ, kReadWrite, kNoId), entry(ACL_USER, kReadWrite, user),
                   entry(ACL_GROUP_OBJ, 0, kNoId), entry(ACL_MASK, kReadWrite, kNoId),
                   entry(ACL_OTHER, 0, kNoId)};
    return ::lsetxattr(path.c_str(), "system.posix_acl_access", &acl, sizeof(acl), 0) == 0;
}

}  // namespace

NotifySocket::NotifySocket(UniqueFd fd, std::string path) noexcept
    : fd_(std::move(fd)), path_(std::move(path)) {}

NotifySocket& NotifySocket::operator=(NotifySocket&& other) noexcept {
    // The other's destructor then unlinks what was ours.
    std::swap(fd_, other.fd_);
    std::swap(path_, other.path_);
    return *this;
}

NotifySocket::~NotifySocket() {
    if (fd_) {
        (void)::unlink(path_.c_str());
    }
}

Result<NotifySocket> NotifySocket::bind(const std::string& path,
                                        std::optional<std::pair<unsigned, unsigned>> owner) {
    const auto address = parse_address("unix:" + path);
    if (!address) {
        return Error{address.error().code, "notify socket " + address.error().message};
    }
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) {
        return system_error("notify socket");
    }
    // The file is born with the socket's own mode (Linux), so it is never open to others.
    (void)::fchmod(fd.get(), 0600);
    const auto bind_it = [&] { return ::bind(fd.get(), address->get(), address->length) == 0; };
    if (!bind_it()) {
        if (errno != EADDRINUSE) {
            return system_error("notify socket: bind " + path);
        }
        // What a dead master left.
        if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
            return system_error("notify socket: unlink " + path);
        }
        if (!bind_it()) {
            return system_error("notify socket: bind " + path);
        }
    }
    NotifySocket socket(std::move(fd), path);
    if (owner && (owner->first != ::geteuid() || owner->second != ::getegid()) &&
        ::lchown(path.c_str(), owner->first, owner->second) != 0 &&
        !grant_write(path, owner->first)) {
        return system_error("notify socket: chown " + path);
    }
    return socket;
}

std::optional<NotifyMessage> NotifySocket::receive() const {
    std::array<char, kMaxDatagram> buffer;
    ssize_t size = 0;
    do {
        // No room for ancillary data is given: the kernel closes descriptors that come along, which
        // is what BARRIER=1 of sd_notify(3) waits for.
        size = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        return std::nullopt;
    }
    return parse_notify({buffer.data(), static_cast<std::size_t>(size)});
}

}  // namespace topsman::posix
