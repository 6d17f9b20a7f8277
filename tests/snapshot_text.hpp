#pragma once

// All that a snapshot of the core says, in words that can be compared. Pools go by their names: a
// core that took over counts them anew.

#include "supervisor/core/supervisor_core.hpp"

#include <optional>
#include <sstream>
#include <string>

namespace topsman::core::test {

inline std::string in_words(const Snapshot& snapshot) {
    std::ostringstream out;
    const auto at = [&out](const std::optional<TimePoint>& time) {
        out << ' ' << (time ? time->time_since_epoch().count() : -1);
    };
    const auto name_of = [&snapshot](PoolId id) {
        for (const PoolView& pool : snapshot.pools) {
            if (pool.pool == id) {
                return pool.name;
            }
        }
        return std::string("-");
    };
    out << static_cast<int>(snapshot.phase) << ' ' << snapshot.generation.value << '\n';
    for (const PoolView& pool : snapshot.pools) {
        out << pool.name << ' ' << pool.wanted << ' ' << pool.configured << ' ' << pool.ready << ' '
            << pool.drained << ' ' << pool.failures << ' ' << pool.breaker_open << ' '
            << pool.generation.value << ' ' << static_cast<int>(pool.stage) << ' ' << pool.rollout;
        at(pool.not_before);
        out << '\n';
        for (const SlotView& slot : pool.slots) {
            out << "  " << slot.slot.index << ' ' << static_cast<int>(slot.phase) << ' '
                << slot.restarts << ' ' << slot.failures << ' ' << slot.lasts;
            at(slot.not_before);
            out << '\n';
        }
    }
    for (const WorkerView& worker : snapshot.workers) {
        out << worker.worker.value << ' ' << name_of(worker.slot.pool) << '/' << worker.slot.index
            << ' ' << static_cast<int>(worker.role) << ' ' << static_cast<int>(worker.state) << ' '
            << worker.generation.value << ' ' << static_cast<int>(worker.spare);
        for (const auto& time : {std::optional(worker.spawned_at), worker.ready_at,
                                 worker.last_beat, worker.deadline}) {
            at(time);
        }
        out << '\n';
    }
    return out.str();
}

}  // namespace topsman::core::test
