#include "supervisor/chronicle.hpp"

#include "shm/base/check.hpp"
#include "supervisor/control/event_names.hpp"
#include "supervisor/posix/child.hpp"

#include <cstdio>
#include <unistd.h>

namespace topsman::supervisor {

namespace {

struct NoticeWords {
    const char* event;
    const char* sentence;  // for the log; null: the event is not worth a line
};

NoticeWords words(core::Notice notice) {
    switch (notice) {
        case core::Notice::ConfigLoaded:
            return {"config.loaded", "configuration loaded"};
        case core::Notice::MasterStopping:
            return {"master.stopping", "stopping"};
        case core::Notice::WorkerSpawned:
            return {"worker.spawned", "started"};
        case core::Notice::WorkerAdopted:
            return {"worker.adopted", "adopted"};
        case core::Notice::WorkerReady:
            return {"worker.ready", "ready"};
        case core::Notice::WorkerDraining:
            return {"worker.draining", "leaving"};
        case core::Notice::WorkerExited:
            return {"worker.exited", nullptr};
        case core::Notice::SlotWaiting:
            return {"slot.waiting", nullptr};  // the obituary said it
        case core::Notice::SlotTripped:
            return {"slot.tripped", "tripped"};
        case core::Notice::SlotDrained:
            return {"slot.drained", "drained"};
        case core::Notice::SpareParked:
            return {"spare.parked", "parked, until a worker dies"};
        case core::Notice::SpareKept:
            return {"spare.kept", "goes on serving beside the others"};
        case core::Notice::SpareSeated:
            return {"spare.seated", "takes the seat, it was warmed up before"};
        case core::Notice::RolloutStarted:
            return {"rollout.started", "rollout started"};
        case core::Notice::RolloutCanary:
            return {"rollout.canary", "the first new worker stays"};
        case core::Notice::RolloutDone:
            return {"rollout.done", "rollout done"};
        case core::Notice::RolloutFailed:
            return {"rollout.failed", "rollout failed"};
        case core::Notice::RolloutPaused:
            return {"rollout.paused", "rollout paused"};
        case core::Notice::RolloutRolledBack:
            return {"rollout.rolled_back", "rolled back"};
    }
    return {"unknown", nullptr};
}

std::string connections(std::uint32_t waiting) {
    return std::to_string(waiting) + (waiting == 1 ? " connection waits" : " connections wait");
}

bool is_bad_news(core::Notice notice) {
    return notice == core::Notice::SlotTripped || notice == core::Notice::RolloutFailed;
}

/// A spare has no number yet.
void set_slot(control::EventFields& fields, std::uint32_t slot) {
    if (slot != kNoSlot) {
        fields.slot = slot;
    }
}

void set_worker(control::EventFields& fields, const WorkerFacts* worker) {
    if (worker != nullptr) {
        fields.worker = worker->worker.value;
        if (worker->pid != 0) {
            fields.pid = worker->pid;
        }
    }
}

}  // namespace

Chronicle::Chronicle(shm::Segment& segment, Journal& journal)
    : segment_(segment), journal_(journal) {}

void Chronicle::append(const control::EventFields& fields) {
    CHECK(control::is_event(fields.event));
    shm::EventRing& ring = segment_.events();
    ring.append(control::event_json(ring.last_seq() + 1,
                                    control::rfc3339(std::chrono::system_clock::now()), fields));
}

void Chronicle::master_started(std::uint32_t pid) {
    control::EventFields fields;
    fields.event = "master.started";
    fields.pid = pid;
    append(fields);
}

void Chronicle::master_upgraded(const std::string& from, const std::string& to) {
    control::EventFields fields;
    fields.event = "master.upgraded";
    fields.pid = static_cast<std::uint32_t>(::getpid());
    fields.texts = {{"from", from}, {"to", to}};
    append(fields);
    journal_.info(describe_upgrade(from, to) + ": the master goes on with all that it had");
}

void Chronicle::upgrade_failed(const std::string& why) {
    control::EventFields fields;
    fields.event = "upgrade.failed";
    fields.texts = {{"reason", why}};
    append(fields);
    journal_.error("upgrade failed, the master goes on with the program that it was: " + why);
}

void Chronicle::config_refused(const std::vector<std::string>& reasons) {
    for (const std::string& reason : reasons) {
        journal_.error(reason);
    }
    control::EventFields fields;
    fields.event = "config.refused";
    if (!reasons.empty()) {
        fields.texts = {{"reason", reasons.front()}};
    }
    append(fields);
}

void Chronicle::listener_closed(const std::string& listener, const std::string& address,
                                std::uint32_t waiting) {
    control::EventFields fields;
    fields.event = "listener.closed";
    fields.numbers = {{"waiting", waiting}};
    fields.texts = {{"listener", listener}, {"address", address}};
    append(fields);
    const std::string what = "listener " + listener + ": " + address + " is closed";
    if (waiting == 0) {
        journal_.info(what);
    } else {
        journal_.warning(what + " with " + connections(waiting) + " that nobody took");
    }
}

void Chronicle::listener_nudged(const std::string& listener, std::uint32_t waiting) {
    control::EventFields fields;
    fields.event = "listener.nudged";
    fields.numbers = {{"waiting", waiting}};
    fields.texts = {{"listener", listener}};
    append(fields);
    journal_.info("listener " + listener + ": " + connections(waiting) +
                  " beside sleeping workers, after one of them died or was stopped: woken by a "
                  "connection of our own");
}

void Chronicle::listener_helpless(const std::string& listener, std::uint32_t waiting,
                                  const std::string& why) {
    journal_.warning("listener " + listener + ": " + connections(waiting) +
                     " and its workers sleep; " +
                     (why.empty() ? "connections of our own do not wake them: do they accept?"
                                  : "they cannot be woken: " + why));
}

void Chronicle::announce(const core::Announce& notice, const std::string& pool,
                         const WorkerFacts* worker) {
    if (notice.notice == core::Notice::WorkerExited) {
        return;  // its obituary says more
    }
    const NoticeWords said = words(notice.notice);
    control::EventFields fields;
    fields.event = said.event;
    std::string line;
    if (!pool.empty()) {
        fields.pool = pool;
        line = pool;
        if (notice.slot) {
            set_slot(fields, notice.slot->index);
            line = slot_name(pool, notice.slot->index);
        }
        if (worker != nullptr && worker->pid != 0) {
            line += " (pid " + std::to_string(worker->pid) + ")";
        }
        line += ": ";
    }
    set_worker(fields, worker);
    fields.texts = {{"reason", notice.reason}};
    append(fields);
    if (said.sentence == nullptr) {
        return;
    }
    line += said.sentence;
    if (!notice.reason.empty()) {
        line += ": " + notice.reason;
    }
    if (is_bad_news(notice.notice)) {
        journal_.error(line);
    } else {
        journal_.info(line);
    }
}

void Chronicle::bury(const core::Obituary& obituary, const std::string& pool,
                     const WorkerFacts* worker) {
    const std::string death = describe_death(obituary);
    control::EventFields fields;
    fields.event = "worker.exited";
    fields.pool = pool;
    set_slot(fields, obituary.slot.index);
    set_worker(fields, worker);
    const auto uptime = std::chrono::duration_cast<std::chrono::milliseconds>(obituary.uptime);
    fields.numbers = {{"generation", obituary.generation.value}, {"uptime_ms", uptime.count()}};
    const std::string last_words = worker != nullptr ? worker->last_words : std::string();
    fields.texts = {{"reason", death}, {"next", obituary.next}, {"last_words", last_words}};
    append(fields);

    std::string line = slot_name(pool, obituary.slot.index);
    if (worker != nullptr && worker->pid != 0) {
        line += " (pid " + std::to_string(worker->pid) + ")";
    }
    line += ": " + death + " after " + in_words(obituary.uptime);
    if (!obituary.next.empty()) {
        line += "; " + obituary.next;
    }
    if (!last_words.empty()) {
        line += "; its last words: " + last_words;
    }
    if (obituary.failure) {
        journal_.warning(line);
    } else {
        journal_.info(line);
    }
}

std::string describe_upgrade(const std::string& from, const std::string& to) {
    return from == to ? "topsman " + to + " was executed again, the version is the same"
                      : "upgraded from topsman " + from + " to " + to;
}

std::string describe_death(const core::Obituary& obituary) {
    std::string death = posix::describe(obituary.report);
    if (!obituary.cause.empty()) {
        death += " (" + obituary.cause + ")";
    }
    return death;
}

std::string in_words(core::Duration duration) {
    const double seconds = std::chrono::duration<double>(duration).count();
    char text[48];
    const auto whole = static_cast<long long>(seconds);
    if (seconds < 1) {
        std::snprintf(text, sizeof text, "%.0fms", seconds * 1'000);
    } else if (seconds < 60) {
        std::snprintf(text, sizeof text, "%.1fs", seconds);
    } else if (seconds < 3'600) {
        std::snprintf(text, sizeof text, "%lldm%02llds", whole / 60, whole % 60);
    } else {
        std::snprintf(text, sizeof text, "%lldh%02lldm", whole / 3'600, whole / 60 % 60);
    }
    return text;
}

}  // namespace topsman::supervisor
