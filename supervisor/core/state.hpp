#pragma once

// Everything that the core knows, and the verbs on it. Private to supervisor/core/: the verbs are
// spread over lifecycle, death, reconcile, reload and wishes, one file for each reason to act.

#include "supervisor/core/action.hpp"
#include "supervisor/core/event.hpp"
#include "supervisor/core/jitter.hpp"
#include "supervisor/core/pool.hpp"
#include "supervisor/core/restart_policy.hpp"
#include "supervisor/core/supervisor_core.hpp"
#include "supervisor/core/tickets.hpp"

#include <optional>
#include <string>
#include <vector>

namespace topsman::core {

struct SupervisorCore::State {
    State(config::Config accepted, std::uint64_t seed)
        : config(std::move(accepted)), jitter(seed) {}

    config::Config config;
    Jitter jitter;
    Phase phase = Phase::Running;
    bool started = false;
    bool up = false;  ///< ServiceUp was said
    Generation generation{1};
    std::vector<Pool> pools;
    Workers workers;
    Tickets tickets;
    std::uint64_t ignored = 0;
    std::uint64_t last_worker = 0;
    std::uint32_t last_pool = 0;
    std::uint64_t last_rollout = 0;

    StopMode stop_mode = StopMode::Graceful;
    std::optional<TimePoint> fast_since;
    int exit_code = 0;
    std::vector<Ticket> stop_tickets;
    TimePoint measured_at{};  ///< the last time that workers were measured, or should have been

    // Of the turn that is under way.
    TimePoint now{};
    std::vector<Action>* out = nullptr;

    // supervisor_core.cpp
    void start();
    [[nodiscard]] Worker* find(WorkerId id);
    [[nodiscard]] Pool& pool_of(const Worker& worker);
    [[nodiscard]] const Pool& pool_of(const Worker& worker) const;
    [[nodiscard]] Pool* find_pool(const std::string& name);
    [[nodiscard]] std::optional<TimePoint> deadline(const Worker& worker) const;
    [[nodiscard]] bool has_free_lane() const;
    void announce(Notice notice, const Worker& worker, std::string reason = {}) const;
    void announce(Notice notice, const Pool& pool, std::string reason = {}) const;

    // lifecycle.cpp: signs of life, deadlines, the table's steps.
    void on(const Spawned& event);
    void on(const BecameReady& event);
    void on(const Beat& event);
    void on(const AskedAbort& event);
    void on(const AskedExtension& event);
    void on(const SaidStopping& event);
    void on(const DumpsCore& event);
    void on(const Measured& event);
    void on(const Tick& event);
    void on(const Stalled& event);
    bool spawn(Pool& pool, Slot& slot, Generation wanted, std::uint64_t rollout);
    Step fire(Worker& worker, Trigger trigger, const std::string& reason = {});
    void become_ready(Worker& worker);
    void send_away(Worker& worker, const std::string& reason = {});
    void expire();
    void expire(Worker& worker);
    [[nodiscard]] std::optional<TimePoint> health_time(const Worker& worker) const;
    void forget_failures(const Worker& worker);
    [[nodiscard]] std::optional<TimePoint> measure_time() const;

    // death.cpp
    void on(const Exited& event);
    std::string bury_successor(Pool& pool, Slot& slot);
    std::string bury_current(Pool& pool, Slot& slot, const Worker& dead, const Death& death);
    std::string say_next_try(const Pool& pool, const Slot& slot, const Worker& dead) const;
    void count_early_death(Pool& pool, Slot& slot);
    bool reaches_start_limit(Pool& pool, bool proven, bool quiet) const;
    void open_breaker(Pool& pool);
    void report_failed_start(Pool& pool, Slot& slot, const Worker& dead, const ExitReport& report);

    // rollout.cpp
    void begin_rollout(Pool& pool, std::optional<std::uint32_t> only,
                       std::optional<Generation> target);
    void withdraw_rollout(Pool& pool);
    void fail_rollout(Pool& pool, const std::string& why);
    void roll(Pool& pool);
    bool replace(Pool& pool, const Replacement& replacement);
    void end_rollout(Pool& pool);
    void recycle(Pool& pool);

    // reconcile.cpp
    void reconcile();
    void fill(Pool& pool);
    void drop_empty_pools();
    void say_up();
    void finish();

    // reload.cpp
    void on(const Reload& event);
    Pool make_pool(const config::Pool& spec);
    void add_pool(const config::Pool& spec, Wait& wait);
    void remove_pool(Pool& pool, Wait& wait);
    void change_pool(Pool& pool, const config::Pool& after, Wait& wait);
    void resize(Pool& pool, std::uint32_t workers, Wait& wait);

    // wishes.cpp
    void on(const Scale& event);
    void on(const Restart& event);
    void on(const ResetFailed& event);
    void on(const Stop& event);
    void begin_stop(StopMode mode, int code, const std::string& why);
    [[nodiscard]] std::string no_such_pool(const std::string& name) const;
    void refuse(Ticket ticket, const std::string& why) const;
};

}  // namespace topsman::core
