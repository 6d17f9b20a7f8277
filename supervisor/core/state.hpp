#pragma once

// Everything that the core knows, and the verbs on it. Private to supervisor/core/: the verbs are
// spread over lifecycle, death, rollout, spares, reconcile, change, reload, leavers, drain and
// wishes, one file for each reason to act.

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

/// A reload whose rollouts are under way, or paused. It takes effect as a whole or not at all: what
/// it takes away (workers, pools) is taken away when they are done.
struct Change {
    std::uint64_t id = 0;
    Version base;         ///< what to go back to: nothing since then has proven itself
    std::string failure;  ///< why it is being undone; empty: it is not
    bool goes_back = false;
    std::map<PoolId, std::uint32_t> shrink;
    std::set<WorkerId> leaving;  ///< what was taken away already
};

struct SupervisorCore::State {
    State(config::Config accepted, std::uint64_t seed)
        : config(std::move(accepted)), jitter(seed) {}

    config::Config config;
    Jitter jitter;
    Phase phase = Phase::Running;
    bool started = false;
    bool up = false;  ///< ServiceUp was said
    Generation generation{1};
    Generation last_generation{1};
    std::uint64_t revision = 1;  ///< counts what was in force, and how far it was
    std::optional<Change> change;
    std::optional<Version> previous;  ///< in force before the last reload
    std::vector<Pool> pools;
    Workers workers;
    Tickets tickets;
    std::uint64_t ignored = 0;
    std::uint64_t last_worker = 0;
    std::uint32_t last_pool = 0;
    std::uint64_t last_rollout = 0;
    std::uint64_t last_change = 0;

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
    void announce_config() const;
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
    void on(const Probed& event);
    void on(const CannotTell& event);
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
    void become_ready(Worker& worker, const std::string& reason = {});
    static void prove(const Pool& pool, Slot& slot, const Worker& worker);
    void take_seat(Worker& worker);
    void send_away(Worker& worker, const std::string& reason = {});
    void expire();
    void expire(Worker& worker);
    [[nodiscard]] std::optional<TimePoint> health_time(const Worker& worker) const;
    void forget_failures(const Worker& worker);
    [[nodiscard]] std::optional<TimePoint> measure_time() const;

    // adoption.cpp
    void on(const Adopt& event);
    void number_anew(const Inheritance& left);
    void resume_versions(const Inheritance& left);
    void go_on(const Legacy& legacy);
    void resume(Pool& pool, const Inheritance& left);
    void number_slots(Pool& pool, std::size_t size, const Inheritance& left) const;
    void resume_slots(Pool& pool, const Inheritance& left, bool outdated);
    void take_in(const LeftWorker& left, bool is_known);
    Pool& pool_named(const std::string& name);
    void prove_seat(const Worker& worker);
    void settle_in(WorkerId id, bool said_ready);
    void settle_successor(Pool& pool, Worker& worker);
    void settle_spare(Worker& worker, bool said_ready);
    void renew_outdated(Pool& pool);
    bool replace_silent(Worker& worker);

    // death.cpp
    void on(const Exited& event);
    std::string bury_successor(Pool& pool, Slot& slot);
    std::string bury_current(Pool& pool, Slot& slot, const Worker& dead, const Death& death);
    std::string say_next_try(const Pool& pool, const Slot& slot, const Worker& dead) const;
    void count_early_death(Pool& pool, Slot& slot);
    void space_starts(Pool& pool);
    bool reaches_start_limit(Pool& pool, bool proven, bool quiet) const;
    void open_breaker(Pool& pool);
    [[nodiscard]] bool fails_rollout(const Pool& pool, const Worker& dead) const;
    void report_failed_start(Pool& pool, Slot& slot, const Worker& dead, const ExitReport& report);

