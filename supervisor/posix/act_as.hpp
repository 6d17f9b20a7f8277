#pragma once

#include "shm/base/result.hpp"

#include <cstdint>

namespace topsman::posix {

/// Root's process has from here on that user's rights and groups alone: who acts on what somebody
/// else has written down must not lend him more than his own. CAP_NET_BIND_SERVICE is kept, if
/// there: workers may have it, and the kernel shows a process only to who has all that it has. Does
/// nothing for another than root, or where `uid` is root. No way back; for a process with one
/// thread. Error: the rights cannot be given up.
[[nodiscard]] Result<void> act_as(std::uint32_t uid);

}  // namespace topsman::posix
