#pragma once

// What the core wants done. The shell does it; whatever fails comes back as an event.

#include "supervisor/core/types.hpp"

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

namespace topsman::core {

/// Start a worker of a slot, as that generation of the configuration says. An Exited answers when
/// it cannot be started.
struct Spawn {
    WorkerId worker;
    SlotId slot;
    Generation generation;
};

/// A spare is ready: see to it that it takes no connections from here on. Parked or NotParked
/// answers.
struct Park {
    WorkerId worker;
};

/// A spare has this seat now: let it go on. It may serve already.
struct Release {
    WorkerId worker;
    SlotId slot;
};

enum class SignalKind : std::uint8_t {
    Terminate,  ///< the pool's stop_signal, to the worker itself (and SIGCONT)
    Abort,      ///< the pool's watchdog.signal, to the worker itself
    Kill,       ///< SIGKILL, to the whole worker: its process group
};

struct Signal {
    WorkerId worker;
    SignalKind kind;
};

/// One line of `topsman events`; the shell adds seq, time, pid and words.
enum class Notice : std::uint8_t {
    ConfigLoaded,
    MasterStopping,
    WorkerSpawned,
    WorkerAdopted,
    WorkerReady,
    WorkerDraining,
    WorkerExited,
    SlotWaiting,
    SlotTripped,
    SlotDrained,  ///< nobody is left in it
    SpareParked,
    SpareKept,    ///< it could not be parked, and serves; the reason says why
    SpareSeated,  ///< it took the seat of a worker that died
    RolloutStarted,
    RolloutCanary,  ///< the first new worker has stayed ready: the others follow
    RolloutDone,
    RolloutFailed,
    RolloutPaused,
    RolloutRolledBack,
};

struct Announce {
    Notice notice;
    std::optional<SlotId> slot;  ///< or only its pool
    std::optional<PoolId> pool;
    std::optional<WorkerId> worker;
    std::string reason;  ///< in words, may be empty
};

/// The one record of a death.
struct Obituary {
    WorkerId worker;
    SlotId slot;
    Role role;
    WorkerState state;  ///< at its death
    Generation generation;
    ExitReport report;
    Duration uptime;       ///< since it was spawned
    bool failure = false;  ///< by the restart policy's meaning; false when it was asked to leave
    std::string cause;     ///< why it was killed, if we did it: "watchdog: no sign of life for 5s"
    std::string next;      ///< what happens next: "restarted at once", "next try in 400ms"
};

struct Reply {
    enum class Result : std::uint8_t { Done, Failed, RolledBack, TimedOut };
    Ticket ticket;
    Result result;
    std::string reason;
    std::vector<std::string> lines;
};

/// The service is up (every pool has a ready worker, or its first start deadline has passed).
/// Emitted once. `text` names the pools without.
struct ServiceUp {
    std::string text;
};

/// All workers are gone, the master may end with this code.
struct Exit {
    int code;
};

using Action =
    std::variant<Spawn, Park, Release, Signal, Announce, Obituary, Reply, ServiceUp, Exit>;

/// The order in which the actions of one step are carried out, where it is not their own: those who
/// replace do not wait for what is said and written about the dead one.
inline void sort_by_urgency(std::vector<Action>& actions) {
    const auto rank = [](const Action& action) {
        return std::holds_alternative<Release>(action) ? 0
               : std::holds_alternative<Spawn>(action) ? 1
                                                       : 2;
    };
    std::stable_sort(actions.begin(), actions.end(),
                     [rank](const Action& a, const Action& b) { return rank(a) < rank(b); });
}

}  // namespace topsman::core
