#pragma once

// Every event that there is, as `topsman events` prints it and --until takes it.

#include <algorithm>
#include <array>
#include <string_view>

namespace topsman::control {

inline constexpr std::array<std::string_view, 25> kEventNames{
    "config.loaded",   "config.refused",      "listener.closed", "listener.nudged",
    "master.started",  "master.stopping",     "master.upgraded", "rollout.canary",
    "rollout.paused",  "rollout.rolled_back", "rollout.done",    "rollout.failed",
    "rollout.started", "slot.drained",        "slot.tripped",    "slot.waiting",
    "spare.kept",      "spare.parked",        "spare.seated",    "worker.adopted",
    "worker.draining", "worker.exited",       "worker.ready",    "worker.spawned",
    "upgrade.failed",
};

[[nodiscard]] constexpr bool is_event(std::string_view name) {
    return std::find(kEventNames.begin(), kEventNames.end(), name) != kEventNames.end();
}

}  // namespace topsman::control
