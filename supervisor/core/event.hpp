#pragma once

// What can happen to the core. The shell turns the world into these, nothing else reaches it.
// Every event is defined in every state; one for an unknown worker is ignored and counted.

#include "supervisor/core/inheritance.hpp"
#include "supervisor/core/types.hpp"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace topsman::core {

// Signs of life and death of one worker.
struct Spawned {
    WorkerId worker;
};  ///< exec succeeded

struct BecameReady {
    WorkerId worker;
    config::ReadyBy by = config::ReadyBy::Notify;
};  ///< READY=1, or it was seen listening, or its probe has succeeded; ignored where the pool asks
    ///< for something else

/// A run of its probe has not succeeded, or not yet.
struct Probed {
    WorkerId worker;
    std::string result;  ///< "exited with code 7: connection refused"
};

/// Nobody can see from outside whether it listens.
struct CannotTell {
    WorkerId worker;
};

struct Beat {
    WorkerId worker;
    TimePoint at;
};  ///< WATCHDOG=1, or the SDK's heartbeat in its lane

struct AskedAbort {
    WorkerId worker;
};  ///< WATCHDOG=trigger

struct AskedExtension {
    WorkerId worker;
    Duration by;
};  ///< EXTEND_TIMEOUT_USEC: from now on

struct SaidStopping {
    WorkerId worker;
};  ///< STOPPING=1: it leaves by itself

struct DumpsCore {
    WorkerId worker;
};  ///< the kernel is writing its core: do not kill it yet

struct Exited {
    WorkerId worker;
    ExitReport report;
};  ///< reaped (also: it could not be spawned)

/// The answer to Park: it does nothing but wait.
struct Parked {
    WorkerId worker;
};

/// The other answer: it goes on serving, and why.
struct NotParked {
    WorkerId worker;
    std::string why;
};

/// What a worker has done and takes; as asked for by due_for_measuring().
struct Measurement {
    WorkerId worker;
    std::uint64_t requests = 0;  ///< finished
    std::uint64_t memory = 0;    ///< bytes resident
};

struct Measured {
    std::vector<Measurement> workers;
};

/// How many requests the workers work on, seen right before a wish that may end some of them.
struct Busy {
    struct Line {
        WorkerId worker;
        std::uint32_t in_flight = 0;
    };

    std::vector<Line> workers;
};

// Wishes. A ticket other than 0 is answered by exactly one Reply.
struct Reload {
    Ticket ticket;
    config::Config config;
};  ///< valid, and nothing in it is refused

/// Back to the configuration before the last reload; out of one that is under way or paused.
struct Rollback {
    Ticket ticket;
};

struct Scale {
    Ticket ticket;
    std::string pool;
    std::uint32_t workers;
};

struct Restart {
    Ticket ticket;
    std::optional<std::string> pool;
    std::optional<std::uint32_t> slot;
};

/// Take a slot out of use: its worker finishes what it has begun, and no other comes until the slot
/// is restarted by name.
struct Drain {
    Ticket ticket;
    std::string pool;
    std::uint32_t slot = 0;
};

struct ResetFailed {
    Ticket ticket;
    std::optional<std::string> pool;
};

struct Stop {
    Ticket ticket;
    StopMode mode;
};

// Time.
struct Tick {};  ///< a deadline is due, or may be

struct Stalled {
    Duration by;
};  ///< the master itself was stopped or starved for so long

/// What a dead master left, as its records say and the kernel confirms. It comes before all else,
/// or is ignored: who has workers of his own adopts nobody.
struct Adopt {
    Inheritance left;
};

using Event =
    std::variant<Spawned, BecameReady, Probed, CannotTell, Beat, AskedAbort, AskedExtension,
                 SaidStopping, DumpsCore, Exited, Parked, NotParked, Measured, Busy, Reload,
                 Rollback, Scale, Restart, Drain, ResetFailed, Stop, Tick, Stalled, Adopt>;

/// It says that a worker lives. The shell sorts these before all else.
[[nodiscard]] inline bool is_sign_of_life(const Event& event) {
    return std::holds_alternative<Spawned>(event) || std::holds_alternative<BecameReady>(event) ||
           std::holds_alternative<Probed>(event) || std::holds_alternative<Beat>(event) ||
           std::holds_alternative<AskedExtension>(event) ||
           std::holds_alternative<DumpsCore>(event);
}

/// It may take workers away: the shell says who is Busy before it.
[[nodiscard]] inline bool may_end_workers(const Event& event) {
    return std::holds_alternative<Scale>(event) || std::holds_alternative<Reload>(event) ||
           std::holds_alternative<Rollback>(event);
}

}  // namespace topsman::core
