#pragma once

// A stage for the core: a clock that the test moves, configurations in one line, and the actions of
// the last steps by kind. No process exists here.

#include "supervisor/core/supervisor_core.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace topsman::core::test {

using namespace std::chrono_literals;

/// What runs, and what is to run instead.
inline constexpr Generation kOld{1};
inline constexpr Generation kNew{2};

inline config::Pool pool_of(const std::string& name, std::uint32_t workers) {
    config::Pool pool;
    pool.name = name;
    pool.exec.command = {"serve"};
    pool.workers = workers;
    pool.ready.by = config::ReadyBy::Notify;
    pool.backoff.jitter = 0;
    pool.rollout.observe = 0s;
    pool.rollout.on_failure = config::OnFailure::Pause;
    return pool;
}

inline config::Config cluster_of(std::vector<config::Pool> pools) {
    config::Config config;
    config.cluster = "test";
    config.pools = std::move(pools);
    return config;
}

inline ExitReport exited(int code) {
    return {ExitReport::Kind::Exited, code, false, {}};
}

inline ExitReport signaled(int signal) {
    return {ExitReport::Kind::Signaled, signal, false, {}};
}

inline ExitReport not_started(std::string detail) {
    return {ExitReport::Kind::SpawnFailed, 2, false, std::move(detail)};
}

class Stage {
  public:
    explicit Stage(config::Config config) : core(std::move(config), 1) {}

    /// One event; the actions before it are forgotten.
    void step(const Event& event) {
        actions.clear();
        core.step(event, now, actions);
    }

    void start() { step(Tick{}); }

    /// Time passes, and the core is woken as often as it asks for it.
    void pass(Duration duration) {
        const TimePoint end = now + duration;
        std::vector<Action> all;
        for (auto due = core.next_deadline(); due && *due <= end; due = core.next_deadline()) {
            now = std::max(now, *due);
            step(Tick{});
            all.insert(all.end(), actions.begin(), actions.end());
        }
        now = end;
        step(Tick{});
        all.insert(all.end(), actions.begin(), actions.end());
        actions = std::move(all);
    }

    template <class Kind>
    [[nodiscard]] std::vector<Kind> all() const {
        std::vector<Kind> found;
        for (const Action& action : actions) {
            if (const auto* kind = std::get_if<Kind>(&action)) {
                found.push_back(*kind);
            }
        }
        return found;
    }

    [[nodiscard]] bool announced(Notice notice) const {
        const auto announces = all<Announce>();
        return std::any_of(announces.begin(), announces.end(),
                           [notice](const Announce& said) { return said.notice == notice; });
    }

    /// The signals sent to one worker by the last step.
    [[nodiscard]] std::vector<SignalKind> signals(WorkerId worker) const {
        std::vector<SignalKind> kinds;
        for (const Signal& signal : all<Signal>()) {
            if (signal.worker == worker) {
                kinds.push_back(signal.kind);
            }
        }
        return kinds;
    }

    /// Each worker of the pool that is Starting becomes ready.
    void make_ready() {
        for (const WorkerView& worker : core.snapshot().workers) {
            if (worker.state == WorkerState::Starting) {
                step(Spawned{worker.worker});
                ready(worker.worker);
            }
        }
    }

    /// A started cluster whose workers all serve.
    void serve() {
        start();
        make_ready();
    }

    /// And the tick that may be due with it.
    void ready(WorkerId worker) {
        step(BecameReady{worker});
        if (const auto due = core.next_deadline(); due && *due <= now) {
            core.step(Tick{}, now, actions);
        }
    }

    void exit(WorkerId worker, ExitReport report) { step(Exited{worker, std::move(report)}); }

    [[nodiscard]] WorkerId holder(std::uint32_t slot, Role role = Role::Current,
                                  std::uint32_t pool = 0) const {
        const Snapshot snapshot = core.snapshot();
        for (const WorkerView& worker : snapshot.workers) {
            if (worker.slot == SlotId{snapshot.pools[pool].pool, slot} && worker.role == role) {
                return worker.worker;
            }
        }
        return WorkerId{};
    }

    [[nodiscard]] WorkerView worker(WorkerId id) const {
        for (const WorkerView& view : core.snapshot().workers) {
            if (view.worker == id) {
                return view;
            }
        }
        return WorkerView{};
    }

    [[nodiscard]] PoolView pool(std::size_t index = 0) const {
        return core.snapshot().pools.at(index);
    }

    [[nodiscard]] SlotView slot(std::uint32_t index) const { return pool().slots.at(index); }

    [[nodiscard]] std::size_t living() const { return core.snapshot().workers.size(); }

    TimePoint now{1h};
    SupervisorCore core;
    std::vector<Action> actions;
};

/// The same master, executed anew at this time.
struct Anew : Stage {
    explicit Anew(const Stage& before) : Stage(before.core.config()) {
        now = before.now;
        step(Adopt{before.core.inheritance()});
    }
};

}  // namespace topsman::core::test
