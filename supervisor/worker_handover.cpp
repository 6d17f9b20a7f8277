// WorkerTable: what the program that is executed in our place has to know of each process, and how
// that one goes on with them. They stay children of this process, so nothing is asked of the
// kernel.

#include "supervisor/runtime_dir.hpp"
#include "supervisor/worker_process.hpp"

namespace topsman::supervisor {

// A child that is not executed yet runs on this program's memory, and says through it what failed.
std::optional<std::string> WorkerTable::being_started() const {
    for (const auto& [worker, process] : processes_) {
        if (process->child && (process->report || process->failure)) {
            return process->name();
        }
    }
    return std::nullopt;
}

std::vector<HandedWorker> WorkerTable::hand_over() const {
    std::vector<HandedWorker> handed;
    for (const auto& [worker, process] : processes_) {
        if (!process->child) {
            continue;  // its end is told already
        }
        const WorkerFacts& facts = process->facts;
        HandedWorker& line = handed.emplace_back();
        line.worker = worker;
        line.pid = facts.pid;
        line.start_ticks = facts.start_ticks;
        line.lane = facts.lane;
        line.lane_generation = facts.lane_generation;
        line.fingerprint = facts.fingerprint;
        line.output_inode = facts.output_inode;
        line.wake_number = facts.wake_fd;
        line.status = facts.status;
        line.error_number = facts.error_number;
        line.is_looked_at = process->listening.has_value() || probes_.is_probing(worker);
        line.pidfd = process->child->pidfd();
        line.notify = process->notify ? process->notify->fd() : -1;
        line.wake = process->wake.get();
        line.sockets = process->sockets;
        if (process->output) {
            line.output = process->output->fd();
            line.output_rest = process->output->rest();
        }
    }
    return handed;
}

void WorkerTable::resume(const HandedWorker& handed, const core::LeftWorker& left, SpecPtr spec) {
    auto process = std::make_unique<Process>();
    process->slot.index = left.slot;
    process->generation = left.generation;
    process->spec = spec == nullptr ? spec_of_nobody(left.pool) : std::move(spec);
    WorkerFacts& facts = process->facts;
    facts.worker = handed.worker;
    facts.pid = handed.pid;
    facts.start_ticks = handed.start_ticks;
    facts.lane = handed.lane;
    facts.lane_generation = handed.lane_generation;
    facts.fingerprint = handed.fingerprint;
    facts.output_inode = handed.output_inode;
    facts.wake_fd = handed.wake_number;
    facts.status = handed.status;
    facts.error_number = handed.error_number;
    process->sockets = handed.sockets;
    process->wake.reset(handed.wake);
    process->child.emplace(static_cast<pid_t>(handed.pid), UniqueFd(handed.pidfd));
    facts.pidfd_inode = process->child->inode();
    if (handed.notify >= 0) {
        process->notify.emplace(posix::NotifySocket::resume(
            UniqueFd(handed.notify), notify_path(surroundings_.path_prefix, handed.lane)));
    }
    if (handed.output >= 0) {
        process->output.emplace(posix::OutputPipe::resume(process->name(), UniqueFd(handed.output),
                                                          handed.output_rest));
    }
    Process& kept = *(processes_[handed.worker] = std::move(process));
    watch(kept);
    if (handed.is_looked_at) {
        begin_looking(kept);
    }
}

}  // namespace topsman::supervisor
