#pragma once

// The words of the core. It links the config model and nothing else: no I/O, no clock, no log.

#include "config/model.hpp"
#include "shm/base/slot_name.hpp"
#include "shm/base/strong_id.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace topsman::core {

using Clock = std::chrono::steady_clock;  // only as a type: nobody calls now() here
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

using WorkerId = StrongId<struct WorkerTag, std::uint64_t>;  ///< one incarnation, never used again
using PoolId = StrongId<struct PoolTag, std::uint32_t>;      ///< stable over reloads
using Generation = StrongId<struct GenerationTag, std::uint32_t>;  ///< which configuration it runs
using Ticket = StrongId<struct TicketTag, std::uint64_t>;  ///< who waits for an answer; 0: nobody

struct SlotId {
    PoolId pool;
    std::uint32_t index = 0;  ///< kNoSlot: a spare's
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the comparison with 0 for a null.
    friend constexpr auto operator<=>(const SlotId&, const SlotId&) = default;
};

/// A Worker object exists only while its process does.
enum class WorkerState : std::uint8_t { Starting, Serving, Draining, Aborting, Killing };
enum class Role : std::uint8_t { Current, Successor, Leaving, Spare };
/// How far a spare is. Ready it is tried to be parked, so that it takes no connections.
enum class SpareStage : std::uint8_t {
    None,     ///< it is no spare, or not any more
    Warming,  ///< it starts, or is being parked
    Parked,   ///< it waits, and does nothing else
    Kept,     ///< it could not be parked, and serves
};
enum class SlotPhase : std::uint8_t { Vacant, Waiting, Occupied, Tripped, Finished, Drained };
enum class Phase : std::uint8_t { Running, Stopping, Stopped };
enum class RolloutStage : std::uint8_t { Idle, Canary, Rolling, RollingBack, Paused };
enum class StopMode : std::uint8_t { Graceful, Fast, Now };

/// How a process ended.
struct ExitReport {
    enum class Kind : std::uint8_t {
        Exited,       ///< value: the exit code
        Signaled,     ///< value: the signal
        SpawnFailed,  ///< it never ran: value is errno, `detail` says what ("chdir /srv/app: ...")
        Unknown,      ///< not our child, and nobody knows
    };
    Kind kind = Kind::Unknown;
    int value = 0;
    bool core_dumped = false;
    std::string detail;
    std::string last_words{};  ///< what it said of its end, if anything
    friend bool operator==(const ExitReport&, const ExitReport&) = default;
};

inline constexpr int kExitConfiguration = 78;  // "my configuration is wrong: do not try again"

}  // namespace topsman::core
