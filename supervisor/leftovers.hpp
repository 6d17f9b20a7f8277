#pragma once

#include "supervisor/control/commands.hpp"
#include "supervisor/runtime_dir.hpp"

namespace topsman::supervisor {

/// `topsman stop` where the master is dead: its workers serve on, and somebody has to end them.
/// They are asked to leave as their pools say (by the file, as far as it can still be read); with
/// mode "fast" they have 2 s, with "now" none. Then the segment, the record and the sockets go, as
/// at the end of a master. Holds the cluster's lock meanwhile. Error: a master has it, or somebody
/// does not end.
Result<void> end_leftovers(const ClusterRecord& record, const std::string& mode,
                           const control::Say& say);

}  // namespace topsman::supervisor
