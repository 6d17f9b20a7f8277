#pragma once

#include <string>
#include <vector>

namespace topsman::posix {

/// Where a command may be found, in execvp(3)'s order: itself when it has a slash, else each folder
/// of the PATH in `environment` ("NAME=value"). Never empty; asks no file system.
[[nodiscard]] std::vector<std::string> executable_candidates(
    const std::string& command, const std::vector<std::string>& environment);

/// The value of NAME in "NAME=value" lines; nullptr when it is not there.
[[nodiscard]] const char* find_variable(const std::vector<std::string>& environment,
                                        const std::string& name);

}  // namespace topsman::posix
