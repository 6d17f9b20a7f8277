#pragma once

// `topsman plan`: what a reload of the file would do, said before it is done.

#include "supervisor/config_loader.hpp"
#include "supervisor/control/control_server.hpp"
#include "supervisor/core/supervisor_core.hpp"

namespace topsman::supervisor {

/// Result `done`: nothing would change; `changes`: lines and `details` say what; `failed`: it would
/// be refused, lines say why. `misfits` (misfits_of()) are reasons to refuse it.
[[nodiscard]] control::Response plan_reload(const core::SupervisorCore& core,
                                            const Candidate& candidate,
                                            const std::vector<std::string>& misfits = {});

}  // namespace topsman::supervisor
