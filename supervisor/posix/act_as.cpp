#include "supervisor/posix/act_as.hpp"

#include <array>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::posix {

namespace {

constexpr std::uint32_t kKept = 1U << static_cast<unsigned>(CAP_NET_BIND_SERVICE);

/// Only what is permitted already can be kept.
Result<void> keep_one_capability() {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
    if (::syscall(SYS_capget, &header, sets.data()) != 0) {
        return system_error("capget");
    }
    const std::uint32_t kept = sets[0].permitted & kKept;
    sets = {};
    sets[0].permitted = sets[0].effective = kept;
    if (::syscall(SYS_capset, &header, sets.data()) != 0) {
        return system_error("capset");
    }
    return {};
}

}  // namespace

Result<void> act_as(std::uint32_t uid) {
    if (::geteuid() != 0 || uid == 0) {
        return {};
    }
    const std::string who = "user " + std::to_string(uid);
    const passwd* user = ::getpwuid(uid);
    if (user == nullptr) {
        return plain_error(who + " is not known here");
    }
    if (::initgroups(user->pw_name, user->pw_gid) != 0 ||
        ::setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
        ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || ::setresuid(uid, uid, uid) != 0) {
        return system_error("acting as " + who);
    }
    return keep_one_capability();
}

}  // namespace topsman::posix
