#pragma once

// A stage for who goes on with what a dead master left: its pool `web` at generation 3.

#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

namespace topsman::core::test {

class AdoptionTest : public testing::Test {
  protected:
    explicit AdoptionTest(std::uint32_t workers = 2)
        : stage(cluster_of({pool_of("web", workers)})) {
        stage.now += 1h;
        left.generation = Generation{3};
        left.last_worker = WorkerId{20};
        LeftPool pool;
        pool.name = "web";
        pool.wanted = pool.configured = workers;
        pool.generation = Generation{3};
        left.pools = {pool};
    }

    LeftWorker& leave(std::uint64_t id, std::uint32_t slot,
                      std::optional<Role> role = Role::Current,
                      WorkerState state = WorkerState::Serving) {
        LeftWorker worker;
        worker.worker = WorkerId{id};
        worker.pool = "web";
        worker.slot = slot;
        worker.generation = Generation{3};
        worker.role = role;
        worker.state = state;
        worker.spawned_at = stage.now - 10min;
        if (state == WorkerState::Serving) {
            worker.ready_at = worker.spawned_at;
        }
        return left.workers.emplace_back(worker);
    }

    void adopt() { stage.step(Adopt{left}); }

    WorkerView view(std::uint64_t id) const {
        for (const WorkerView& worker : stage.core.snapshot().workers) {
            if (worker.worker == WorkerId{id}) {
                return worker;
            }
        }
        ADD_FAILURE() << "no worker " << id;
        return {};
    }

    Stage stage;
    Inheritance left;
};

}  // namespace topsman::core::test
