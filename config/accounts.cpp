#include "config/accounts.hpp"

#include "config/names.hpp"
#include "config/units.hpp"

#include <cerrno>
#include <grp.h>
#include <pwd.h>
#include <vector>

namespace topsman::config {
namespace {

/// getpwnam_r(3) and getgrnam_r(3) want a buffer and say ERANGE while it is too small.
template <class Entry, class Lookup>
bool exists(const std::string& name, Lookup lookup) {
    for (std::size_t size = 4'096; size <= (std::size_t{1} << 20); size *= 4) {
        std::vector<char> buffer(size);
        Entry entry{};
        Entry* found = nullptr;
        if (lookup(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != ERANGE) {
            return found != nullptr;
        }
    }
    return false;
}

std::optional<std::string> account_problem(const std::string& name, const char* what, bool known) {
    if (name.empty() || known || parse_count(name)) {
        return std::nullopt;
    }
    return std::string("there is no ") + what + " " + shown(name) +
           " on this machine: create it, or write another";
}

}  // namespace

std::optional<std::string> user_problem(const std::string& user) {
    return account_problem(user, "user", exists<passwd>(user, ::getpwnam_r));
}

std::optional<std::string> group_problem(const std::string& group) {
    return account_problem(group, "group", exists<::group>(group, ::getgrnam_r));
}

std::optional<std::string> owner_problem(const std::string& owner) {
    const std::size_t colon = owner.find(':');
    if (auto problem = user_problem(owner.substr(0, colon))) {
        return problem;
    }
    return colon == std::string::npos ? std::nullopt : group_problem(owner.substr(colon + 1));
}

}  // namespace topsman::config
