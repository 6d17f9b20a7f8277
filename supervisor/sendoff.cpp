#include "supervisor/sendoff.hpp"

#include "supervisor/posix/gate.hpp"
#include "supervisor/posix/process_info.hpp"

#include <algorithm>

namespace topsman::supervisor {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstLook{1};
constexpr milliseconds kLongestStep{200};
// A handshake that takes longer is one that nobody finishes.
constexpr milliseconds kHandshake{1'000};
constexpr milliseconds kMostPatience{10'000};

}  // namespace

bool Sendoff::holds(core::WorkerId worker, const posix::BoundListener& listener) const {
    return std::any_of(
        listener.sockets.begin(), listener.sockets.end(),
        [this, worker](const UniqueFd& fd) { return workers_.holds(worker, fd.get()); });
}

bool Sendoff::is_last_on(const posix::BoundListener& listener, core::WorkerId worker,
                         const core::Snapshot& snapshot) const {
    const auto takes_on = [&](const core::WorkerView& view) {
        return view.worker != worker && view.state <= core::WorkerState::Serving &&
               view.role != core::Role::Leaving && view.role != core::Role::Spare &&
               holds(view.worker, listener);
    };
    return holds(worker, listener) &&
           std::none_of(snapshot.workers.begin(), snapshot.workers.end(), takes_on);
}

bool Sendoff::delays(core::WorkerId worker, const core::Snapshot& snapshot, core::Duration patience,
                     core::TimePoint now) {
    bool is_last = false;
    for (posix::BoundListener& listener : listeners_.all()) {
        if (listener.from_systemd || listeners_.is_in_force(listener) ||
            !is_last_on(listener, worker, snapshot)) {
            continue;
        }
        is_last = true;
        if (auto closed = listeners_.close_gate(listener); !closed) {
            journal_.warning("listener " + listener.spec.name + ": " + closed.error().message);
        }
    }
    if (!is_last) {
        return false;
    }
    Leaving leaving;
    leaving.since = now;
    leaving.until = now + std::min<core::Duration>(patience / 2, kMostPatience);
    leaving.is_told = has_taken_all(worker, leaving, now);
    leaving.step = kFirstLook;
    leaving.next = now + leaving.step;
    const bool is_told = leaving.is_told;
    leaving_.insert_or_assign(worker, leaving);
    return !is_told;
}

bool Sendoff::has_taken_all(core::WorkerId worker, const Leaving& leaving,
                            core::TimePoint now) const {
    if (now >= leaving.until) {
        return true;
    }
    return std::all_of(listeners_.all().begin(), listeners_.all().end(), [&](const auto& listener) {
        if (!listener.gate_closed || !holds(worker, listener)) {
            return true;
        }
        const posix::Behind behind = posix::behind_gate(listener);
        return behind.waiting == 0 && (behind.arriving == 0 || now >= leaving.since + kHandshake);
    });
}

void Sendoff::show_truth(core::Snapshot& snapshot) const {
    for (core::WorkerView& view : snapshot.workers) {
        const auto leaving = leaving_.find(view.worker);
        if (leaving != leaving_.end() && !leaving->second.is_told &&
            view.state == core::WorkerState::Draining) {
            view.state = core::WorkerState::Serving;
        }
    }
}

std::vector<HandedLeaver> Sendoff::hand_over() const {
    std::vector<HandedLeaver> leavers;
    for (const auto& [worker, leaving] : leaving_) {
        leavers.push_back({worker, leaving.is_told, leaving.since, leaving.until});
    }
    return leavers;
}

void Sendoff::resume(const std::vector<HandedLeaver>& leavers, core::TimePoint now) {
    for (const HandedLeaver& leaver : leavers) {
        leaving_[leaver.worker] = {leaver.is_told, leaver.since, leaver.until, now, kFirstLook};
    }
}

/// True: there is nothing left to look for.
bool Sendoff::let_go(core::WorkerId worker) {
    const WorkerFacts* facts = workers_.find(worker);
    const auto files =
        facts == nullptr
            ? Result<std::vector<posix::OpenFile>>(plain_error("gone", std::errc::no_such_process))
            : posix::open_files(facts->pid);
    if (!files) {
        return true;  // its end will tell
    }
    bool holds_any = false;
    for (const posix::BoundListener& listener : listeners_.all()) {
        if (!listener.gate_closed) {
            continue;
        }
        for (const UniqueFd& fd : listener.sockets) {
            if (workers_.holds(worker, fd.get())) {
                const bool is_open = posix::has_open(*files, fd.get());
                holds_any = holds_any || is_open;
                if (!is_open) {
                    workers_.let_go(worker, fd.get());
                }
            }
        }
    }
    return !holds_any;
}

std::optional<core::TimePoint> Sendoff::next_look() const {
    std::optional<core::TimePoint> next;
    for (const auto& [worker, leaving] : leaving_) {
        next = next ? std::min(*next, leaving.next) : leaving.next;
    }
    return next;
}

std::vector<core::WorkerId> Sendoff::look(core::TimePoint now, bool all) {
    std::vector<core::WorkerId> due;
    for (auto entry = leaving_.begin(); entry != leaving_.end();) {
        auto& [worker, leaving] = *entry;
        bool is_done = false;
        if (!leaving.is_told &&
            (all || (leaving.next <= now && has_taken_all(worker, leaving, now)))) {
            leaving.is_told = true;
            leaving.step = kFirstLook;
            leaving.next = now + leaving.step;
            due.push_back(worker);
        } else if (leaving.next <= now) {
            is_done = leaving.is_told && let_go(worker);
            leaving.step = std::min<core::Duration>(leaving.step * 2, kLongestStep);
            leaving.next = now + leaving.step;
        }
        entry = is_done ? leaving_.erase(entry) : std::next(entry);
    }
    return due;
}

}  // namespace topsman::supervisor
