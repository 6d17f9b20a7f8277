#pragma once

// A whole regular file as text, with a limit. It never waits: a FIFO or a device is refused.

#include "shm/base/result.hpp"

#include <cstddef>
#include <string>

namespace topsman::config {

/// Errors are sentences without the path: "No such file or directory", "is a directory: ...".
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t most);

}  // namespace topsman::config
