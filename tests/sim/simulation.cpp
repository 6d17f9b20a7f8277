#include "tests/sim/simulation.hpp"

#include "tests/sim/describe.hpp"
#include "tests/snapshot_text.hpp"

#include <algorithm>
#include <ostream>
#include <utility>

namespace topsman::sim {
namespace {

using namespace std::chrono_literals;
constexpr Duration kTimeToHeal = 20min;

}  // namespace

Simulation::Simulation(std::uint64_t seed, std::ostream* trace)
    : trace_out_(trace),
      plan_(seed),
      kernel_(plan_),
      wanted_(plan_.first_config()),
      core_(std::in_place, wanted_, seed) {
    shell_.begin(*core_, wanted_);
}

void Simulation::say(const std::string& line) {
    if (trace_out_ != nullptr) {
        const std::chrono::duration<double> since = now_.time_since_epoch() - 1h;
        *trace_out_ << since.count() << "s " << line << "\n";
    }
}

void Simulation::mix(std::uint64_t number) {
    for (int byte = 0; byte < 8; ++byte) {
        trace_ = (trace_ ^ (number & 0xffU)) * 0x100000001b3U;
        number >>= 8U;
    }
}

void Simulation::mix(const core::Action& action) {
    mix(action.index());
    if (const auto* spawn = std::get_if<core::Spawn>(&action)) {
        mix(spawn->worker.value);
        mix(spawn->slot.index);
        mix(spawn->generation.value);
    } else if (const auto* release = std::get_if<core::Release>(&action)) {
        mix(release->worker.value);
        mix(release->slot.index);
    } else if (const auto* signal = std::get_if<core::Signal>(&action)) {
        mix(signal->worker.value);
        mix(static_cast<std::uint64_t>(signal->kind));
    } else if (const auto* obituary = std::get_if<core::Obituary>(&action)) {
        for (const char letter : obituary->cause + obituary->next) {
            mix(static_cast<unsigned char>(letter));
        }
    } else if (const auto* reply = std::get_if<core::Reply>(&action)) {
        mix(reply->ticket.value);
        mix(static_cast<std::uint64_t>(reply->result));
    }
}

void Simulation::deliver(const core::Event& event) {
    if (oracle_.violation()) {
        return;
    }
    if (dying_) {
        miss(event);
        return;
    }
    ++events_;
    say(describe(event));
    oracle_.before(event, now_, *core_);
    step(event);
    if (dying_) {
        miss(event);
        return;
    }
    oracle_.after(actions_, *core_);
}

void Simulation::step(const core::Event& event) {
    actions_.clear();
    core_->step(event, now_, actions_);
    shell_.follow(*core_, event);
    mix(event.index());
    mix(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    for (const core::Action& action : FakeShell::in_order(actions_)) {
        if (is_mortal_ && plan_.fate.chance(plan_.master_dies / 10)) {
            dying_ = true;
            say("    the master dies here");
            return;
        }
        mix(action);
        say("    " + describe(action));
        look_at_release(action);
        if (const auto unknown = shell_.carry_out(*core_, action, now_)) {
            oracle_.report("SpecIsKnown", *unknown);
        }
    }
}

void Simulation::end_turn() {
    dying_ = dying_ && !oracle_.ended();
    if (!dying_) {
        shell_.publish(*core_);
    }
    while (dying_ && !oracle_.violation()) {
        succeed();
    }
    look_at_spares();
}

void Simulation::deliver_what_happened() {
    for (const core::Event& event : kernel_.happened(now_)) {
        deliver(event);
    }
    const auto due = core_->next_deadline();
    if (!due || *due > now_) {
        return;
    }
    for (const core::WorkerId worker : core_->due_for_judgement(now_)) {
        if (const auto sign = kernel_.last_look(worker, now_)) {
            deliver(*sign);
        }
    }
    core::Measured measured;
    for (const core::MeasureWish& wish : core_->due_for_measuring(now_)) {
        const std::uint64_t requests = plan_.dice.between(0, 1'100);
        measured.workers.push_back({wish.worker, requests, plan_.dice.between(0, 1'100)});
    }
    if (!measured.workers.empty() && !plan_.dice.chance(0.1)) {  // the shell may fail to look
        deliver(measured);
    }
    deliver(core::Tick{});
}

void Simulation::pass_to_next() {
    const auto kernel = kernel_.next_time();
    const auto core = core_->next_deadline();
    if (kernel || core) {
        const TimePoint next =
            std::min(kernel.value_or(TimePoint::max()), core.value_or(TimePoint::max()));
        // The shell is never exactly in time.
        now_ = std::max(now_, next) + plan_.dice.time(0us, 50us);
        if (is_mortal_ && plan_.fate.chance(0.05)) {
            now_ += plan_.fate.time(0us, 300ms);  // it is busy: much is there at once
        }
    } else {
        now_ += 1s;
    }
    deliver_what_happened();
}

void Simulation::let_time_pass(Duration limit) {
    const TimePoint end = now_ + limit;
    while (now_ < end && !settled() && !oracle_.ended() && !oracle_.violation()) {
        pass_to_next();
    }
}

// Whatever happens meanwhile waits in the kernel; the shell says first that it was away.
void Simulation::stall() {
    const Duration by =
        plan_.dice.time(1ms, plan_.dice.pick<std::chrono::microseconds>({1s, 120s}));
    now_ += by;
    deliver(core::Stalled{by});
    deliver_what_happened();
}

core::Ticket Simulation::ticket() {
    return core::Ticket{plan_.dice.chance(0.1) ? 0 : ++tickets_};
}

std::optional<std::string> Simulation::some_pool() {
    if (plan_.dice.chance(0.3)) {
        return std::nullopt;
    }
    if (plan_.dice.chance(0.02)) {
        return "nothing";
    }
    return wanted_.pools[plan_.dice.below(wanted_.pools.size())].name;
}

// What the lanes say; the shell looks before a wish that may end workers.
void Simulation::look_who_is_busy() {
    core::Busy busy;
    for (const core::WorkerView& worker : core_->snapshot().workers) {
        if (!plan_.dice.chance(0.1)) {
            busy.workers.push_back(
                {worker.worker, static_cast<std::uint32_t>(plan_.dice.below(4))});
        }
    }
    deliver(busy);
}

void Simulation::make_a_wish() {
    Dice& dice = plan_.dice;
    if (dice.chance(plan_.reload)) {
        wanted_ = dice.chance(0.1) ? wanted_ : plan_.next_config(wanted_);
        look_who_is_busy();
        deliver(core::Reload{ticket(), wanted_});
    }
    if (dice.chance(plan_.rollback)) {
        deliver(core::Rollback{ticket()});
    }
    if (dice.chance(plan_.scale)) {
        look_who_is_busy();
        deliver(core::Scale{ticket(), some_pool().value_or(wanted_.pools[0].name),
                            static_cast<std::uint32_t>(dice.between(0, 7))});
    }
    if (dice.chance(plan_.restart)) {
        const auto pool = some_pool();
        const auto slot = pool && dice.chance(0.5)
                              ? std::optional(static_cast<std::uint32_t>(dice.below(5)))
                              : std::nullopt;
        deliver(core::Restart{ticket(), pool, slot});
    }
    if (dice.chance(plan_.drain)) {
        deliver(core::Drain{ticket(), some_pool().value_or(wanted_.pools[0].name),
                            static_cast<std::uint32_t>(dice.below(5))});
    }
    if (dice.chance(plan_.reset)) {
        deliver(core::ResetFailed{ticket(), some_pool()});
    }
    if (dice.chance(plan_.stop)) {
        deliver(core::Stop{ticket(), dice.pick({core::StopMode::Graceful, core::StopMode::Fast,
                                                core::StopMode::Now})});
    }
    const auto dead = dice.chance(plan_.stale) ? kernel_.somebody_dead() : std::nullopt;
    if (dead) {
        deliver(dice.pick<core::Event>({core::Beat{*dead, now_}, core::BecameReady{*dead},
                                        core::Spawned{*dead}, core::SaidStopping{*dead},
                                        core::AskedAbort{*dead}, core::Exited{*dead, {}}}));
    }
}

void Simulation::turn() {
    if (plan_.dice.chance(plan_.stall)) {
        stall();
    } else if (plan_.dice.chance(plan_.silence)) {
        for (const TimePoint end = now_ + plan_.dice.time(1s, 60s);
             now_ < end && !oracle_.violation() && !oracle_.ended();) {
            pass_to_next();
            end_turn();
        }
    } else {
        pass_to_next();
    }
    make_a_wish();
    if (is_mortal_ && plan_.fate.chance(plan_.master_dies)) {
        dying_ = true;
    } else if (is_mortal_ && !dying_ && plan_.fate.chance(plan_.upgrade)) {
        upgrade();
    }
    end_turn();
}

bool Simulation::settled() const {
    const core::Snapshot snapshot = core_->snapshot();
    std::size_t wanted = 0;
    for (const core::PoolView& pool : snapshot.pools) {
        wanted += pool.wanted + pool.spares;
        const auto is_spare = [&pool](const core::WorkerView& worker) {
            return worker.slot.pool == pool.pool && worker.role == core::Role::Spare;
        };
        const bool whole = pool.ready == pool.wanted && pool.stage == core::RolloutStage::Idle &&
                           std::count_if(snapshot.workers.begin(), snapshot.workers.end(),
                                         is_spare) == pool.spares &&
                           std::all_of(snapshot.workers.begin(), snapshot.workers.end(),
                                       [&pool](const core::WorkerView& worker) {
                                           return worker.slot.pool != pool.pool ||
                                                  (worker.generation == pool.generation &&
                                                   worker.spare != core::SpareStage::Warming);
                                       });
        if (!whole) {
            return false;
        }
    }
    return snapshot.workers.size() == wanted && oracle_.open_tickets() == 0;
}

void Simulation::put_back() {
    for (const core::PoolView& pool : core_->snapshot().pools) {
        for (const core::SlotView& slot : pool.slots) {
            if (slot.phase == core::SlotPhase::Drained) {
                deliver(core::Restart{core::Ticket{++tickets_}, pool.name, slot.slot.index});
            }
        }
    }
}

void Simulation::heal() {
    kernel_.heal();
    wanted_ = plan_.healed(wanted_);
    deliver(core::Reload{core::Ticket{++tickets_}, wanted_});
    deliver(core::ResetFailed{core::Ticket{++tickets_}, std::nullopt});
    put_back();
    let_time_pass(kTimeToHeal);
    // Workers of the bad times may have failed the first attempt; the same file once more.
    deliver(core::Reload{core::Ticket{++tickets_}, wanted_});
    let_time_pass(kTimeToHeal);
    look_at_spares();
    if (core_->snapshot().phase == core::Phase::Running && !settled()) {
        say(core::test::in_words(core_->snapshot()));
        oracle_.report("HealsInTime", "not all slots serve at the newest generation");
    }
}

void Simulation::stop() {
    deliver(core::Stop{core::Ticket{++tickets_},
                       plan_.dice.pick({core::StopMode::Graceful, core::StopMode::Fast})});
    for (const TimePoint end = now_ + 5min; now_ < end && !oracle_.ended();) {
        if (oracle_.violation()) {
            return;
        }
        pass_to_next();
    }
    if (!oracle_.ended() || kernel_.living() > 0 || oracle_.open_tickets() > 0) {
        oracle_.report("EndsAfterStop", std::to_string(kernel_.living()) + " processes and " +
                                            std::to_string(oracle_.open_tickets()) +
                                            " open tickets are left");
    }
}

Outcome Simulation::run(std::uint64_t steps, Masters masters) {
    is_mortal_ = masters == Masters::Mortal;
    deliver(core::Tick{});
    for (std::uint64_t step = 0; step < steps && !oracle_.ended() && !oracle_.violation(); ++step) {
        turn();
    }
    is_mortal_ = false;
    if (core_->snapshot().phase == core::Phase::Running) {
        heal();
    }
    if (!oracle_.violation() && !oracle_.ended()) {
        stop();
    }
    return Outcome{oracle_.violation(), events_, trace_};
}

Outcome run_seed(std::uint64_t seed, std::uint64_t steps, std::ostream* trace) {
    constexpr std::uint64_t kTwiceEvery = 8;
    Outcome outcome = Simulation(seed, trace).run(steps);
    if (!outcome.violation && seed % kTwiceEvery == 1 &&
        Simulation(seed).run(steps).trace != outcome.trace) {
        outcome.violation = Violation{"SameSeedSameTrace", "two runs of it differ"};
    }
    return outcome;
}

}  // namespace topsman::sim
