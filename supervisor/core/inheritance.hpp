#pragma once

// What a master that has died leaves to the next one, in the words of the core: its living workers
// and what it had decided about slots and pools. It was read from memory that workers may write to,
// so nothing in it is believed further than it makes sense.

#include "supervisor/core/types.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace topsman::core {

/// A process that lives, or one whose Exited follows: then its slot deals with its death as always.
struct LeftWorker {
    WorkerId worker;
    std::string pool;
    std::uint32_t slot = 0;
    Generation generation;
    bool outdated = false;     ///< it was executed from something else than the file says now
    std::optional<Role> role;  ///< none: its master died while it was being started
    WorkerState state = WorkerState::Starting;
    bool said_ready = false;  ///< in its lane, which no master's death can lose
    TimePoint spawned_at;
    std::optional<TimePoint> ready_at;
    std::optional<TimePoint> last_beat;
};

struct LeftSlot {
    std::string pool;
    std::uint32_t slot = 0;
    SlotPhase phase = SlotPhase::Vacant;
    std::uint64_t restarts = 0;
    std::uint32_t failures = 0;
    std::optional<TimePoint> not_before;  ///< Waiting
};

struct LeftPool {
    std::string name;
    std::uint32_t wanted = 0;
    std::uint32_t configured = 0;  ///< in the file of then; else it had been scaled
    Generation generation;
    bool outdated = false;  ///< what that generation was started from is not what the file says now
    bool breaker_open = false;
    std::uint32_t failures = 0;
    TimePoint not_before{};
};

struct Inheritance {
    Generation generation;
    WorkerId last_worker;  ///< no id up to here is used again
    std::vector<LeftPool> pools;
    std::vector<LeftSlot> slots;
    std::vector<LeftWorker> workers;
};

}  // namespace topsman::core
