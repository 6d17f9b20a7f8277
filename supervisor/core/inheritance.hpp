#pragma once

// What a master that has died leaves to the next one, in the words of the core: its living workers
// and what it had decided about slots, pools and configurations. All but the last was read from
// memory that workers may write to, so nothing in it is believed further than it makes sense.
// A master that executes itself anew (an upgrade) leaves the same to itself, and more exactly.

#include "supervisor/core/types.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace topsman::core {

/// A configuration, and what each of its pools runs in it.
struct Version {
    config::Config config;
    Generation generation;
    std::map<std::string, Generation> pools;
};

/// What is in force, what a reload or its rollback is on the way from, and what `rollback` goes to:
/// the next master goes on where this one dies.
struct Legacy {
    Version current;
    std::optional<Version> base;  ///< a reload is under way, paused or being undone
    bool goes_back = false;       ///< it is being undone: `base` is current again
    std::string failure;          ///< why
    std::optional<Version> previous;
    std::set<std::string> paused;             ///< pools whose rollout waits for the operator
    std::map<std::string, std::string> ends;  ///< by pool: how its last rollout ended, if not well

    /// What has proven itself, and what is gone back to.
    [[nodiscard]] const Version& footing() const { return base && !goes_back ? *base : current; }
};

/// How far a worker is in its state. Only the master that goes on itself knows it.
struct Course {
    TimePoint since;  ///< its deadline counts from here
    std::optional<TimePoint> extended_until;
    bool adopted = false;  ///< of a dead master before
    bool asked_to_leave = false;
    bool said_stopping = false;
    std::string cause;  ///< why it is being ended by force
    double recycle_jitter = 0;
    std::optional<TimePoint> recycle_not_before{};
    bool cannot_tell = false;  ///< whether it listens
    friend bool operator==(const Course&, const Course&) = default;
};

/// A process that lives, or one whose Exited follows: then its slot deals with its death as always.
struct LeftWorker {
    WorkerId worker;
    std::string pool;
    std::uint32_t slot = 0;
    Generation generation;
    bool outdated = false;     ///< what it was executed from is neither known nor what is wanted
    std::optional<Role> role;  ///< none: its master died while it was being started
    WorkerState state = WorkerState::Starting;
    bool said_ready = false;  ///< in its lane, which no master's death can lose
    TimePoint spawned_at;
    std::optional<TimePoint> ready_at;
    std::optional<TimePoint> last_beat;
    SpareStage spare = SpareStage::None;  ///< of a spare: Parked, or it is parked again
    std::optional<Course> course{};       ///< none: nobody is late because there was no master
    friend bool operator==(const LeftWorker&, const LeftWorker&) = default;
};

/// What its lane and the kernel say of a spare whose record may be older than what its master did
/// with it last.
struct SpareSigns {
    bool waits = false;                   ///< by itself, or it is stopped
    bool is_let_go = false;               ///< its waiting was ended
    std::optional<std::uint32_t> seat{};  ///< for this one; none: it was told to leave
};

/// Of a spare: one that was given a seat has it and gets no other, and one that runs is not parked.
void believe(LeftWorker& spare, const SpareSigns& signs);

struct LeftSlot {
    std::string pool;
    std::uint32_t slot = 0;
    SlotPhase phase = SlotPhase::Vacant;
    std::uint64_t restarts = 0;
    std::uint32_t failures = 0;
    std::optional<TimePoint> not_before;     ///< Waiting
    std::optional<Generation> generation{};  ///< what it is refilled with; none: the pool's
    std::optional<WorkerId> after{};         ///< Vacant until that one is gone
    friend bool operator==(const LeftSlot&, const LeftSlot&) = default;
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
    std::vector<TimePoint> start_failures{};  ///< what its start limit remembers
    std::optional<Generation> unseen{};       ///< never seen listening
    std::uint32_t spare_failures = 0;         ///< deaths of spares in a row
    TimePoint spare_not_before{};             ///< the next one is not started earlier
    friend bool operator==(const LeftPool&, const LeftPool&) = default;
};

struct Inheritance {
    Generation generation;
    WorkerId last_worker;  ///< no id up to here is used again
    /// Kept where no worker can write. Without: the generations of then are not known any more, and
    /// what was executed from something else than the configuration in force is renewed.
    std::optional<Legacy> legacy;
    std::vector<LeftPool> pools;
    std::vector<LeftSlot> slots;
    std::vector<LeftWorker> workers;
    /// It is the master itself that goes on, executed anew: nothing has happened to anybody.
    bool same_master = false;
    bool is_up = false;  ///< then that was said
};

}  // namespace topsman::core
