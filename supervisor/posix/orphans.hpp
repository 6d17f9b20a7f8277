#pragma once

#include <cstddef>
#include <functional>
#include <sys/types.h>

namespace topsman::posix {

/// Are we one to whom orphans come: PID 1, or a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER)?
[[nodiscard]] bool inherits_orphans() noexcept;

/// Reaps children that are not ours: what a worker left behind, when we inherit it. `is_ours(pid)`:
/// keep off, somebody holds its pidfd, and its end is a report to be read through that. Returns how
/// many were reaped. Never blocks.
std::size_t reap_orphans(const std::function<bool(pid_t)>& is_ours);

}  // namespace topsman::posix
