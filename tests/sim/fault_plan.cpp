#include "tests/sim/fault_plan.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace topsman::sim {
namespace {

using namespace std::chrono_literals;
using core::ExitReport;

// Most weights of a run are nothing, so that the rest can be seen.
double weight(Dice& dice, double most) {
    return dice.chance(0.5) ? 0.0 : most * static_cast<double>(dice.between(1, 100)) / 100;
}

std::chrono::milliseconds ms(std::uint64_t count) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(count));
}

}  // namespace

FaultPlan::FaultPlan(std::uint64_t seed) : dice(seed), fate(~seed) {
    reload = weight(dice, 0.01);
    rollback = weight(dice, 0.005);
    scale = weight(dice, 0.02);
    restart = weight(dice, 0.02);
    drain = weight(dice, 0.02);
    reset = weight(dice, 0.01);
    stop = dice.chance(0.2) ? 0.002 : 0.0;
    stall = weight(dice, 0.02);
    stale = weight(dice, 0.05);
    silence = weight(dice, 0.01);
    crash_ = weight(dice, 0.5);
    hang_ = weight(dice, 0.3);
    deaf_ = weight(dice, 0.3);
    spawn_error_ = weight(dice, 0.2);
    slow_ = weight(dice, 0.3);
    talkative_ = weight(dice, 0.3);
    bad_program_ = weight(dice, 0.7);
    tight_lanes_ = dice.chance(0.1);
    master_dies = weight(fate, 0.02);
    upgrade = weight(fate, 0.02);
}

config::Config FaultPlan::first_config() {
    config::Config config;
    config.cluster = "sim";
    config.segment.lanes = 256;
    const std::uint64_t pools = dice.between(1, 3);
    for (std::uint64_t index = 0; index < pools; ++index) {
        config.pools.push_back(new_pool("pool" + std::to_string(index)));
    }
    if (tight_lanes_) {
        std::uint32_t wanted = 1;
        for (const config::Pool& pool : config.pools) {
            wanted += pool.workers + pool.rollout.max_surge + pool.spares;
        }
        config.segment.lanes = wanted + 1;  // fewer than `check` allows: workers have to wait
    }
    return config;
}

config::Pool FaultPlan::new_pool(const std::string& name) {
    config::Pool pool;
    pool.name = name;
    pool.workers = static_cast<std::uint32_t>(dice.between(1, 5));
    pool.exec.command = {program::kGood};
    if (dice.chance(0.5)) {
        pool.exec.listeners = {"http"};
    }
    if (dice.chance(bad_program_ / 2)) {
        draw_program(pool);
    }
    draw_policies(pool);
    return pool;
}

bool FaultPlan::parks_itself(const config::Pool& pool) {
    return pool.name.back() % 2 == 0;
}

void FaultPlan::draw_program(config::Pool& pool) {
    pool.exec.command = {
        dice.pick({program::kGood, program::kGood, program::kCrash, program::kNever,
                   program::kMissing, program::kRefusing, program::kBrief}),
        std::to_string(++revision_)};
}

