#pragma once

// A stage with spares: started, parked, and told from the workers.

#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

namespace topsman::core::test {

inline config::Pool pool_with_spares(std::uint32_t workers, std::uint32_t spares) {
    config::Pool pool = pool_of("web", workers);
    pool.spares = spares;
    return pool;
}

inline std::vector<WorkerId> spares_in(const Stage& stage) {
    std::vector<WorkerId> spares;
    for (const WorkerView& worker : stage.core.snapshot().workers) {
        if (worker.role == Role::Spare) {
            spares.push_back(worker.worker);
        }
    }
    return spares;
}

inline std::vector<Spawn> spares_started(const Stage& stage) {
    std::vector<Spawn> started = stage.all<Spawn>();
    std::erase_if(started, [](const Spawn& spawn) { return spawn.slot.index != kNoSlot; });
    return started;
}

inline std::vector<Spawn> workers_started(const Stage& stage) {
    std::vector<Spawn> started = stage.all<Spawn>();
    std::erase_if(started, [](const Spawn& spawn) { return spawn.slot.index == kNoSlot; });
    return started;
}

/// All that start are ready, and what is to be parked is.
inline void warm(Stage& stage) {
    for (int turn = 0; turn < 2; ++turn) {
        for (const WorkerView& worker : stage.core.snapshot().workers) {
            if (worker.state != WorkerState::Starting) {
                continue;
            }
            stage.step(Spawned{worker.worker});
            stage.ready(worker.worker);
            const auto parks = stage.all<Park>();
            EXPECT_EQ(parks.size(), worker.role == Role::Spare ? 1U : 0U);
            for (const Park& park : parks) {
                stage.step(Parked{park.worker});
            }
        }
    }
}

/// All workers serve, all spares are parked.
struct Warmed : Stage {
    explicit Warmed(const config::Pool& pool) : Stage(cluster_of({pool})) {
        start();
        EXPECT_TRUE(spares_started(*this).empty()) << "first those for whom somebody waits";
        warm(*this);
    }
};

}  // namespace topsman::core::test
