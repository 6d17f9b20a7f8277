#pragma once

#include "shm/base/result.hpp"
#include "supervisor/runtime_dir.hpp"
#include "supervisor/say.hpp"

#include <string>

namespace topsman::supervisor {

/// The end of a cluster: its segment, what is kept for a next master, and last its record.
void remove_cluster_files(const ClusterRecord& record);

/// `topsman stop` where the master is dead: its workers serve on, and somebody has to end them.
/// They are asked to leave as their pools say (by the file, as far as it can still be read); with
/// mode "fast" they have 2 s, with "now" none. Then the segment, the record and the sockets go, as
/// at the end of a master. Root gives up its rights first, for good, and acts as the user whose the
/// record is (posix/act_as.hpp). Holds the cluster's lock meanwhile. Error: a master has it;
/// somebody is not proven to be a worker, and nobody was touched; somebody does not end.
Result<void> end_leftovers(const ClusterRecord& record, const std::string& mode, const Say& say);

}  // namespace topsman::supervisor
