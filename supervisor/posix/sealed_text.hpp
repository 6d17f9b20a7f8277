#pragma once

// A text in memory that nobody can change any more (memfd_create(2), sealed): what one program
// hands to the next by a descriptor.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <string>
#include <string_view>

namespace topsman::posix {

/// Close-on-exec. `name` is for people who look into /proc.
[[nodiscard]] Result<UniqueFd> seal_text(const std::string& name, std::string_view text);

/// Error: the descriptor is not open, or what it is can still be changed.
[[nodiscard]] Result<std::string> read_sealed_text(int fd);

}  // namespace topsman::posix
