#pragma once

#include "config/model.hpp"
#include "shm/segment.hpp"

#include <string>
#include <vector>

namespace topsman::supervisor {

/// What the configuration names in advance under `shared` has its row in the segment before anybody
/// asks for it, with the numbers of the file; what an earlier master's workers hold stays theirs.
/// The error names the key, and the name that has no room or is of another kind.
Result<void> declare_shared(shm::Segment& segment, const config::Shared& shared);

/// Why declare_shared() could not do it all, a sentence each; then it is better not begun. A worker
/// that registers names meanwhile may still be faster.
[[nodiscard]] std::vector<std::string> misfits_of(const shm::Segment& segment,
                                                  const config::Shared& shared);

}  // namespace topsman::supervisor
