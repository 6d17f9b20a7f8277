#include "supervisor/posix/executable.hpp"

#include <string_view>

namespace topsman::posix {
namespace {

// What Debian gives to services.
constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace

const char* find_variable(const std::vector<std::string>& environment, const std::string& name) {
    for (const std::string& entry : environment) {
        if (entry.size() > name.size() && entry[name.size()] == '=' &&
            entry.compare(0, name.size(), name) == 0) {
            return entry.c_str() + name.size() + 1;
        }
    }
    return nullptr;
}

std::vector<std::string> executable_candidates(const std::string& command,
                                               const std::vector<std::string>& environment) {
    if (command.find('/') != std::string::npos) {
        return {command};
    }
    const char* path = find_variable(environment, "PATH");
    std::string_view rest = path != nullptr ? std::string_view(path) : kDefaultPath;
    std::vector<std::string> candidates;
    while (true) {
        const auto end = std::min(rest.find(':'), rest.size());
        const std::string_view folder = rest.substr(0, end);
        // An empty entry is the working directory.
        candidates.push_back(folder.empty() ? "./" + command : std::string(folder) + "/" + command);
        if (end == rest.size()) {
            return candidates;
        }
        rest.remove_prefix(end + 1);
    }
}

}  // namespace topsman::posix
