#include "tests/sim/fake_kernel.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

namespace topsman::sim {
namespace {

using core::ExitReport;
using core::SignalKind;

constexpr std::size_t kRememberedDead = 64;

bool is_death(const core::Event& event) {
    return std::holds_alternative<core::Exited>(event);
}

}  // namespace

std::uint64_t FakeKernel::schedule(core::WorkerId worker, What what, TimePoint at) {
    due_.push(Due{at, ++order_, worker, what});
    return order_;
}

void FakeKernel::end_at(core::WorkerId id, Process& process, TimePoint at, ExitReport report) {
    if (at < process.ends) {
        process.ends = at;
        process.report = std::move(report);
        schedule(id, What::Ends, at);
    }
}

void FakeKernel::spawn(const core::Spawn& spawn, const config::Pool& pool, TimePoint now) {
    Process process;
    process.behaviour = script_ ? script_(spawn, pool) : plan_.draw(pool, healed_);
    process.spawned = now;
    process.is_spare = spawn.slot.index == kNoSlot;
    process.parks_itself = !script_ && FaultPlan::parks_itself(pool);
    process.ready_by = pool.ready.by;
    // It says so itself, though nobody has asked; `none` is no way to hear of it.
    if (pool.ready.by == config::ReadyBy::None ||
        (pool.ready.assumed && !script_ && plan_.dice.chance(0.5))) {
        process.ready_by = config::ReadyBy::Notify;
    }
    if (process.is_spare && process.parks_itself) {
        process.ready_by = pool.ready.by;  // that it waits for its seat is enough
    }
    const Behaviour& behaviour = process.behaviour;
    const auto at = [&](What what, std::optional<Duration> after) {
        if (after) {
            schedule(spawn.worker, what, now + *after);
        }
    };
    if (behaviour.spawn_fails) {
        end_at(spawn.worker, process, now + behaviour.exec_delay,
               script_
                   ? behaviour.exit
                   : ExitReport{ExitReport::Kind::SpawnFailed, plan_.dice.pick({ENOENT, EAGAIN}),
                                false, "exec: it cannot be"});
    } else {
        at(What::Executed, behaviour.exec_delay);
        at(What::Ready, behaviour.ready_after);
        at(What::CannotBeSeen, behaviour.unseen_after);
        at(What::ProbeFails, behaviour.probe_fails_after);
        at(What::SaysStopping, behaviour.says_stopping_after);
        at(What::AsksAbort, behaviour.asks_abort_after);
        at(What::AsksExtension, behaviour.asks_extension_after);
        if (behaviour.beat_every > Duration::zero()) {
            at(What::Beat, behaviour.exec_delay + behaviour.beat_every);
        }
        if (behaviour.exits_after) {
            end_at(spawn.worker, process, now + *behaviour.exits_after, behaviour.exit);
        }
    }
    processes_.emplace(spawn.worker, std::move(process));
}

void FakeKernel::signal(const core::Signal& signal, TimePoint now) {
    const auto found = processes_.find(signal.worker);
    if (found == processes_.end()) {
        return;
    }
    Process& process = found->second;
    process.stopped = false;  // a stopped process is continued
    process.watch = 0;
    if (signal.kind == SignalKind::Terminate) {
        let_go(process, std::nullopt);
    }
    const Behaviour& behaviour = process.behaviour;
    const auto by = [](int number) {
        return ExitReport{ExitReport::Kind::Signaled, number, number == SIGABRT, {}};
    };
    switch (signal.kind) {
        case SignalKind::Terminate:
            if (behaviour.ends_on_terminate && !hangs(process, now)) {
                end_at(
                    signal.worker, process, now + *behaviour.ends_on_terminate,
                    ExitReport{ExitReport::Kind::Exited, behaviour.code_on_terminate, false, {}});
            }
            break;
        case SignalKind::Abort:
            process.dumping = behaviour.dumps_core && behaviour.ends_on_abort.has_value();
            if (behaviour.ends_on_abort) {
                end_at(signal.worker, process, now + *behaviour.ends_on_abort, by(SIGABRT));
            }
            break;
        case SignalKind::Kill:
            end_at(signal.worker, process, now + behaviour.ends_on_kill, by(SIGKILL));
            break;
    }
}

void FakeKernel::strike(core::WorkerId worker, TimePoint now) {
    if (const auto found = processes_.find(worker); found != processes_.end()) {
        end_at(worker, found->second, now + found->second.behaviour.ends_on_kill,
               {ExitReport::Kind::Signaled, SIGKILL, false, {}});
    }
}

void FakeKernel::park(core::WorkerId worker, TimePoint now) {
    const auto found = processes_.find(worker);
    if (found == processes_.end()) {
        return;
    }
    Process& process = found->second;
    process.stopped = false;  // a master before may have stopped it
    if (process.lane.waits) {
        process.watch = schedule(worker, What::IsParked, now);
        return;
    }
    if (script_) {
        process.watch = schedule(worker, What::IsParked, now + std::chrono::milliseconds(1));
        return;
    }
    const bool fails = plan_.dice.chance(0.2);
    process.watch =
        schedule(worker, fails ? What::CannotPark : What::IsParked,
                 now + plan_.dice.time(std::chrono::microseconds(1),
                                       fails ? std::chrono::seconds(3) : std::chrono::seconds(1)));
}

void FakeKernel::let_go(Process& process, std::optional<std::uint32_t> seat) {
    if (process.is_spare && !process.lane.is_let_go) {
        process.lane = {false, true, seat};
    }
}

void FakeKernel::release(core::WorkerId worker, core::SlotId slot) {
    if (const auto found = processes_.find(worker); found != processes_.end()) {
        found->second.stopped = false;
        found->second.watch = 0;
        let_go(found->second, slot.index);
    }
}

void FakeKernel::forget_parking() {
    for (auto& [id, process] : processes_) {
        if (std::exchange(process.watch, 0) != 0 && !process.lane.waits) {
            process.stopped = !script_ && plan_.fate.chance(0.5);
        }
    }
}

void FakeKernel::continue_some() {
    for (auto& [id, process] : processes_) {
        process.stopped = process.stopped && !plan_.fate.chance(0.05);
    }
}

core::SpareSigns FakeKernel::signs_of(core::WorkerId worker) const {
    const auto found = processes_.find(worker);
    if (found == processes_.end()) {
        const auto dead = lanes_.find(worker);
        return dead == lanes_.end() ? core::SpareSigns{} : dead->second;
    }
    core::SpareSigns signs = found->second.lane;
    signs.waits = found->second.stands_still();
    return signs;
}

bool FakeKernel::is_stopped(core::WorkerId worker) const {
    const auto found = processes_.find(worker);
    return found != processes_.end() && found->second.stopped;
}

bool FakeKernel::is_watched(core::WorkerId worker) const {
    const auto found = processes_.find(worker);
    return found != processes_.end() && found->second.watch != 0;
}

bool FakeKernel::hangs(const Process& process, TimePoint at) const {
    return !healed_ && process.behaviour.hangs_after &&
           at >= process.spawned + *process.behaviour.hangs_after;
}

std::optional<TimePoint> FakeKernel::next_time() const {
    return due_.empty() ? std::nullopt : std::optional(due_.top().at);
}

std::optional<core::Event> FakeKernel::event_of(const Due& due) {
    const auto found = processes_.find(due.worker);
    if (found == processes_.end()) {
        return std::nullopt;
    }
    Process& process = found->second;
    if (due.what == What::Ends) {
        if (due.at != process.ends) {
            return std::nullopt;  // it ends earlier
        }
        const ExitReport report = process.report;
        if (process.is_spare) {
            lanes_[due.worker] = process.lane;
        }
        processes_.erase(found);
        dead_.push_back(due.worker);
        if (dead_.size() > kRememberedDead) {
            dead_.erase(dead_.begin());
        }
        return core::Exited{due.worker, report};
    }
    if (due.what == What::Executed) {
        process.executed = true;
        return core::Spawned{due.worker};
    }
    if (due.what == What::IsParked || due.what == What::CannotPark) {
        if (due.order != process.watch) {
            return std::nullopt;  // it is not looked at any more
        }
        process.watch = 0;
        process.stopped = due.what == What::IsParked && !process.lane.waits;
        return due.what == What::IsParked
                   ? core::Event(core::Parked{due.worker})
                   : core::Event(core::NotParked{due.worker, "it does not stand still"});
    }
    if (process.stands_still() && due.what == What::Beat) {
        schedule(due.worker, What::Beat, due.at + process.behaviour.beat_every);
    }
    if (process.stands_still() || hangs(process, due.at)) {
        return std::nullopt;
    }
    switch (due.what) {
        case What::Ready:
            // Who waits for a seat says it in any case: nobody would see it listening.
            process.lane.waits =
                process.is_spare && process.parks_itself && !process.lane.is_let_go;
            process.said_ready = process.lane.waits || process.ready_by == config::ReadyBy::Notify;
            return core::BecameReady{due.worker, process.ready_by};
        case What::CannotBeSeen:
            return core::CannotTell{due.worker};
        case What::ProbeFails:
            return core::Probed{due.worker, process.behaviour.probe_result};
        case What::Beat:
            schedule(due.worker, What::Beat, due.at + process.behaviour.beat_every);
            return core::Beat{due.worker, due.at};
        case What::SaysStopping:
            process.watch = 0;  // it does not stand still on its way out
            let_go(process, std::nullopt);
            end_at(due.worker, process, due.at + std::chrono::milliseconds(300),
                   process.behaviour.exit);
            return core::SaidStopping{due.worker};
        case What::AsksAbort:
            return core::AskedAbort{due.worker};
        case What::AsksExtension:
            return core::AskedExtension{due.worker, process.behaviour.extension};
        case What::Executed:
        case What::IsParked:
        case What::CannotPark:
        case What::Ends:
            break;
    }
    return std::nullopt;
}

std::vector<core::Event> FakeKernel::happened(TimePoint now) {
    std::vector<core::Event> events;
    while (!due_.empty() && due_.top().at <= now) {
        const Due due = due_.top();
        due_.pop();
        if (auto event = event_of(due)) {
            events.push_back(std::move(*event));
        }
    }
    std::stable_partition(events.begin(), events.end(),
                          [](const core::Event& event) { return !is_death(event); });
    return events;
}

std::optional<core::Event> FakeKernel::last_look(core::WorkerId worker, TimePoint now) {
    const auto found = processes_.find(worker);
    if (found != processes_.end() && found->second.dumping && now < found->second.ends) {
        return core::DumpsCore{worker};
    }
    return std::nullopt;
}

std::optional<core::WorkerId> FakeKernel::somebody_dead() {
    return dead_.empty() ? std::nullopt : std::optional(dead_[plan_.dice.below(dead_.size())]);
}

bool FakeKernel::has_said_ready(core::WorkerId worker) const {
    const auto found = processes_.find(worker);
    return found != processes_.end() && found->second.said_ready;
}

std::vector<core::WorkerId> FakeKernel::all_living() const {
    std::vector<core::WorkerId> all;
    for (const auto& [id, process] : processes_) {
        all.push_back(id);
    }
    return all;
}

bool FakeKernel::all_executed() const {
    return std::all_of(processes_.begin(), processes_.end(),
                       [](const auto& entry) { return entry.second.executed; });
}

std::vector<core::WorkerId> FakeKernel::end_unrecorded() {
    std::vector<core::WorkerId> ended;
    std::erase_if(processes_, [&](const auto& entry) {
        const bool ends = !entry.second.executed && plan_.fate.chance(0.5);
        if (ends) {
            ended.push_back(entry.first);
        }
        return ends;
    });
    return ended;
}

}  // namespace topsman::sim
