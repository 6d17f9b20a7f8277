// What happens in a play, as the real master tells it.

#include "supervisor/core/words.hpp"
#include "tests/sim/describe.hpp"
#include "tests/sim/play.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <ostream>
#include <utility>

namespace topsman::sim {
namespace {

constexpr std::array kRoles{"current", "successor", "leaving", "spare"};
constexpr std::array kStates{"starting", "serving", "draining", "aborting", "killing"};
constexpr std::array kPhases{"vacant", "waiting", "occupied", "tripped", "finished", "drained"};

template <class Words, class Value>
std::string in_words(const Words& words, Value value) {
    return words.at(static_cast<std::size_t>(value));
}

boost::json::object seen(const core::WorkerView& worker, const core::PoolView& pool) {
    const auto slot =
        std::find_if(pool.slots.begin(), pool.slots.end(),
                     [&worker](const core::SlotView& view) { return view.slot == worker.slot; });
    const bool is_parked = worker.spare == core::SpareStage::Parked;
    boost::json::object line{{"role", in_words(kRoles, worker.role)},
                             {"state", is_parked ? "parked" : in_words(kStates, worker.state)},
                             {"generation", worker.generation.value},
                             {"restarts", slot == pool.slots.end() ? 0 : slot->restarts}};
    if (worker.slot.index != kNoSlot) {
        line["slot"] = worker.slot.index;
    }
    return line;
}

/// What `topsman status` has a line for though nobody is in it.
bool is_empty(const core::SlotView& slot, const core::Snapshot& snapshot) {
    const bool waits_for_who_leaves =
        slot.phase == core::SlotPhase::Vacant || slot.phase == core::SlotPhase::Drained;
    return slot.phase != core::SlotPhase::Occupied &&
           std::none_of(snapshot.workers.begin(), snapshot.workers.end(),
                        [&](const core::WorkerView& worker) {
                            return worker.slot == slot.slot &&
                                   (worker.role != core::Role::Leaving || waits_for_who_leaves);
                        });
}

boost::json::object seen(const core::PoolView& pool, const core::Snapshot& snapshot) {
    boost::json::array lines;
    for (const core::WorkerView& worker : snapshot.workers) {
        if (worker.slot.pool == pool.pool) {
            lines.emplace_back(seen(worker, pool));
        }
    }
    for (const core::SlotView& slot : pool.slots) {
        if (is_empty(slot, snapshot)) {
            lines.emplace_back(boost::json::object{{"slot", slot.slot.index},
                                                   {"role", ""},
                                                   {"state", in_words(kPhases, slot.phase)},
                                                   {"generation", 0},
                                                   {"restarts", slot.restarts}});
        }
    }
    return {{"pool", pool.name},       {"wanted", pool.wanted},
            {"ready", pool.ready},     {"breaker", pool.breaker_open ? "open" : "closed"},
            {"drained", pool.drained}, {"generation", pool.generation.value},
            {"slots", lines}};
}

}  // namespace

void Play::tell(const core::Announce& announce) {
    if (announce.notice == core::Notice::WorkerExited) {
        return;  // its obituary says more
    }
    boost::json::object line{{"event", name_of(announce.notice)}};
    if (announce.worker) {
        line["worker"] = announce.worker->value;
    }
    if (!announce.reason.empty()) {
        line["reason"] = announce.reason;
    }
    const auto pool = announce.slot ? std::optional(announce.slot->pool) : announce.pool;
    tell_event(std::move(line), pool ? pool_name(*pool) : "",
               announce.slot ? std::optional(announce.slot->index) : std::nullopt);
}

void Play::tell(const core::Obituary& obituary) {
    const std::string how = obituary.report.kind == core::ExitReport::Kind::SpawnFailed
                                ? obituary.report.detail
                                : core::in_words(obituary.report);
    boost::json::object line{
        {"event", "worker.exited"},
        {"worker", obituary.worker.value},
        {"generation", obituary.generation.value},
        {"reason", obituary.cause.empty() ? how : how + " (" + obituary.cause + ")"}};
    if (!obituary.next.empty()) {
        line["next"] = obituary.next;
    }
    tell_event(std::move(line), pool_name(obituary.slot.pool), obituary.slot.index);
}

void Play::tell(const core::Reply& reply) {
    const auto asked = asked_.find(reply.ticket);
    if (asked == asked_.end()) {
        trouble_ = plain_error("an answer that nobody waits for");
        return;
    }
    boost::json::array lines;
    for (const std::string& line : reply.lines) {
        lines.emplace_back(line);
    }
    out_ << boost::json::object{{"answer", asked->second},
                                {"result", name_of(reply.result)},
                                {"reason", reply.reason},
                                {"lines", lines}}
         << std::endl;
    asked_.erase(asked);
}

void Play::tell_event(boost::json::object line, const std::string& pool,
                      std::optional<std::uint32_t> slot) {
    const bool is_spare = slot == kNoSlot;
    told_.push_back(
        {std::string(line.at("event").as_string()), pool, is_spare ? std::nullopt : slot});
    if (!pool.empty()) {
        line["pool"] = pool;
    }
    if (slot && !is_spare) {
        line["slot"] = *slot;
    }
    out_ << line << std::endl;
}

void Play::tell_of_master(const char* event) {
    tell_event({{"event", event}}, "", std::nullopt);
}

// Before its core hears of it, the master has read the file.
void Play::tell_refusal(const std::vector<config::Problem>& problems, core::Ticket ticket) {
    tell_event({{"event", "config.refused"}, {"reason", problems.front().text()}}, "",
               std::nullopt);
    if (ticket != core::Ticket{}) {
        core::Reply reply{ticket,
                          core::Reply::Result::Failed,
                          "the configuration was refused, nothing has changed",
                          {}};
        for (const config::Problem& problem : problems) {
            reply.lines.push_back(problem.text());
        }
        tell(reply);
    }
}

std::string Play::pool_name(core::PoolId id) const {
    const auto found = pools_.find(id);
    return found == pools_.end() ? std::string() : found->second;
}

void Play::look() {
    boost::json::array pools;
    for (const core::PoolView& pool : board_.pools) {
        if (!pool.slots.empty()) {
            pools.emplace_back(seen(pool, board_));
        }
    }
    out_ << boost::json::object{{"look", pools}} << std::endl;
}

}  // namespace topsman::sim
