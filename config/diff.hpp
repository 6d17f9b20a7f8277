#pragma once

// What changes between two configurations, as a value: reload acts on it, `topsman reload` prints
// it, tests compare it.

#include "config/model.hpp"

#include <string>
#include <vector>

namespace topsman::config {

struct PoolChange {
    std::string pool;
    bool added = false;
    bool removed = false;
    bool exec = false;    ///< the workers must be replaced
    bool policy = false;  ///< time-outs, restart, backoff, ...: applies at once
    std::uint32_t workers_before = 0;
    std::uint32_t workers_after = 0;
    std::vector<std::string> keys;  ///< what changed, as YAML paths below the pool: "command"
    friend bool operator==(const PoolChange&, const PoolChange&) = default;
};

struct Diff {
    std::vector<PoolChange> pools;  ///< only the pools with a change, in the new file's order
    std::vector<std::string>
        listeners;                     ///< one line for each change: "listener http: removed, ..."
    std::vector<std::string> refused;  ///< one sentence for each change that a reload cannot make
    std::vector<std::string>
        other;  ///< changed keys outside of pools that apply at once: "log.level"
    std::vector<std::string> shared;  ///< a line for each key below `shared` that changes

    [[nodiscard]] bool empty() const {
        return pools.empty() && listeners.empty() && refused.empty() && other.empty() &&
               shared.empty();
    }

    /// One line for each change, for the operator: "web: workers 4 -> 8".
    [[nodiscard]] std::vector<std::string> lines() const;
};

[[nodiscard]] Diff diff(const Config& before, const Config& after);

}  // namespace topsman::config