void FaultPlan::draw_policies(config::Pool& pool) {
    using config::BreakerAction;
    using config::ReadyBy;
    using config::RestartPolicy;
    pool.ready.by = dice.pick({ReadyBy::Notify, ReadyBy::Notify, ReadyBy::Notify,
                               ReadyBy::Listening, ReadyBy::Exec, ReadyBy::None});
    pool.ready.assumed = pool.ready.by == ReadyBy::Listening && dice.chance(0.8);
    pool.ready.timeout = ms(dice.between(1, 10) * 1000);
    pool.ready.min_uptime = ms(dice.between(0, 4) * 500);
    pool.watchdog.timeout = dice.chance(0.5) ? ms(dice.between(2, 10) * 500) : ms(0);
    pool.watchdog.kill_after = ms(dice.between(0, 5) * 1000);
    pool.restart =
        dice.pick({RestartPolicy::Always, RestartPolicy::Always, RestartPolicy::Always,
                   RestartPolicy::OnFailure, RestartPolicy::OnAbnormal, RestartPolicy::No});
    pool.backoff.initial = ms(dice.between(0, 5) * 100);
    pool.backoff.factor = dice.pick({1.0, 1.5, 2.0, 3.0});
    pool.backoff.max = ms(dice.between(1, 30) * 1000);
    pool.backoff.jitter = dice.pick({0.0, 0.2, 0.5});
    pool.backoff.reset_after = ms(dice.between(1, 60) * 1000);
    pool.start_limit.burst = dice.chance(0.5) ? 0 : static_cast<std::uint32_t>(dice.between(1, 8));
    pool.start_limit.interval = ms(dice.between(1, 20) * 1000);
    pool.start_limit.action = dice.chance(0.1)
                                  ? BreakerAction::Exit
                                  : dice.pick({BreakerAction::Degrade, BreakerAction::Stop});
    pool.stop_timeout = ms(dice.between(0, 10) * 500);
    pool.rollout.max_surge = static_cast<std::uint32_t>(dice.between(0, 2));
    pool.rollout.max_unavailable =
        static_cast<std::uint32_t>(dice.between(pool.rollout.max_surge == 0 ? 1 : 0, 2));
    pool.rollout.observe = ms(dice.pick<std::uint64_t>({0, 200, 1000, 5000}));
    pool.rollout.delay = ms(dice.pick<std::uint64_t>({0, 0, 100, 2000}));
    pool.rollout.on_failure =
        dice.chance(0.7) ? config::OnFailure::Rollback : config::OnFailure::Pause;
    pool.spares = dice.chance(0.4) ? static_cast<std::uint32_t>(dice.between(1, 3)) : 0;
    pool.spare_lifetime = ms(dice.pick<std::uint64_t>({0, 5'000, 60'000}));
    pool.max_old_generations = static_cast<std::uint32_t>(dice.pick({0, 0, 1, 2}));
    pool.recycle.lifetime = dice.chance(0.3) ? ms(dice.between(2, 60) * 1000) : ms(0);
    pool.recycle.jitter = dice.pick({0.0, 0.1, 1.0});
    pool.recycle.requests = dice.chance(0.2) ? 1'000 : 0;
    pool.recycle.memory = dice.chance(0.2) ? 1'000 : 0;
}

config::Config FaultPlan::next_config(const config::Config& before) {
    config::Config after = before;
    for (config::Pool& pool : after.pools) {
        if (dice.chance(0.4)) {
            pool.workers = static_cast<std::uint32_t>(dice.between(1, 5));
        }
        if (dice.chance(0.3)) {
            draw_policies(pool);
        }
        if (dice.chance(0.5)) {
            if (dice.chance(bad_program_)) {
                draw_program(pool);
            } else {
                pool.exec.command = {program::kGood, std::to_string(++revision_)};
            }
        }
    }
    if (!tight_lanes_ && dice.chance(0.2) && after.pools.size() > 1) {
        after.pools.erase(after.pools.begin());
    } else if (!tight_lanes_ && dice.chance(0.2) && after.pools.size() < 4) {
        after.pools.push_back(new_pool("added" + std::to_string(++revision_)));
    }
    std::uint32_t wanted = 0;
    for (const config::Pool& pool : after.pools) {
        // Where lanes are short those of before, which leave last, have to fit in, too.
        const config::Pool* was = tight_lanes_ ? before.find_pool(pool.name) : nullptr;
        wanted += was == nullptr ? pool.workers : std::max(pool.workers, was->workers);
        wanted += pool.rollout.max_surge + pool.spares;
    }
    const std::uint32_t most = tight_lanes_ ? after.segment.lanes - 1 : after.segment.lanes / 2;
    return wanted > most ? before : after;
}

