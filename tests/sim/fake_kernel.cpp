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

void FakeKernel::schedule(core::WorkerId worker, What what, TimePoint at) {
    due_.push(Due{at, ++order_, worker, what});
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
    process.ready_by = pool.ready.by;
    // It says so itself, though nobody has asked; `none` is no way to hear of it.
    if (pool.ready.by == config::ReadyBy::None ||
        (pool.ready.assumed && !script_ && plan_.dice.chance(0.5))) {
        process.ready_by = config::ReadyBy::Notify;
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
    process.parked = false;  // a stopped process is continued
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
    if (script_) {
        schedule(worker, What::IsParked, now + std::chrono::milliseconds(1));
        return;
    }
    const bool fails = plan_.dice.chance(0.2);
    schedule(worker, fails ? What::CannotPark : What::IsParked,
             now + plan_.dice.time(std::chrono::microseconds(1),
                                   fails ? std::chrono::seconds(3) : std::chrono::seconds(1)));
}

void FakeKernel::release(core::WorkerId worker) {
    if (const auto found = processes_.find(worker); found != processes_.end()) {
        found->second.parked = false;
        found->second.released = true;
    }
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
        process.parked = due.what == What::IsParked && !process.released;
        return due.what == What::IsParked
                   ? core::Event(core::Parked{due.worker})
                   : core::Event(core::NotParked{due.worker, "it does not stand still"});
    }
    if (process.parked && due.what == What::Beat) {
        schedule(due.worker, What::Beat, due.at + process.behaviour.beat_every);
    }
    if (process.parked || hangs(process, due.at)) {
        return std::nullopt;
    }
    switch (due.what) {
        case What::Ready:
            process.said_ready = process.ready_by == config::ReadyBy::Notify;
            return core::BecameReady{due.worker, process.ready_by};
        case What::CannotBeSeen:
            return core::CannotTell{due.worker};
        case What::ProbeFails:
            return core::Probed{due.worker, "exited with code 1: not yet"};
        case What::Beat:
            schedule(due.worker, What::Beat, due.at + process.behaviour.beat_every);
            return core::Beat{due.worker, due.at};
        case What::SaysStopping:
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
