#include "supervisor/plan.hpp"

#include "config/diff.hpp"
#include "config/names.hpp"
#include "supervisor/control/json_writer.hpp"
#include "supervisor/core/backoff.hpp"
#include "supervisor/core/words.hpp"

#include <algorithm>

namespace topsman::supervisor {

namespace {

using Lines = std::vector<std::string>;

/// Why a reload would refuse the file as a whole.
Lines refusals(const Candidate& candidate, const config::Config& running) {
    Lines lines;
    if (!candidate.trouble.empty()) {
        lines.push_back(candidate.trouble);
    } else if (!candidate.loaded.config) {
        for (const config::Problem& problem : candidate.loaded.errors) {
            lines.push_back(problem.text());
        }
    } else {
        lines = config::diff(running, *candidate.loaded.config).refused;
    }
    return lines;
}

/// One pool: what changes in the file, and what becomes of its workers.
struct Row {
    core::PoolPlan plan;
    Lines keys;  ///< without `workers`
    bool replaces = false;
    std::uint32_t before = 0;
    std::uint32_t after = 0;

    [[nodiscard]] bool is_empty() const {
        return keys.empty() && !plan.is_new && !plan.is_removed &&
               plan.started + plan.ended + plan.replaced == 0;
    }
};

std::vector<Row> rows(const core::SupervisorCore& core, const config::Config& wanted,
                      const config::Diff& diff) {
    std::vector<Row> rows;
    const config::Config running = core.config_as_scaled();
    for (core::PoolPlan& plan : core.plan(wanted)) {
        Row row;
        const config::Pool* before = running.find_pool(plan.pool);
        const config::Pool* after = wanted.find_pool(plan.pool);
        row.before = before == nullptr ? 0 : before->workers;
        row.after = after == nullptr ? 0 : after->workers;
        const auto change = std::find_if(
            diff.pools.begin(), diff.pools.end(),
            [&plan](const config::PoolChange& entry) { return entry.pool == plan.pool; });
        if (change != diff.pools.end()) {
            row.keys = change->keys;
            row.replaces = change->exec;
            std::erase(row.keys, "workers");
        }
        row.plan = std::move(plan);
        if (!row.is_empty()) {
            rows.push_back(std::move(row));
        }
    }
    return rows;
}

std::string are(std::uint32_t number, const std::string& what) {
    return core::counted(number, "worker") + (number == 1 ? " is " : " are ") + what;
}

void say(const Row& row, const config::Config& wanted, Lines& lines) {
    const core::PoolPlan& plan = row.plan;
    const std::string pool = plan.pool + ": ";
    if (plan.is_new) {
        lines.push_back(pool + "new: " + are(plan.started, "started"));
        return;
    }
    if (plan.is_removed) {
        lines.push_back(pool + "removed: " + are(plan.ended, "ended"));
        return;
    }
    if (plan.started + plan.ended > 0) {
        lines.push_back(
            pool + "workers " + std::to_string(row.before) + " -> " + std::to_string(row.after) +
            ": " + (plan.started > 0 ? are(plan.started, "started") : are(plan.ended, "ended")));
    }
    std::string line = row.keys.empty() ? "" : config::listed(row.keys) + " changed: ";
    if (plan.replaced > 0) {
        const config::Rollout& rollout = wanted.find_pool(plan.pool)->rollout;
        line += are(plan.replaced, "replaced");
        if (plan.sends_canary) {
            line += plan.replaced == 1 ? ", the new one ready for " : ", one first, ready for ";
            line += core::in_words(core::clock_duration(rollout.observe));
        }
        if (plan.replaced > 1 && rollout.delay.count() > 0) {
            line += ", " + core::in_words(core::clock_duration(rollout.delay)) + " apart";
        }
    } else if (!row.keys.empty()) {
        line += row.replaces ? "applies to the next worker" : "applies at once";
    }
    if (!line.empty()) {
        lines.push_back(pool + line);
    }
}

std::string details(const std::vector<Row>& rows, const config::Diff& diff) {
    control::JsonWriter w;
    w.begin_object().key("pools").begin_array();
    for (const Row& row : rows) {
        w.begin_object().member("pool", row.plan.pool);
        w.member("new", row.plan.is_new).member("removed", row.plan.is_removed);
        w.member("workers_before", std::uint64_t{row.before});
        w.member("workers_after", std::uint64_t{row.after});
        w.member("started", std::uint64_t{row.plan.started});
        w.member("ended", std::uint64_t{row.plan.ended});
        w.member("replaced", std::uint64_t{row.plan.replaced});
        w.member("canary", row.plan.sends_canary).key("keys").begin_array();
        for (const std::string& key : row.keys) {
            w.value(key);
        }
        w.end_array().end_object();
    }
    w.end_array().key("listeners").begin_array();
    for (const std::string& line : diff.listeners) {
        w.value(line);
    }
    w.end_array().key("shared").begin_array();
    for (const std::string& line : diff.shared) {
        w.value(line);
    }
    w.end_array().key("other").begin_array();
    for (const std::string& key : diff.other) {
        w.value(key);
    }
    return w.end_array().end_object().take();
}

}  // namespace

control::Response plan_reload(const core::SupervisorCore& core, const Candidate& candidate,
                              const std::vector<std::string>& misfits) {
    control::Response response;
    const config::Config running = core.config_as_scaled();
    Lines refused = refusals(candidate, running);
    refused.insert(refused.end(), misfits.begin(), misfits.end());
    if (!refused.empty()) {
        response.result = "failed";
        response.reason = "a reload would refuse the file, and change nothing";
        response.lines = std::move(refused);
        return response;
    }
    const config::Config& wanted = *candidate.loaded.config;
    const config::Diff diff = config::diff(running, wanted);
    const std::vector<Row> planned = rows(core, wanted, diff);
    response.lines = diff.listeners;
    for (const Row& row : planned) {
        say(row, wanted, response.lines);
    }
    response.lines.insert(response.lines.end(), diff.shared.begin(), diff.shared.end());
    for (const std::string& key : diff.other) {
        response.lines.push_back(key + " changed: applies at once");
    }
    const bool changes = !response.lines.empty();
    response.result = changes ? "changes" : "done";
    response.reason = changes ? "" : "nothing would change";
    response.details = details(planned, diff);
    return response;
}

}  // namespace topsman::supervisor