    // rollout.cpp
    void begin_restart(Pool& pool, std::optional<std::uint32_t> only, Wait& wait);
    void start_rollout(Pool& pool, std::optional<Generation> target, RolloutStage stage);
    bool begin_target(Pool& pool, Generation target);
    [[nodiscard]] std::size_t lasting_size(const Pool& pool) const;
    static void want_renewal(Pool& pool, Slot& slot);
    void withdraw_rollout(Pool& pool, std::set<WorkerId>& leaving);
    void fail_rollout(Pool& pool, const std::string& why);
    void retry_going_back(Pool& pool, Slot& slot, const std::string& why);
    void judge_canary(Pool& pool);
    void pass_canary(Pool& pool);
    void roll(Pool& pool);
    void fill_renewals(Pool& pool);
    bool replace(Pool& pool, const Replacement& replacement);
    void end_rollout(Pool& pool);
    void say_rolled_back(Pool& pool);
    void recycle(Pool& pool);

    // spares.cpp
    void on(const Parked& event);
    void on(const NotParked& event);
    [[nodiscard]] Worker* find_warming(WorkerId id);
    bool seat_spare(Pool& pool, Slot& slot);
    void renew_spares(Pool& pool);
    void keep_spares(Pool& pool);
    [[nodiscard]] std::uint32_t spares_wanted(const Pool& pool) const;
    [[nodiscard]] bool may_start_spare(const Pool& pool) const;
    [[nodiscard]] std::vector<WorkerId> spares_of(const Pool& pool) const;
    [[nodiscard]] std::optional<TimePoint> renewal_time(const Worker& spare) const;
    [[nodiscard]] std::optional<TimePoint> spare_time(const Pool& pool) const;
    void start_spare(Pool& pool);
    std::string bury_spare(Pool& pool);

    // reconcile.cpp
    void reconcile();
    void fill(Pool& pool);
    void drop_empty_pools();
    void say_up();
    void finish();

    // change.cpp: from one version to another, and back
    void on(const Reload& event);
    void on(const Rollback& event);
    [[nodiscard]] Version version_of(const config::Config& wanted);
    [[nodiscard]] Version running_version() const;
    [[nodiscard]] bool has_to_roll(const Pool& pool, Generation target) const;
    void go_to(const Version& target, Ticket ticket);
    void go_back(const std::string& why);
    void outlast_change(Pool& pool, bool stays_after_all);
    void settle_change();
    void take_away();

    // reload.cpp: what a version changes at once, and what it sets going
    void put_in_force(const Version& version, Wait& wait);
    Pool make_pool(const config::Pool& spec, Generation runs);
    void add_pool(const config::Pool& spec, Generation runs, Wait& wait);
    void remove_pool(Pool& pool, Wait& wait);
    void change_pool(Pool& pool, const config::Pool& after, Generation runs, Wait& wait);
    void revive_slots(Pool& pool, bool finished_too);
    void resize(Pool& pool, std::uint32_t workers, Wait& wait);

    // leavers.cpp
    void on(const Busy& event);
    void put_leavers_last(Pool& pool, std::size_t size);
    void end_oldest(Pool& pool);

    // drain.cpp: slots out of use, and back
    void on(const Drain& event);
    [[nodiscard]] bool is_last_to_serve(const Pool& pool, const Slot& slot) const;
    [[nodiscard]] std::set<WorkerId> workers_in(SlotId slot) const;
    void say_drained(const Pool& pool, SlotId slot) const;
    void put_back(Pool& pool, std::optional<std::uint32_t> only, Wait& wait);
    void clear_seat(Pool& pool, const Slot& seat, const std::string& why, Wait& wait);

    // wishes.cpp
    void on(const Scale& event);
    void on(const Restart& event);
    void on(const ResetFailed& event);
    void on(const Stop& event);
    void begin_stop(StopMode mode, int code, const std::string& why);
    [[nodiscard]] Pool* pool_wished(const std::string& name, Ticket ticket);
    [[nodiscard]] std::string no_such_pool(const std::string& name) const;
    [[nodiscard]] static std::string no_such_slot(const Pool& pool, std::uint32_t index);
    void refuse(Ticket ticket, const std::string& why) const;
};

}  // namespace topsman::core
