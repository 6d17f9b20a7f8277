#pragma once

// Files of environment variables in systemd's EnvironmentFile= syntax (systemd.exec(5)): lines of
// NAME=value, comments from # or ;, quotes, backslashes, lines continued by a backslash at the end.

#include "shm/base/result.hpp"

#include <map>
#include <string>
#include <string_view>

namespace topsman::config {

using EnvironmentVariables = std::map<std::string, std::string>;

/// At most 1 MiB, regular files only, so it never waits. Errors: "/etc/app.env:3: ...".
[[nodiscard]] Result<EnvironmentVariables> read_env_file(const std::string& path);

/// The same for text in memory; `path` names it in messages.
[[nodiscard]] Result<EnvironmentVariables> parse_env_file(std::string_view text,
                                                          const std::string& path);

}  // namespace topsman::config
