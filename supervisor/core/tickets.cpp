#include "supervisor/core/tickets.hpp"

#include <utility>

namespace topsman::core {

void reply(Ticket ticket, Reply::Result result, const std::string& reason,
           std::vector<std::string> lines, std::vector<Action>& out) {
    if (ticket != Ticket{}) {
        out.emplace_back(Reply{ticket, result, reason, std::move(lines)});
    }
}

void Tickets::add(Ticket ticket, Wait wait, Replies& out) {
    if (ticket == Ticket{} || waits_.contains(ticket)) {
        return;
    }
    if (waits_.size() >= kMostTickets) {
        reply(ticket, Reply::Result::Failed,
              "it is being done, but too many requests wait for an answer already",
              std::move(wait.lines), out);
        return;
    }
    waits_.emplace(ticket, std::move(wait));
}

void Tickets::worker_ready(SlotId slot) {
    for (auto& [ticket, wait] : waits_) {
        wait.starting.erase(slot);
    }
}

void Tickets::worker_gone(WorkerId worker) {
    for (auto& [ticket, wait] : waits_) {
        wait.leaving.erase(worker);
    }
}

void Tickets::worker_replaced(PoolId pool, WorkerId worker) {
    for (auto& [ticket, wait] : waits_) {
        if (wait.rollouts.contains(pool)) {
            wait.leaving.insert(worker);
        }
    }
}

void Tickets::rollout_done(PoolId pool, const std::string& line) {
    for (auto& [ticket, wait] : waits_) {
        if (wait.rollouts.erase(pool) > 0) {
            wait.lines.push_back(line);
        }
    }
}

template <class Predicate>
void Tickets::fail_if(Predicate&& concerned, const std::string& why, Replies& out) {
    for (auto it = waits_.begin(); it != waits_.end();) {
        if (concerned(it->second)) {
            reply(it->first, Reply::Result::Failed, why, std::move(it->second.lines), out);
            it = waits_.erase(it);
        } else {
            ++it;
        }
    }
}

void Tickets::worker_failed(SlotId slot, const std::string& why, Replies& out) {
    fail_if([slot](const Wait& wait) { return wait.starting.contains(slot); }, why, out);
}

void Tickets::rollout_failed(PoolId pool, const std::string& why, Replies& out) {
    // A reload fails as a whole.
    fail_if([pool](const Wait& wait) { return wait.rollouts.contains(pool) && !wait.change; }, why,
            out);
}

void Tickets::pool_given_up(PoolId pool, const std::string& why, Replies& out) {
    const auto starts = [pool](const Wait& wait) {
        const auto first = wait.starting.lower_bound(SlotId{pool, 0});
        return first != wait.starting.end() && first->pool == pool;
    };
    fail_if(starts, why, out);
}

void Tickets::change_done(std::uint64_t change, const std::set<WorkerId>& leaving) {
    for (auto& [ticket, wait] : waits_) {
        if (wait.change == change) {
            wait.change.reset();
            wait.leaving.insert(leaving.begin(), leaving.end());
        }
    }
}

void Tickets::change_failed(std::uint64_t change, const std::string& why, Replies& out) {
    fail_if([change](const Wait& wait) { return wait.change == change; }, why, out);
}

void Tickets::change_undone(std::uint64_t change, const std::string& why, const Wait& back) {
    for (auto& [ticket, wait] : waits_) {
        if (wait.change == change) {
            wait.undone = why;
            wait.rollouts = back.rollouts;
            wait.starting.clear();
            wait.leaving.insert(back.leaving.begin(), back.leaving.end());
            wait.lines = back.lines;
        }
    }
}

void Tickets::fail_all(const std::string& why, Replies& out) {
    fail_if([](const Wait&) { return true; }, why, out);
}

void Tickets::settle(Replies& out) {
    for (auto it = waits_.begin(); it != waits_.end();) {
        if (it->second.empty()) {
            Wait& wait = it->second;
            const auto result =
                wait.undone.empty() ? Reply::Result::Done : Reply::Result::RolledBack;
            reply(it->first, result, wait.undone, std::move(wait.lines), out);
            it = waits_.erase(it);
        } else {
            ++it;
        }
    }
}

}  // namespace topsman::core