config::Config FaultPlan::healed(const config::Config& before) const {
    config::Config after = before;
    for (config::Pool& pool : after.pools) {
        pool.exec.command = {program::kGood, "healed"};
        pool.restart = config::RestartPolicy::Always;
        pool.ready.timeout = 30s;
        pool.watchdog.timeout = pool.watchdog.timeout == 0ms ? 0ms : 10s;
        pool.recycle = {};
        pool.spare_lifetime = 0ms;
        pool.start_limit.burst = 0;
    }
    return after;
}

Behaviour FaultPlan::draw(const config::Pool& pool, bool heal) {
    const std::string& what = pool.exec.command.front();
    Behaviour process;
    const double wrong = heal ? 0.0 : 1.0;
    const bool slow = dice.chance(slow_ * wrong);
    process.exec_delay = dice.time(50us, slow ? 2s : 2ms);
    process.spawn_fails = dice.chance(spawn_error_ * wrong);
    process.ready_after = process.exec_delay + dice.time(1us, slow ? 12s : 500ms);
    if (pool.ready.assumed && dice.chance(0.3)) {
        process.unseen_after = process.exec_delay + dice.time(1us, 2s);
        process.ready_after.reset();
    }
    if (pool.ready.by == config::ReadyBy::Exec && dice.chance(0.5)) {
        process.probe_fails_after = process.exec_delay + dice.time(1us, 2s);
    }
    process.beat_every = pool.watchdog.timeout * dice.between(20, 60) / 100;
    process.ends_on_terminate = dice.time(10us, slow ? 8s : 300ms);
    process.ends_on_abort = dice.time(10us, slow ? 70s : 300ms);
    process.ends_on_kill = dice.time(10us, slow ? 15s : 1ms);
    process.dumps_core = dice.chance(0.5);
    process.exit = {ExitReport::Kind::Exited, 0, false, {}};
    if (dice.chance(crash_ * wrong)) {
        process.exits_after = dice.time(1us, dice.pick<Duration>({1ms, 3s, 120s}) / 1us * 1us);
        const int value = dice.pick({0, 1, 3, 78, SIGSEGV, SIGKILL, SIGTERM});
        const bool signaled = value == SIGSEGV || value == SIGKILL || value == SIGTERM;
        process.exit = {signaled ? ExitReport::Kind::Signaled : ExitReport::Kind::Exited,
                        value,
                        value == SIGSEGV,
                        {}};
        if (dice.chance(0.05)) {
            process.exit = {};
        }
    }
    if (dice.chance(hang_ * wrong)) {
        process.hangs_after = dice.time(1us, 60s);
    }
    if (dice.chance(deaf_ * wrong)) {
        process.ends_on_terminate.reset();
        if (dice.chance(0.5)) {
            process.ends_on_abort.reset();
        }
    }
    if (dice.chance(talkative_ * wrong)) {
        const Duration at = dice.time(1us, 30s);
        switch (dice.below(3)) {
            case 0:
                process.says_stopping_after = at;
                break;
            case 1:
                process.asks_abort_after = at;
                break;
            default:
                process.asks_extension_after = at;
                process.extension = dice.time(1us, 30s);
        }
    }
    if (what == program::kCrash) {
        process.exits_after = process.exec_delay + dice.time(1us, 50ms);
        process.ready_after.reset();
        process.exit = {ExitReport::Kind::Exited, 3, false, {}};
    } else if (what == program::kRefusing) {
        process.exits_after = process.exec_delay + dice.time(1us, 50ms);
        process.ready_after.reset();
        process.exit = {ExitReport::Kind::Exited, core::kExitConfiguration, false, {}};
    } else if (what == program::kNever) {
        process.ready_after.reset();
    } else if (what == program::kMissing) {
        process.spawn_fails = true;
    } else if (what == program::kBrief) {
        process.exits_after =
            process.ready_after.value_or(process.exec_delay + 1s) + dice.time(1us, 2s);
        process.exit = {ExitReport::Kind::Signaled, SIGSEGV, true, {}};
    }
    return process;
}

}  // namespace topsman::sim
