#include "supervisor/posix/launcher.hpp"

#include <cerrno>
#include <charconv>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

std::optional<std::uint32_t> as_number(const std::string& text) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    // -1 is "leave it as it is" to the kernel's calls, never a user.
    if (error != std::errc{} || end != text.data() + text.size() || number == UINT32_MAX) {
        return std::nullopt;
    }
    return number;
}

/// Calls `look_up(buffer, size, &result)` with a buffer that grows while it says ERANGE.
template <class Entry, class LookUp>
int with_buffer(std::vector<char>& buffer, Entry*& result, LookUp look_up) {
    buffer.resize(1'024);
    int error = 0;
    while ((error = look_up(buffer.data(), buffer.size(), &result)) == ERANGE) {
        buffer.resize(buffer.size() * 2);
    }
    return error;
}

Result<std::uint32_t> resolve_group(const std::string& group) {
    if (const auto number = as_number(group)) {
        return *number;
    }
    std::vector<char> buffer;
    ::group entry{};
    ::group* found = nullptr;
    (void)with_buffer(buffer, found, [&](char* data, std::size_t size, ::group** result) {
        return ::getgrnam_r(group.c_str(), &entry, data, size, result);
    });
    if (found == nullptr) {
        return plain_error("group " + group + ": no such group");
    }
    return found->gr_gid;
}

std::vector<std::uint32_t> supplementary_groups(const std::string& name, gid_t gid) {
    int count = 64;
    std::vector<gid_t> groups(static_cast<std::size_t>(count));
    while (::getgrouplist(name.c_str(), gid, groups.data(), &count) < 0) {
        groups.resize(std::max(groups.size() * 2, static_cast<std::size_t>(count)));
        count = static_cast<int>(groups.size());
    }
    groups.resize(static_cast<std::size_t>(count));
    return groups;
}

}  // namespace

Result<Identity> resolve_user(const std::string& user, const std::string& group) {
    Identity identity;
    const auto number = user.empty() ? std::optional<std::uint32_t>(::geteuid()) : as_number(user);
    std::vector<char> buffer;
    passwd entry{};
    passwd* found = nullptr;
    (void)with_buffer(buffer, found, [&](char* data, std::size_t size, passwd** result) {
        return number ? ::getpwuid_r(*number, &entry, data, size, result)
                      : ::getpwnam_r(user.c_str(), &entry, data, size, result);
    });
    if (found != nullptr) {
        identity.uid = found->pw_uid;
        identity.gid = found->pw_gid;
        identity.name = found->pw_name;
        identity.home = found->pw_dir;
        identity.shell = found->pw_shell;
    } else if (number) {
        // A number without an account is good as long as its group is said or guessed the same.
        identity.uid = *number;
        identity.gid = user.empty() ? ::getegid() : *number;
    } else {
        return plain_error("user " + user + ": no such user");
    }
    if (!group.empty()) {
        const auto gid = resolve_group(group);
        if (!gid) {
            return gid.error();
        }
        identity.gid = *gid;
    }
    identity.groups = identity.name.empty() ? std::vector<std::uint32_t>{identity.gid}
                                            : supplementary_groups(identity.name, identity.gid);
    return identity;
}

}  // namespace topsman::posix
