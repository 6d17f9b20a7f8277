#pragma once

#include "shm/segment.hpp"
#include "supervisor/control/control_server.hpp"

namespace topsman::supervisor {

/// Does what `topsman queues QUEUE --retry` and `--drop` ask for, in the segment; waits for nobody.
[[nodiscard]] control::Response change_dead_letters(const shm::Segment& segment,
                                                    const control::Request& request);

}  // namespace topsman::supervisor
