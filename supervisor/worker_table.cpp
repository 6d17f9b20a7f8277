#include "supervisor/worker_table.hpp"

#include "shm/sweep.hpp"
#include "supervisor/child_plan.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/runtime_dir.hpp"
#include "supervisor/worker_process.hpp"

#include <algorithm>
#include <csignal>
#include <sys/eventfd.h>
#include <unistd.h>

namespace topsman::supervisor {

namespace {

// A worker may make its event descriptor blocking for us too, and full: adding 1 would then wait
// for it. Adding 0 never does (eventfd(2)), and who waits for the edge is still woken by it as long
// as the counter is not 0; nobody reads it.
constexpr unsigned kAlwaysReadable = 1;

constexpr std::uint32_t kFirstInherited = 3;  // sd_listen_fds(3)

}  // namespace

WorkerTable::WorkerTable(const Surroundings& surroundings, Enqueue enqueue)
    : surroundings_(surroundings),
      enqueue_(std::move(enqueue)),
      probes_(surroundings.io, [this](core::WorkerId worker, std::optional<std::string> result) {
          take_probe(worker, std::move(result));
      }) {}

WorkerTable::~WorkerTable() = default;

// A watch that was let go may still have a handler on its way: it finds nobody here.
WorkerTable::Process* WorkerTable::running(core::WorkerId worker) {
    const auto found = processes_.find(worker);
    return found != processes_.end() && found->second->child ? found->second.get() : nullptr;
}

void WorkerTable::spawn(const Order& order) {
    auto process = std::make_unique<Process>();
    process->facts.worker = order.worker;
    process->slot = order.slot;
    process->generation = order.generation;
    process->spec = order.spec;
    const Result<void> started = start(*process, order);
    if (!started) {
        // The socket's name is the lane's: who gets the lane next binds there.
        process->notify.reset();
        give_back_lane(*process);
        core::ExitReport report;
        report.kind = core::ExitReport::Kind::SpawnFailed;
        report.value = started.error().code.value();
        report.detail = started.error().message;
        enqueue_(core::Exited{order.worker, report});
    }
    Process& kept = *(processes_[order.worker] = std::move(process));
    if (started) {
        watch(kept);
    }
}

Result<void> WorkerTable::start(Process& process, const Order& order) {
    if (order.slot.index == kNoSlot) {
        if (Result<void> room = look_for_room(order.spec->pool.name); !room) {
            return room;
        }
    }
    const Result<shm::LaneGrant> lane =
        shm::grant_lane(surroundings_.segment, order.worker.value, order.scoreboard_slot,
                        order.slot.index == kNoSlot ? shm::kSeatHeld : shm::kNoSpare);
    if (!lane) {
        return lane.error();
    }
    process.facts.lane = lane->lane;
    process.facts.lane_generation = lane->generation;
    UniqueFd writer;  // the worker's end of its output; ours is closed on return
    if (Result<void> made = make_channels(process, order, writer); !made) {
        return made;
    }
    auto sockets = choose_sockets(order);
    if (!sockets) {
        return sockets.error();
    }
    shm::Lane& shared = surroundings_.segment.lanes()[lane->lane];
    posix::ChildSetup setup = set_up_child(ChildPlan{
        .spec = *order.spec,
        .name = {surroundings_.cluster, order.worker, order.slot, order.generation},
        .listeners = std::move(*sockets),
        .notify_socket = process.notify->path(),
        .lane = shared,
        .lane_number = lane->lane,
        .lane_generation = lane->generation,
        .epoch = surroundings_.segment.epoch(),
        .segment_fd = surroundings_.segment.fd(),
        .wake_fd = process.wake.get(),
        .stdout_fd = writer.get(),
        .lock_fd = surroundings_.lock_fd,
    });
    process.sockets = setup.listeners;
    process.facts.fingerprint = order.spec->fingerprint;
    process.facts.output_inode = process.output ? process.output->inode() : 0;
    if (setup.wake_fd >= 0) {
        process.facts.wake_fd =
            kFirstInherited + static_cast<std::uint32_t>(setup.listeners.size()) + 1;
    }
    // Before there is a process: no worker is ever without a record.
    shm::WorkerRecord record = order.record;
    record.lane_generation = lane->generation;
    record.output_inode = process.facts.output_inode;
    record.wake_fd = process.facts.wake_fd;
    surroundings_.segment.scoreboard().workers[lane->lane].store(record);
    Result<posix::Launched> launched = posix::launch(std::move(setup));
    if (!launched) {
        return launched.error();
    }
    process.child.emplace(std::move(launched->child));
    process.report.emplace(std::move(launched->report));
    process.facts.pid = static_cast<std::uint32_t>(process.child->pid());
    process.facts.pidfd_inode = process.child->inode();
    shared.pidfd_inode.store(process.facts.pidfd_inode);
    if (launched->start_ticks != 0) {
        process.facts.start_ticks = launched->start_ticks;
        shared.start_ticks.store(launched->start_ticks);
    }
    return {};
}

SpecPtr WorkerTable::spec_of_nobody(const std::string& pool) {
    auto gone = std::make_shared<Spec>();
    gone->pool.name = pool;
    return gone;
}

void WorkerTable::adopt(Adoptee adoptee, SpecPtr spec) {
    auto process = std::make_unique<Process>();
    const core::WorkerId worker = adoptee.left.worker;
    process->facts.worker = worker;
    process->facts.pid = adoptee.lane.pid;
    process->facts.start_ticks = adoptee.lane.start_ticks;
    process->facts.lane = adoptee.lane.lane;
    process->facts.lane_generation = adoptee.lane.generation;
    process->facts.fingerprint = adoptee.record.fingerprint;
    process->facts.status = shm::text_of(adoptee.record.status);
    process->slot.index = adoptee.left.slot;
    process->generation = adoptee.left.generation;
    process->spec = spec == nullptr ? spec_of_nobody(adoptee.left.pool) : std::move(spec);
    if (!adoptee.child) {
        process->facts.last_words = surroundings_.segment.last_words()[process->facts.lane].read();
        give_back_lane(*process);
        processes_[worker] = std::move(process);
        core::ExitReport report;
        report.detail = "while there was no master";
        enqueue_(core::Exited{worker, report});
        return;
    }
    open_channels_again(*process, adoptee);
    // What it said since its lane was looked at, and before its socket was bound again, is here.
    const auto flags = surroundings_.segment.lanes()[process->facts.lane].flags.load();
    if (!adoptee.left.said_ready && (flags & shm::kLaneReady) != 0) {
        enqueue_(core::BecameReady{worker});
    }
    for (const posix::BoundListener& listener : surroundings_.listeners) {
        for (const UniqueFd& socket : listener.sockets) {
            if (posix::has_open(adoptee.files, socket.get())) {
                process->sockets.push_back(socket.get());
            }
        }
    }
    process->child.emplace(std::move(*adoptee.child));
    process->facts.pidfd_inode = process->child->inode();
    surroundings_.segment.lanes()[process->facts.lane].start_ticks.store(
        process->facts.start_ticks);
    Process& kept = *(processes_[worker] = std::move(process));
    watch(kept);
    if (adoptee.left.state == core::WorkerState::Starting) {
        begin_looking(kept);
    }
}

/// Each is worth a line when it fails, none of them the worker.
void WorkerTable::open_channels_again(Process& process, const Adoptee& adoptee) {
    const std::string name = process.name();
    const auto complain = [&](const std::string& what, const Error& error) {
        surroundings_.journal.warning(name + " (pid " + std::to_string(process.facts.pid) +
                                      "): " + what + ": " + error.message);
    };
    auto notify =
        posix::NotifySocket::bind(notify_path(surroundings_.path_prefix, process.facts.lane),
                                  posix::process_owner(process.facts.pid));
    if (notify) {
        process.notify.emplace(std::move(*notify));
    } else {
        complain("it cannot be heard", notify.error());
    }
    if (adoptee.record.output_inode != 0) {
        auto output =
            posix::OutputPipe::reopen(name, process.facts.pid, adoptee.record.output_inode);
        if (output) {
            process.facts.output_inode = adoptee.record.output_inode;
            process.output.emplace(std::move(*output));
        } else {
            complain("its output is lost", output.error());
        }
    }
    // Programs without the worker library may have closed it and used its number again.
    if (adoptee.record.wake_fd != 0) {
        auto wake = adoptee.child->take_fd(static_cast<int>(adoptee.record.wake_fd));
        if (wake && posix::is_eventfd(wake->get())) {
            process.wake = std::move(*wake);
            process.facts.wake_fd = adoptee.record.wake_fd;
        }
    }
}

/// What it can speak through: its notify socket, its event descriptor, its output.
Result<void> WorkerTable::make_channels(Process& process, const Order& order,
                                        UniqueFd& writer) const {
    std::optional<std::pair<unsigned, unsigned>> owner;
    if (order.spec->identity) {
        owner.emplace(order.spec->identity->uid, order.spec->identity->gid);
    }
    Result<posix::NotifySocket> notify = posix::NotifySocket::bind(
        notify_path(surroundings_.path_prefix, process.facts.lane), owner);
    if (!notify) {
        return notify.error();
    }
    process.notify.emplace(std::move(*notify));
    process.wake.reset(::eventfd(kAlwaysReadable, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!process.wake) {
        return system_error("eventfd");
    }
    if (order.spec->pool.exec.output == config::OutputTo::Prefix) {
        Result<posix::OutputPipe> pipe = posix::OutputPipe::open(process.name(), writer, owner);
        if (!pipe) {
            return pipe.error();
        }
        process.output.emplace(std::move(*pipe));
    }
    return {};
}

/// Its pool's listeners in their order, with the socket of each that it gets.
Result<std::vector<std::pair<std::string, int>>> WorkerTable::choose_sockets(const Order& order) {
    const std::vector<std::string>& names = order.spec->pool.exec.listeners;
    const std::vector<std::string>& sockets = order.spec->pool.exec.sockets;
    std::vector<std::pair<std::string, int>> chosen;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const auto is_it = [&](const posix::BoundListener& listener) {
            return listener.spec.name == names[i] && listener.spec.socket() == sockets.at(i);
        };
        const auto& bound = surroundings_.listeners;
        const auto listener = std::find_if(bound.begin(), bound.end(), is_it);
        if (listener == bound.end()) {
            return plain_error("listener " + names[i] + ": " + sockets.at(i) + " is not bound");
        }
        if (posix::repair_flags(*listener)) {
            surroundings_.journal.warning("listener " + names[i] +
                                          ": a worker had made it blocking for all; repaired");
        }
        chosen.emplace_back(names[i], least_used(*listener, order.slot.index));
    }
    return chosen;
}

// One socket, but for a reuse_port group: there each worker has its own, if there are enough.
int WorkerTable::least_used(const posix::BoundListener& listener, std::uint32_t slot) const {
    const std::size_t count = listener.sockets.size();
    int best = listener.sockets[slot % count].get();
    for (std::size_t i = 0; i < count && users(best) > 0; ++i) {
        const int other = listener.sockets[(slot + i) % count].get();
        if (users(other) < users(best)) {
            best = other;
        }
    }
    return best;
}

bool WorkerTable::holds(core::WorkerId worker, int socket) const {
    const auto found = processes_.find(worker);
    return found != processes_.end() && found->second->child &&
           std::count(found->second->sockets.begin(), found->second->sockets.end(), socket) > 0;
}

void WorkerTable::let_go(core::WorkerId worker, int socket) {
    if (const auto found = processes_.find(worker); found != processes_.end()) {
        std::erase(found->second->sockets, socket);
    }
}

std::size_t WorkerTable::users(int socket) const {
    return static_cast<std::size_t>(
        std::count_if(processes_.begin(), processes_.end(), [socket](const auto& entry) {
            const Process& process = *entry.second;
            return process.child &&
                   std::count(process.sockets.begin(), process.sockets.end(), socket) > 0;
        }));
}

void WorkerTable::signal(core::WorkerId worker, core::SignalKind kind, const config::Pool& policy) {
    Process* const process = running(worker);
    if (process == nullptr) {
        return;
    }
    if (process->listening && kind == core::SignalKind::Abort &&
        !process->listening->had_trouble()) {
        surroundings_.journal.warning(
            process->name() +
            ": ready: no process of it was seen waiting on all of its listeners; does it open "
            "sockets of its own? Else use by: notify");
    }
    stop_looking(worker);
    process->freeze.reset();
    if (kind == core::SignalKind::Terminate) {
        // A spare does not wait any more, nor begin to: its loop may be what the signal is handled
        // in. And the next master sees that it was told to leave.
        shm::release_spare(surroundings_.segment, process->facts.lane, kNoSlot);
    }
    const posix::Child& child = *process->child;
    Result<void> sent;
    switch (kind) {
        case core::SignalKind::Terminate:
            sent = child.signal(policy.stop_signal);
            break;
        case core::SignalKind::Abort:
            sent = child.signal(policy.watchdog.signal);
            break;
        case core::SignalKind::Kill:
            sent = child.signal_group(SIGKILL);
            break;
    }
    if (!sent) {
        surroundings_.journal.error(process->name() + " (pid " + std::to_string(child.pid()) +
                                    "): " + sent.error().message);
    }
    // A stopped process takes no signal but SIGKILL before it is continued.
    (void)child.signal_group(SIGCONT);
}

const WorkerFacts* WorkerTable::find(core::WorkerId worker) const {
    const auto found = processes_.find(worker);
    return found == processes_.end() ? nullptr : &found->second->facts;
}

void WorkerTable::bury(core::WorkerId worker) {
    processes_.erase(worker);
}

bool WorkerTable::owns(std::uint32_t pid) const {
    for (const auto& [worker, process] : processes_) {
        if (process->child && process->facts.pid == pid) {
            return true;
        }
    }
    return probes_.owns(static_cast<pid_t>(pid));
}

void WorkerTable::wake_acceptors() {
    const std::uint64_t nothing = 0;
    for (const auto& [worker, process] : processes_) {
        if (process->child && (surroundings_.segment.lanes()[process->facts.lane].flags.load() &
                               shm::kLaneAttached) != 0) {
            (void)!::write(process->wake.get(), &nothing, sizeof nothing);
        }
    }
}

}  // namespace topsman::supervisor
