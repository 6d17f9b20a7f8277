#include "tests/sim/describe.hpp"

#include <array>

namespace topsman::sim {
namespace {

constexpr std::array kEvents{
    "Spawned",        "BecameReady",  "Probed",    "CannotTell", "Beat",    "AskedAbort",
    "AskedExtension", "SaidStopping", "DumpsCore", "Exited",     "Parked",  "NotParked",
    "Measured",       "Busy",         "Reload",    "Rollback",   "Scale",   "Restart",
    "Drain",          "ResetFailed",  "Stop",      "Tick",       "Stalled", "Adopt"};
static_assert(kEvents.size() == std::variant_size_v<core::Event>);

constexpr std::array kNotices{
    "config.loaded",   "master.stopping", "worker.spawned", "worker.adopted",     "worker.ready",
    "worker.draining", "worker.exited",   "slot.waiting",   "slot.tripped",       "slot.drained",
    "spare.parked",    "spare.kept",      "spare.seated",   "rollout.started",    "rollout.canary",
    "rollout.done",    "rollout.failed",  "rollout.paused", "rollout.rolled_back"};

constexpr std::array kResults{"done", "failed", "rolled_back", "timed_out"};

constexpr std::array kSignals{"Terminate", "Abort", "Kill"};

std::string at(core::SlotId slot) {
    return " slot " + std::to_string(slot.pool.value) + "/" + std::to_string(slot.index);
}

std::string who(core::WorkerId worker) {
    return " worker " + std::to_string(worker.value);
}

struct ActionInWords {
    std::string operator()(const core::Spawn& spawn) const {
        return "Spawn" + who(spawn.worker) + at(spawn.slot) + " generation " +
               std::to_string(spawn.generation.value);
    }

    std::string operator()(const core::Park& park) const { return "Park" + who(park.worker); }

    std::string operator()(const core::Release& release) const {
        return "Release" + who(release.worker) + at(release.slot);
    }

    std::string operator()(const core::Signal& signal) const {
        return std::string(kSignals.at(static_cast<std::size_t>(signal.kind))) + who(signal.worker);
    }

    std::string operator()(const core::Announce& announce) const {
        return name_of(announce.notice) + (announce.slot ? at(*announce.slot) : "") +
               (announce.worker ? who(*announce.worker) : "") + " " + announce.reason;
    }

    std::string operator()(const core::Obituary& obituary) const {
        return "Obituary" + who(obituary.worker) + at(obituary.slot) + " cause: " + obituary.cause +
               "; next: " + obituary.next;
    }

    std::string operator()(const core::Reply& reply) const {
        std::string text = "Reply " + std::to_string(reply.ticket.value) + " " +
                           name_of(reply.result) + " " + reply.reason;
        for (const std::string& line : reply.lines) {
            text += " | " + line;
        }
        return text;
    }

    std::string operator()(const core::ServiceUp& up) const { return "ServiceUp " + up.text; }

    std::string operator()(const core::Exit& exit) const {
        return "Exit " + std::to_string(exit.code);
    }
};

}  // namespace

std::string name_of(core::Notice notice) {
    return kNotices.at(static_cast<std::size_t>(notice));
}

std::string name_of(core::Reply::Result result) {
    return kResults.at(static_cast<std::size_t>(result));
}

std::string describe(const core::Event& event) {
    std::string text = kEvents.at(event.index());
    std::visit(
        [&text](const auto& what) {
            if constexpr (requires { what.worker; }) {
                text += who(what.worker);
            }
            if constexpr (requires { what.ticket; }) {
                text += " ticket " + std::to_string(what.ticket.value);
            }
        },
        event);
    return text;
}

std::string describe(const core::Action& action) {
    return std::visit(ActionInWords{}, action);
}

}  // namespace topsman::sim
