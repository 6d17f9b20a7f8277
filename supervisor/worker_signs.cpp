// WorkerTable: what living workers say and show.

#include "shm/sweep.hpp"
#include "supervisor/child_plan.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/worker_process.hpp"

#include <csignal>

namespace topsman::supervisor {

namespace {

// Taken from one worker at once, so that one that sends without end does not hold up the others.
// More than a queue holds where net.unix.max_dgram_qlen is as systemd sets it.
constexpr std::size_t kMostNotifications = 1'024;

}  // namespace

void WorkerTable::watch(Process& process) {
    const core::WorkerId worker = process.facts.worker;
    Result<void> watching;
    const auto begin = [&](std::optional<FdWatch>& watch, int fd) {
        watch.emplace(surroundings_.io, fd);
        watching = watching ? watch->is_watching() : watching;
    };
    begin(process.exit_watch, process.child->pidfd());
    if (process.report) {
        begin(process.report_watch, process.report->fd());
    }
    if (process.notify) {
        begin(process.notify_watch, process.notify->fd());
    }
    if (process.output) {
        begin(process.output_watch, process.output->fd());
    }
    wait_for_exit(worker);
    if (!watching) {
        give_up(process, watching.error());
        return;
    }
    if (process.report) {
        wait_for_report(worker);
    }
    if (process.notify) {
        wait_for_notify(worker);
    }
    if (process.output) {
        wait_for_output(worker);
    }
}

/// One whom we would not hear is ended, and counts as not started.
void WorkerTable::give_up(Process& process, const Error& why) const {
    process.report_watch.reset();
    process.failure = posix::SpawnFailure{posix::SpawnStage::Exec, why.code.value(),
                                          "watching it: " + why.message};
    (void)process.child->signal_group(SIGKILL);
}

void WorkerTable::wait_for_report(core::WorkerId worker) {
    processes_.at(worker)->report_watch->wait([this, worker] {
        if (Process* process = running(worker)) {
            take_report(*process);
        }
    });
}

void WorkerTable::wait_for_notify(core::WorkerId worker) {
    processes_.at(worker)->notify_watch->wait([this, worker] {
        if (Process* process = running(worker)) {
            take_notifications(*process);
            wait_for_notify(worker);
        }
    });
}

void WorkerTable::wait_for_output(core::WorkerId worker) {
    processes_.at(worker)->output_watch->wait([this, worker] {
        Process* const process = running(worker);
        // A worker may close its output and live on: its pipe would be readable for ever.
        if (process != nullptr && take_output(*process)) {
            wait_for_output(worker);
        }
    });
}

// End of file on the report pipe is a successful exec; else the child says which step failed, and
// its exit follows.
void WorkerTable::take_report(Process& process) {
    if (!process.report || process.failure) {
        return;
    }
    process.failure = process.report->read();
    process.report_watch.reset();
    if (!process.failure) {
        process.report.reset();
        enqueue_(core::Spawned{process.facts.worker});
        begin_looking(process);
    }
}

/// Until it is ready, if that is not its own affair to say.
void WorkerTable::begin_looking(Process& process) {
    const core::WorkerId worker = process.facts.worker;
    const config::Ready& ready = process.spec->pool.ready;
    if (ready.by == config::ReadyBy::Listening) {
        process.listening.emplace(surroundings_.io, process.facts.pid, process.sockets);
        wait_for_listening(worker);
    } else if (ready.by == config::ReadyBy::Exec) {
        const WorkerName name{surroundings_.cluster, worker, process.slot, process.generation};
        probes_.begin(worker,
                      {set_up_probe(*process.spec, name, process.facts.pid, surroundings_.lock_fd),
                       ready.interval, ready.run_timeout});
    }
}

void WorkerTable::stop_looking(core::WorkerId worker) {
    probes_.end(worker);
    if (Process* const process = running(worker)) {
        process->listening.reset();
    }
}

void WorkerTable::take_probe(core::WorkerId worker, std::optional<std::string> result) {
    if (result) {
        enqueue_(core::Probed{worker, std::move(*result)});
    } else {
        enqueue_(core::BecameReady{worker, config::ReadyBy::Exec});
    }
}

void WorkerTable::wait_for_listening(core::WorkerId worker) {
    processes_.at(worker)->listening->wait([this, worker] {
        Process* const process = running(worker);
        if (process != nullptr && process->listening) {
            look_at_listening(*process);
        }
    });
}

void WorkerTable::look_at_listening(Process& process) {
    if (process.listening->look()) {
        process.listening.reset();
        enqueue_(core::BecameReady{process.facts.worker, config::ReadyBy::Listening});
        return;
    }
    if (const auto trouble = process.listening->trouble()) {
        complain_of_listening(process, *trouble);
    }
    wait_for_listening(process.facts.worker);
}

void WorkerTable::complain_of_listening(const Process& process, const std::string& trouble) {
    const config::Pool& pool = process.spec->pool;
    const std::string what = ": ready: cannot tell whether it listens, " + trouble;
    if (!pool.ready.assumed) {
        surroundings_.journal.warning(process.name() + what + ": use by: notify");
        return;
    }
    enqueue_(core::CannotTell{process.facts.worker});
    if (unseen_.insert(pool.name).second) {
        surroundings_.journal.warning(process.name() + what +
                                      ": such workers count as ready once alive for min_uptime; "
                                      "write by: notify, or by: none if that is what you want");
    }
}

void WorkerTable::take_notifications(Process& process) {
    const core::WorkerId worker = process.facts.worker;
    const core::TimePoint now = core::Clock::now();
    for (std::size_t n = 0; process.notify && n < kMostNotifications; ++n) {
        const auto message = process.notify->receive();
        if (!message) {
            return;
        }
        if (message->status) {
            process.facts.status = *message->status;
        }
        if (message->error_number) {
            process.facts.error_number = message->error_number;
        }
        if (message->extend_timeout) {
            enqueue_(core::AskedExtension{worker, *message->extend_timeout});
        }
        if (message->watchdog) {
            enqueue_(core::Beat{worker, now});
        }
        if (message->ready) {
            // A spare that waits for its seat does not wait for connections: nobody will see it.
            const config::ReadyBy by = process.spec->pool.ready.by;
            const bool is_seen = !is_parked_by_itself(process);
            enqueue_(core::BecameReady{worker, is_seen ? config::ReadyBy::Notify : by});
        }
        if (message->stopping) {
            stop_looking(worker);
            if (process.slot.index == kNoSlot) {
                // It does not stand still on its way out.
                process.freeze.reset();
                shm::release_spare(surroundings_.segment, process.facts.lane, kNoSlot);
                (void)process.child->signal_group(SIGCONT);
            }
            enqueue_(core::SaidStopping{worker});
        }
        if (message->watchdog_trigger) {
            enqueue_(core::AskedAbort{worker});
        }
    }
}

// False: it was closed, nothing more will come.
bool WorkerTable::take_output(Process& process) {
    process.facts.output_full = process.output->is_full();
    return process.output->read(
        [this](std::string_view line) { surroundings_.journal.output(line); });
}

void WorkerTable::look_for_life(core::WorkerId worker) {
    Process* const process = running(worker);
    if (process == nullptr) {
        return;
    }
    const WorkerFacts& facts = process->facts;
    take_notifications(*process);
    const std::uint64_t beat = surroundings_.segment.lanes()[facts.lane].heartbeat_ns.load();
    const core::TimePoint at{std::chrono::nanoseconds(beat)};
    if (beat != 0 && at <= core::Clock::now()) {
        enqueue_(core::Beat{worker, at});
    }
    if (auto so_far = probes_.under_way(worker)) {
        enqueue_(core::Probed{worker, std::move(*so_far)});
    }
    if (posix::is_dumping_core(facts.pid)) {
        enqueue_(core::DumpsCore{worker});
    }
}

core::Measured WorkerTable::measure(const std::vector<core::MeasureWish>& wishes) {
    core::Measured measured;
    for (const core::MeasureWish& wish : wishes) {
        const Process* const process = running(wish.worker);
        if (process == nullptr) {
            continue;
        }
        const shm::Lane& lane = surroundings_.segment.lanes()[process->facts.lane];
        core::Measurement& line = measured.workers.emplace_back();
        line.worker = wish.worker;
        line.requests = lane.requests.load(std::memory_order_relaxed);
        if (wish.memory) {
            line.memory = posix::resident_bytes(process->facts.pid);
        }
        const std::string& pool = process->spec->pool.name;
        if (wish.requests && (lane.flags.load() & shm::kLaneAttached) == 0 &&
            uncounted_.insert(pool).second) {
            surroundings_.journal.warning(pool +
                                          ": recycle.requests: its program does not use topsman's "
                                          "worker library, so nobody counts its requests: write "
                                          "recycle.lifetime or recycle.memory");
        }
    }
    return measured;
}

core::Busy WorkerTable::busy() const {
    core::Busy busy;
    for (const auto& [worker, process] : processes_) {
        if (process->facts.lane != 0) {
            const shm::Lane& lane = surroundings_.segment.lanes()[process->facts.lane];
            busy.workers.push_back({worker, lane.in_flight.load(std::memory_order_relaxed)});
        }
    }
    return busy;
}

}  // namespace topsman::supervisor
