#include "supervisor/nudger.hpp"

#include "supervisor/posix/accept_queue.hpp"
#include "supervisor/posix/process_info.hpp"

namespace topsman::supervisor {

void Nudger::doubt(core::TimePoint now) {
    for (const posix::BoundListener& listener : listeners_) {
        if (listener.spec.accept == config::Accept::Shared && !listener.sockets.empty()) {
            cases_.insert_or_assign(listener.row, Case{core::QueueDoubt(now), UniqueFd()});
        }
    }
}

std::optional<core::TimePoint> Nudger::next_look() const {
    std::optional<core::TimePoint> next;
    for (const auto& [row, open] : cases_) {
        if (!next || open.doubt.next_look() < *next) {
            next = open.doubt.next_look();
        }
    }
    return next;
}

bool Nudger::look(const core::Snapshot& snapshot, core::TimePoint now) {
    bool nudged = false;
    for (posix::BoundListener& listener : listeners_) {
        const auto open = cases_.find(listener.row);
        if (open == cases_.end() || open->second.doubt.next_look() > now) {
            continue;
        }
        const std::uint64_t before = listener.nudges;
        if (!look_at(listener, open->second, snapshot, now)) {
            cases_.erase(open);
        }
        nudged = nudged || listener.nudges != before;
    }
    return nudged;
}

/// False: the case is closed.
bool Nudger::look_at(posix::BoundListener& listener, Case& open, const core::Snapshot& snapshot,
                     core::TimePoint now) {
    const int socket = listener.sockets.front().get();
    open.nudge.reset();
    const std::uint32_t waiting = posix::waiting_connections(socket);
    const std::set<core::WorkerId> asleep =
        waiting == 0 ? std::set<core::WorkerId>() : asleep_at(socket, snapshot);
    switch (open.doubt.look(waiting, asleep, now)) {
        case core::QueueDoubt::Verdict::Wait:
            return true;
        case core::QueueDoubt::Verdict::Settled:
            return false;
        case core::QueueDoubt::Verdict::Helpless:
            chronicle_.listener_helpless(listener.spec.name, waiting);
            return false;
        case core::QueueDoubt::Verdict::Nudge:
            break;
    }
    Result<UniqueFd> made = posix::nudge(socket);
    if (!made) {
        chronicle_.listener_helpless(listener.spec.name, waiting, made.error().message);
        return false;
    }
    open.nudge = std::move(*made);
    ++listener.nudges;
    chronicle_.listener_nudged(listener.spec.name, waiting);
    return true;
}

// One that starts finds what waits by itself, one that leaves takes nothing any more.
std::set<core::WorkerId> Nudger::asleep_at(int socket, const core::Snapshot& snapshot) const {
    std::set<core::WorkerId> asleep;
    for (const core::WorkerView& view : snapshot.workers) {
        if (view.state != core::WorkerState::Serving || view.spare == core::SpareStage::Parked ||
            !workers_.holds(view.worker, socket)) {
            continue;
        }
        const auto info = posix::process_info(workers_.find(view.worker)->pid);
        if (info && info->state == 'S') {
            asleep.insert(view.worker);
        }
    }
    return asleep;
}

}  // namespace topsman::supervisor
