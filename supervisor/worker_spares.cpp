// WorkerTable: spares, which are parked as soon as they are ready and go on when they have a seat.

#include "shm/sweep.hpp"
#include "supervisor/posix/memory_room.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/worker_process.hpp"

#include <algorithm>
#include <csignal>

namespace topsman::supervisor {

// By a program of the worker library, in its lane. A worker may write anything there: what it says
// of itself makes nobody wait but itself.
bool WorkerTable::is_parked_by_itself(const Process& process) const {
    return process.slot.index == kNoSlot && process.facts.lane != 0 &&
           (surroundings_.segment.lanes()[process.facts.lane].flags.load() & shm::kLaneParked) != 0;
}

// A spare is a convenience: whoever else needs the memory needs it more. What the next one takes is
// what those before it take.
Result<void> WorkerTable::look_for_room(const std::string& pool) const {
    const std::optional<std::uint64_t> room = posix::available_memory();
    std::uint64_t largest = 0;
    for (const auto& [worker, process] : processes_) {
        if (process->child && process->spec->pool.name == pool) {
            largest = std::max(largest, posix::resident_bytes(process->facts.pid));
        }
    }
    if (!room || *room / 2 >= largest) {
        return {};
    }
    return plain_error("too little memory for a spare: " + std::to_string(*room >> 20U) +
                           " MiB are available, and a worker of the pool takes " +
                           std::to_string(largest >> 20U) + " MiB",
                       std::errc::not_enough_memory);
}

void WorkerTable::park(core::WorkerId worker) {
    Process* const process = running(worker);
    if (process == nullptr) {
        return;
    }
    if (is_parked_by_itself(*process)) {
        enqueue_(core::Parked{worker});
        return;
    }
    // A master that died, or was executed anew, may have stopped it and not looked at it yet.
    (void)process->child->signal_group(SIGCONT);
    process->freeze.emplace(surroundings_.io, *process->child, process->sockets);
    look_at_freezing(worker);
}

void WorkerTable::look_at_freezing(core::WorkerId worker) {
    Process* const process = running(worker);
    if (process == nullptr || !process->freeze) {
        return;
    }
    switch (process->freeze->look()) {
        case FreezeWatch::State::Again:
            process->freeze->wait([this, worker] { look_at_freezing(worker); });
            return;
        case FreezeWatch::State::Frozen:
            enqueue_(core::Parked{worker});
            break;
        case FreezeWatch::State::Failed:
            enqueue_(core::NotParked{worker, process->freeze->reason()});
            break;
    }
    process->freeze.reset();
}

void WorkerTable::release(const core::Release& release, std::uint32_t scoreboard_slot) {
    Process* const process = running(release.worker);
    if (process == nullptr) {
        return;
    }
    const bool waits_by_itself = is_parked_by_itself(*process);
    process->slot = release.slot;
    process->freeze.reset();
    if (process->facts.lane != 0) {
        surroundings_.segment.lanes()[process->facts.lane].slot.store(scoreboard_slot);
        shm::release_spare(surroundings_.segment, process->facts.lane, release.slot.index);
    }
    if (!waits_by_itself) {
        (void)process->child->signal_group(SIGCONT);
    }
    if (process->output) {
        process->output->rename(process->name());
    }
}

}  // namespace topsman::supervisor
