#include "supervisor/worker_table.hpp"

#include "shm/sweep.hpp"
#include "supervisor/child_plan.hpp"
#include "supervisor/fd_watch.hpp"
#include "supervisor/listening_watch.hpp"
#include "supervisor/posix/notify_socket.hpp"
#include "supervisor/posix/output_pipe.hpp"
#include "supervisor/posix/process_info.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <csignal>
#include <sys/eventfd.h>
#include <unistd.h>

namespace topsman::supervisor {

namespace {

// Taken from one worker at once, so that one that sends without end does not hold up the others.
// More than a queue holds where net.unix.max_dgram_qlen is as systemd sets it.
constexpr std::size_t kMostNotifications = 1'024;

// A worker may make its event descriptor blocking for us too, and full: adding 1 would then wait
// for it. Adding 0 never does (eventfd(2)), and who waits for the edge is still woken by it as long
// as the counter is not 0; nobody reads it.
constexpr unsigned kAlwaysReadable = 1;

constexpr std::uint32_t kFirstInherited = 3;  // sd_listen_fds(3)

// How often, and how far apart, an adopted worker's exit status is asked for: it is known as soon
// as whoever inherited it has reaped it.
constexpr int kMostAsked = 5;
constexpr auto kAskAgain = std::chrono::milliseconds(1);

std::string label(const config::Pool& pool, core::SlotId slot) {
    return pool.name + "/" + std::to_string(slot.index);
}

}  // namespace

// One started process and what belongs to it. The watches are declared last, so that they let go of
// the descriptors before these are closed.
struct WorkerTable::Process {
    WorkerFacts facts;
    core::SlotId slot;
    SpecPtr spec;
    UniqueFd wake;
    std::optional<posix::NotifySocket> notify;
    std::optional<posix::OutputPipe> output;
    std::vector<int> sockets;                  // the listeners' descriptors that it holds
    std::optional<posix::SpawnReport> report;  // after a failure until the exit
    std::optional<posix::SpawnFailure> failure;
    std::optional<posix::Child> child;
    int exit_asked = 0;
    std::optional<boost::asio::steady_timer> ask_again;
    std::optional<FdWatch> exit_watch;
    std::optional<FdWatch> report_watch;
    std::optional<FdWatch> notify_watch;
    std::optional<FdWatch> output_watch;
    std::optional<ListeningWatch> listening;  // until it is ready, or leaves
};

WorkerTable::WorkerTable(const Surroundings& surroundings, Enqueue enqueue)
    : surroundings_(surroundings), enqueue_(std::move(enqueue)) {}

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
    const Result<shm::LaneGrant> lane =
        shm::grant_lane(surroundings_.segment, order.worker.value, order.scoreboard_slot);
    if (!lane) {
        return lane.error();
    }
    process.facts.lane = lane->lane;
    process.facts.lane_generation = lane->generation;
    UniqueFd writer;  // the worker's end of its output; ours is closed on return
    if (Result<void> made = make_channels(process, order, writer); !made) {
        return made;
    }
    shm::Lane& shared = surroundings_.segment.lanes()[lane->lane];
    posix::ChildSetup setup = set_up_child(ChildPlan{
        .spec = *order.spec,
        .cluster = surroundings_.cluster,
        .worker = order.worker,
        .slot = order.slot,
        .generation = order.generation,
        .listeners = choose_sockets(order),
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
    if (const auto info = posix::process_info(process.facts.pid)) {
        process.facts.start_ticks = info->start_ticks;
        shared.start_ticks.store(info->start_ticks);
    }
    return {};
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
    if (spec == nullptr) {
        auto gone = std::make_shared<Spec>();
        gone->pool.name = adoptee.left.pool;
        spec = std::move(gone);
    }
    process->spec = std::move(spec);
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
    watch(*(processes_[worker] = std::move(process)));
}

/// Each is worth a line when it fails, none of them the worker.
void WorkerTable::open_channels_again(Process& process, const Adoptee& adoptee) {
    const std::string name = label(process.spec->pool, process.slot);
    const auto complain = [&](const std::string& what, const Error& error) {
        surroundings_.journal.warning(name + " (pid " + std::to_string(process.facts.pid) +
                                      "): " + what + ": " + error.message);
    };
    auto notify = posix::NotifySocket::bind(
        surroundings_.notify_prefix + "." + std::to_string(process.facts.lane),
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
        surroundings_.notify_prefix + "." + std::to_string(process.facts.lane), owner);
    if (!notify) {
        return notify.error();
    }
    process.notify.emplace(std::move(*notify));
    process.wake.reset(::eventfd(kAlwaysReadable, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!process.wake) {
        return system_error("eventfd");
    }
    if (order.spec->pool.exec.output == config::OutputTo::Prefix) {
        Result<posix::OutputPipe> pipe =
            posix::OutputPipe::open(label(order.spec->pool, order.slot), writer, owner);
        if (!pipe) {
            return pipe.error();
        }
        process.output.emplace(std::move(*pipe));
    }
    return {};
}

/// Its pool's listeners in their order, with the socket of each that it gets.
std::vector<std::pair<std::string, int>> WorkerTable::choose_sockets(const Order& order) {
    std::vector<std::pair<std::string, int>> chosen;
    for (const std::string& name : order.spec->pool.exec.listeners) {
        for (const posix::BoundListener& listener : surroundings_.listeners) {
            if (listener.spec.name != name || listener.sockets.empty()) {
                continue;
            }
            if (posix::repair_flags(listener)) {
                surroundings_.journal.warning("listener " + name +
                                              ": a worker had made it blocking for all; repaired");
            }
            chosen.emplace_back(name, least_used(listener, order.slot.index));
        }
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

std::size_t WorkerTable::users(int socket) const {
    return static_cast<std::size_t>(
        std::count_if(processes_.begin(), processes_.end(), [socket](const auto& entry) {
            const Process& process = *entry.second;
            return process.child &&
                   std::count(process.sockets.begin(), process.sockets.end(), socket) > 0;
        }));
}

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

void WorkerTable::look_for_ends() {
    for (const auto& [worker, process] : processes_) {
        if (process->child && process->exit_watch && !process->exit_watch->is_watching()) {
            on_exit(worker);
        }
    }
}

void WorkerTable::wait_for_exit(core::WorkerId worker) {
    processes_.at(worker)->exit_watch->wait([this, worker] { on_exit(worker); });
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
        if (process.spec->pool.ready.by == config::ReadyBy::Listening) {
            process.listening.emplace(surroundings_.io, process.facts.pid, process.sockets);
            wait_for_listening(process.facts.worker);
        }
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
        surroundings_.journal.warning(label(process.spec->pool, process.slot) +
                                      ": ready: cannot tell whether it listens, " + *trouble +
                                      ": use by: notify");
    }
    wait_for_listening(process.facts.worker);
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
            enqueue_(core::BecameReady{worker});
        }
        if (message->stopping) {
            process.listening.reset();
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

void WorkerTable::on_exit(core::WorkerId worker) {
    Process* const found = running(worker);
    if (found == nullptr) {
        return;
    }
    Process& process = *found;
    const std::optional<core::ExitReport> ended = process.child->peek();
    if (!ended) {
        wait_for_exit(worker);
        return;
    }
    if (ended->kind == core::ExitReport::Kind::Unknown && wait_for_its_exit_status(process)) {
        return;
    }
    // What it said before it died comes first.
    take_report(process);
    take_notifications(process);
    if (process.output) {
        (void)take_output(process);
        process.output->finish(
            [this](std::string_view line) { surroundings_.journal.output(line); });
        process.facts.last_words = process.output->last_words();
    }
    // Its group's number is ours only until the leader is reaped: the group goes first.
    (void)process.child->signal_group(SIGKILL);
    (void)process.child->reap();
    if (const std::string words = surroundings_.segment.last_words()[process.facts.lane].read();
        !words.empty()) {
        process.facts.last_words = words;
    }
    give_back_lane(process);
    core::ExitReport report = *ended;
    if (process.failure) {
        report.kind = core::ExitReport::Kind::SpawnFailed;
        report.value = process.failure->number;
        report.detail = process.failure->sentence;
    } else if (process.facts.error_number) {
        report.detail = "ERRNO=" + std::to_string(*process.facts.error_number) + ": " +
                        std::generic_category().message(*process.facts.error_number);
    }
    report.last_words = process.facts.last_words;
    process.report.reset();
    process.exit_watch.reset();
    process.notify_watch.reset();
    process.output_watch.reset();
    process.listening.reset();
    process.child.reset();
    process.notify.reset();
    process.output.reset();
    enqueue_(core::Exited{worker, report});
}

bool WorkerTable::wait_for_its_exit_status(Process& process) {
    if (process.exit_asked >= kMostAsked || !process.child->exit_may_follow()) {
        return false;
    }
    process.ask_again.emplace(surroundings_.io, kAskAgain * (1 << process.exit_asked++));
    process.ask_again->async_wait(
        [this, worker = process.facts.worker](const boost::system::error_code& error) {
            if (!error) {
                on_exit(worker);
            }
        });
    return true;
}

void WorkerTable::give_back_lane(Process& process) {
    if (process.facts.lane != 0) {
        shm::sweep_lane(surroundings_.segment, process.facts.lane, process.facts.lane_generation);
    }
}

void WorkerTable::signal(core::WorkerId worker, core::SignalKind kind, const config::Pool& policy) {
    Process* const process = running(worker);
    if (process == nullptr) {
        return;
    }
    if (process->listening && kind == core::SignalKind::Abort &&
        !process->listening->had_trouble()) {
        surroundings_.journal.warning(
            label(process->spec->pool, process->slot) +
            ": ready: no process of it was seen waiting on all of its listeners; does it open "
            "sockets of its own? Else use by: notify");
    }
    process->listening.reset();
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
        surroundings_.journal.error(label(process->spec->pool, process->slot) + " (pid " +
                                    std::to_string(child.pid()) + "): " + sent.error().message);
    }
    // A stopped process takes no signal but SIGKILL before it is continued.
    (void)child.signal_group(SIGCONT);
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
    return false;
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
