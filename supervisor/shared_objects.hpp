#pragma once

#include "config/model.hpp"
#include "shm/segment.hpp"

namespace topsman::supervisor {

/// What the configuration names in advance under `shared` has its row in the segment before anybody
/// asks for it, with the numbers of the file; what an earlier master's workers hold stays theirs.
/// The error names the key, and the name that has no room or is of another kind.
Result<void> declare_shared(shm::Segment& segment, const config::Shared& shared);

}  // namespace topsman::supervisor
