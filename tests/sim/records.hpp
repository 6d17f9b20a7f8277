#pragma once

// What the shell writes down for the next master: configurations before anybody is started from
// them, a worker before it is there, and how everything stands after each turn. A master that dies
// within a turn leaves records that are older than what it did.

#include "supervisor/core/action.hpp"
#include "supervisor/core/inheritance.hpp"
#include "supervisor/core/supervisor_core.hpp"

#include <functional>
#include <map>
#include <string>

namespace topsman::sim {

/// What each generation runs, by pool.
using Specs = std::map<core::Generation, std::map<std::string, config::Pool>>;

class Records {
  public:
    /// After each step, before its actions are carried out, and when `specs` change.
    void keep(const core::SupervisorCore& core, const Specs& specs);

    [[nodiscard]] const Specs& specs() const { return specs_; }

    void started(const core::Spawn& spawn, const std::string& pool, core::TimePoint now);

    /// It was reaped, and its lane is free.
    void buried(core::WorkerId worker) { workers_.erase(worker); }

    /// After each turn.
    void publish(const core::Snapshot& snapshot);

    /// What its lane says beside its record.
    struct Lane {
        bool said_ready = false;
        core::SpareSigns spare;
    };

    using LaneOf = std::function<Lane(core::WorkerId)>;

    [[nodiscard]] core::Inheritance left(const LaneOf& lane_of) const;

  private:
    core::Legacy legacy_;
    Specs specs_;
    core::Snapshot board_;
    std::map<core::WorkerId, core::LeftWorker> workers_;
    core::WorkerId last_worker_;
};

}  // namespace topsman::sim
