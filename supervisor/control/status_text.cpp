#include "supervisor/control/status_text.hpp"

#include "supervisor/control/table.hpp"
#include "supervisor/control/text.hpp"

#include <algorithm>

namespace topsman::control {
namespace {

std::string plural(std::uint64_t n, const std::string& noun) {
    return std::to_string(n) + " " + noun + (n == 1 ? "" : "s");
}

std::uint32_t living_workers(const ClusterView& view) {
    std::uint32_t count = 0;
    for (const PoolLines& pool : view.pools) {
        for (const WorkerLine& line : pool.slots) {
            count += line.worker != 0 && !line.gone && line.role != "spare" ? 1U : 0U;
        }
    }
    return count;
}

/// Long sentences are broken at blanks, not cut: they say what to do.
std::string wrapped(const std::string& sentence, std::size_t columns) {
    std::string out;
    std::size_t used = 0;
    for (std::size_t at = 0; at < sentence.size();) {
        const std::size_t end = std::min(sentence.find(' ', at), sentence.size());
        const std::string next = sentence.substr(at, end - at);
        if (used != 0) {
            const bool fits = columns == 0 || used + 1 + width(next) <= columns;
            out += fits ? " " : "\n";
            used = fits ? used + 1 : 0;
        }
        out += next;
        used += width(next);
        at = end + 1;
    }
    return out + "\n";
}

std::string headline(const ClusterView& view) {
    const std::string file = view.config_file.empty() ? "FILE" : view.config_file;
    if (view.master_state == "dead") {
        const std::uint32_t living = living_workers(view);
        return view.cluster + ": no master (" + view.trouble + "): " +
               (living != 0
                    ? plural(living, "worker") + (living == 1 ? " serves" : " serve") + " on"
                    : "and no worker is left") +
               "; start it again with `topsman run " + file + "`";
    }
    std::string line = view.cluster + ": master " + view.master_state;
    if (view.master_state == "hung") {
        return line + " (" + view.trouble + "): workers serve on";
    }
    line += ", pid " + std::to_string(view.master_pid);
    line += ", up " + format_duration(view.uptime_s);
    if (!view.config_file.empty()) {
        line += ", " + view.config_file;
    }
    return line;
}

Tint tint_of(const std::string& state) {
    if (state == "serving") {
        return Tint::Good;
    }
    if (state == "starting" || state == "draining" || state == "waiting" || state == "leaving") {
        return Tint::Warn;
    }
    if (state == "vacant" || state == "finished" || state == "parked") {
        return Tint::Dim;
    }
    return Tint::Bad;
}

std::string state_of(const WorkerLine& line) {
    if (line.state == "parked") {
        return line.stopped ? "frozen" : line.state;
    }
    if (line.stopped) {
        return "stopped";
    }
    if (line.next_try_s) {
        return line.state + " " + format_duration(*line.next_try_s);
    }
    if (line.role == "successor" && line.state == "serving") {
        return "successor";
    }
    return line.state;
}

/// What there is to say in words: of itself first, then what is odd, then its slot's last death.
std::string remark_of(const WorkerLine& line) {
    std::string remark = line.status;
    const auto add = [&remark](const std::string& more) {
        remark += (remark.empty() ? "" : "; ") + more;
    };
    const bool is_kept = line.role == "spare" && line.state != "parked";
    if (line.role == "successor" || line.role == "leaving" || is_kept) {
        add(line.role);
    }
    if (line.output_full) {
        add("output pipe is full");
    }
    if (!line.last_exit.empty() && line.role != "leaving") {
        add("last: " + line.last_exit);
    }
    return remark;
}

const WorkerLine* find_worker(const ClusterView& view, std::uint64_t worker) {
    for (const PoolLines& pool : view.pools) {
        for (const WorkerLine& line : pool.slots) {
            if (line.worker == worker) {
                return &line;
            }
        }
    }
    return nullptr;
}

double rate(std::uint64_t now, std::uint64_t then, double seconds) {
    return seconds <= 0 || now < then ? 0 : static_cast<double>(now - then) / seconds;
}

std::vector<Table::Cell> worker_row(const PoolLines& pool, const WorkerLine& line,
                                    const Before* before) {
    const std::string name = slot_name(pool.name, line.slot);
    const bool is_spare = line.slot == kNoSlot;
    const std::string state = state_of(line);
    const bool is_there = line.worker != 0 && !line.gone;
    const auto only = [is_there](std::string text) { return is_there ? std::move(text) : ""; };
    std::string requests_rate;
    std::string cpu = only(format_duration(line.cpu_s));
    if (before != nullptr && is_there) {
        const WorkerLine* then = find_worker(before->view, line.worker);
        const double seconds = before->seconds;
        const double used = then == nullptr || seconds <= 0 ? 0 : line.cpu_s - then->cpu_s;
        requests_rate =
            format_rate(then == nullptr ? 0 : rate(line.requests, then->requests, seconds));
        cpu = format_rate(seconds <= 0 ? 0 : std::max(0.0, used) / seconds * 100) + "%";
    }
    return {{name, Tint::Plain},
            {line.pid != 0 ? std::to_string(line.pid) : "", Tint::Plain},
            {state, tint_of(line.stopped && !is_spare ? "stopped" : line.state)},
            {only(std::to_string(line.generation)), Tint::Plain},
            {only(format_duration(line.uptime_s)), Tint::Plain},
            {is_spare ? "" : std::to_string(line.restarts),
             line.restarts == 0 ? Tint::Dim : Tint::Plain},
            {cpu, Tint::Plain},
            {only(format_size(line.rss_bytes)), Tint::Plain},
            {only(std::to_string(line.requests)), Tint::Plain},
            {requests_rate, Tint::Plain},
            {only(std::to_string(line.in_flight)), Tint::Plain},
            {line.watchdog_age_s ? format_duration(*line.watchdog_age_s) : "", Tint::Plain},
            {remark_of(line), Tint::Plain}};
}

std::string pool_line(const PoolLines& pool) {
    std::string line = pool.name + ": " + std::to_string(pool.ready) + " of " +
                       plural(pool.wanted, "worker") + " ready";
    if (pool.spares > 0) {
        line += ", " + std::to_string(pool.spares_ready) + " of " + plural(pool.spares, "spare");
    }
    if (pool.drained > 0) {
        line += ", " + std::to_string(pool.drained) + " drained";
    }
    if (pool.breaker == "open") {
        line += ", breaker open (`topsman reset-failed " + pool.name + "` tries again)";
    }
    if (!pool.rollout.empty()) {
        line += ", " + pool.rollout;
    }
    if (!pool.note.empty()) {
        line += (pool.rollout.empty() ? ", " : ": ") + pool.note;
    }
    return line;
}

Tint pool_tint(const PoolLines& pool) {
    if (pool.breaker == "open" || (pool.ready == 0 && pool.wanted != 0)) {
        return Tint::Bad;
    }
    return pool.ready + pool.drained < pool.wanted ? Tint::Warn : Tint::Bold;
}

void append_pools(std::string& out, const ClusterView& view, const TextStyle& style,
                  const Before* before) {
    Table workers({{"SLOT", false, 100},
                   {"PID", true, 90},
                   {"STATE", false, 99},
                   {"GEN", true, 30},
                   {"UP", true, 80},
                   {"RESTARTS", true, 70},
                   {"CPU", true, 60},
                   {"MEMORY", true, 65},
                   {"REQUESTS", true, 66},
                   {"REQ/S", true, 67},
                   {"IN FLIGHT", true, 40},
                   {"BEAT", true, 35},
                   {"REMARK", false, 62, true}});
    for (const PoolLines& pool : view.pools) {
        out += tinted(wrapped(pool_line(pool), style.columns), pool_tint(pool), style.color);
        for (const WorkerLine& line : pool.slots) {
            workers.add(worker_row(pool, line, before));
        }
    }
    if (!workers.empty()) {
        out += "\n" + workers.render(style.columns, style.color);
    }
}

/// What is refused to all is bad.
Tint mutex_tint(const MutexLine& mutex) {
    return mutex.state == "free" || mutex.state == "held" ? Tint::Plain : Tint::Bad;
}

void append_mutexes(std::string& out, const ClusterView& view, const TextStyle& style) {
    if (view.mutexes.empty()) {
        return;
    }
    Table table({{"MUTEX", false, 100}, {"STATE", false, 90}, {"OWNERS DIED", true, 10}});
    for (const MutexLine& mutex : view.mutexes) {
        const bool is_held = mutex.state == "held";
        const Tint tint = mutex_tint(mutex);
        table.add(
            {{mutex.name, Tint::Plain},
             {is_held ? "held by " + mutex.owner : mutex.state, tint},
             {mutex.owner_deaths == 0 ? "" : std::to_string(mutex.owner_deaths), Tint::Plain}});
    }
    out += "\n" + table.render(style.columns, style.color);
}

void append_shared(std::string& out, const ClusterView& view, const TextStyle& style) {
    if (view.shared.empty()) {
        return;
    }
    Table table(
        {{"SHARED", false, 100}, {"KIND", false, 80}, {"STATE", false, 90}, {"WAITING", true, 50}});
    for (const SharedLine& line : view.shared) {
        table.add({{line.name, Tint::Plain},
                   {line.kind, Tint::Plain},
                   {line.state, Tint::Plain},
                   {line.waiting == 0 ? "" : std::to_string(line.waiting), Tint::Plain}});
    }
    out += "\n" + table.render(style.columns, style.color);
}

void append_listeners(std::string& out, const ClusterView& view, const TextStyle& style) {
    if (view.listeners.empty()) {
        return;
    }
    Table table({{"LISTENER", false, 100},
                 {"ADDRESS", false, 90, true},
                 {"ACCEPT", false, 10},
                 {"QUEUE", true, 50},
                 {"NUDGES", true, 5}});
    for (const ListenerLine& line : view.listeners) {
        table.add({{line.name, Tint::Plain},
                   {line.address, Tint::Plain},
                   {line.is_leaving ? "leaving" : line.accept, Tint::Plain},
                   {std::to_string(line.queue) + "/" + std::to_string(line.backlog),
                    line.backlog != 0 && line.queue >= line.backlog ? Tint::Bad : Tint::Plain},
                   {line.nudges == 0 ? "" : std::to_string(line.nudges), Tint::Plain}});
    }
    out += "\n" + table.render(style.columns, style.color);
}

}  // namespace

std::string locks_text(const ClusterView& view, const TextStyle& style) {
    if (view.mutexes.empty()) {
        return "no mutexes\n";
    }
    Table table({{"MUTEX", false, 100},
                 {"STATE", false, 90},
                 {"OWNER", false, 80},
                 {"PID", true, 70},
                 {"HELD", true, 75},
                 {"WAITING", true, 60},
                 {"OWNERS DIED", true, 10}});
    const auto number = [](std::uint64_t of) { return of == 0 ? "" : std::to_string(of); };
    for (const MutexLine& mutex : view.mutexes) {
        const bool is_held = mutex.state == "held";
        table.add({{mutex.name, Tint::Plain},
                   {mutex.state, mutex_tint(mutex)},
                   {mutex.owner, Tint::Plain},
                   {number(mutex.pid), Tint::Plain},
                   {is_held ? format_duration(mutex.held_s) : "", Tint::Plain},
                   {number(mutex.waiting), mutex.waiting == 0 ? Tint::Plain : Tint::Warn},
                   {number(mutex.owner_deaths), Tint::Plain}});
    }
    return table.render(style.columns, style.color);
}

std::string counters_text(const ClusterView& view, const TextStyle& style, const Before* before) {
    std::string out;
    if (!view.counters.empty()) {
        Table table({{"COUNTER", false, 100}, {"TOTAL", true, 90}, {"PER SECOND", true, 80}});
        for (const CounterLine& counter : view.counters) {
            std::string per_second;
            if (before != nullptr) {
                const auto& then = before->view.counters;
                const auto it = std::find_if(then.begin(), then.end(),
                                             [&](const auto& c) { return c.name == counter.name; });
                per_second = format_rate(
                    it == then.end() ? 0 : rate(counter.total, it->total, before->seconds));
            }
            table.add({{counter.name, Tint::Plain},
                       {std::to_string(counter.total), Tint::Plain},
                       {per_second, Tint::Plain}});
        }
        out += table.render(style.columns, style.color);
    }
    if (!view.gauges.empty()) {
        Table table({{"GAUGE", false, 100}, {"NOW", true, 90}});
        for (const GaugeLine& gauge : view.gauges) {
            table.add({{gauge.name, Tint::Plain}, {std::to_string(gauge.total), Tint::Plain}});
        }
        out += (out.empty() ? "" : "\n") + table.render(style.columns, style.color);
    }
    return out;
}

std::string status_text(const ClusterView& view, const TextStyle& style, const Before* before) {
    const bool is_well = view.master_state != "dead" && view.master_state != "hung";
    std::string out = tinted(wrapped(headline(view), style.columns),
                             is_well ? Tint::Bold : Tint::Bad, style.color);
    if (!view.note.empty()) {
        out += wrapped(view.note, style.columns);
    }
    append_pools(out, view, style, before);
    append_listeners(out, view, style);
    const std::string counters = counters_text(view, style, before);
    out += counters.empty() ? "" : "\n" + counters;
    append_mutexes(out, view, style);
    append_shared(out, view, style);
    out += view.queues.empty() ? "" : "\n" + queues_text(view.queues, style.columns, style.color);
    return out;
}

std::string queues_text(const std::vector<QueueLine>& queues, std::size_t columns, bool color) {
    if (queues.empty()) {
        return "no queues (shared.queues)\n";
    }
    Table table({{"QUEUE", false, 100},
                 {"READY", true, 99},
                 {"LATER", true, 85},
                 {"RUNNING", true, 90},
                 {"DONE", true, 84},
                 {"DEAD", true, 95},
                 {"CAPACITY", true, 70},
                 {"OLDEST", true, 80},
                 {"AGAIN", true, 50},
                 {"ATTEMPTS", true, 40},
                 {"REMARK", false, 60, true}});
    for (const QueueLine& queue : queues) {
        const bool is_full =
            queue.ready + queue.later + queue.running + queue.done + queue.dead >= queue.capacity;
        const std::string damage =
            queue.illegal == 0 ? "" : plural(queue.illegal, "job") + " overwritten";
        table.add({{queue.name, Tint::Plain},
                   {std::to_string(queue.ready), Tint::Plain},
                   {queue.later == 0 ? "" : std::to_string(queue.later), Tint::Plain},
                   {std::to_string(queue.running), Tint::Plain},
                   {queue.done == 0 ? "" : std::to_string(queue.done), Tint::Plain},
                   {std::to_string(queue.dead), queue.dead == 0 ? Tint::Plain : Tint::Warn},
                   {std::to_string(queue.capacity), Tint::Plain},
                   {queue.ready == 0 ? "" : format_duration(queue.oldest_s), Tint::Plain},
                   {queue.again == 0 ? "" : std::to_string(queue.again), Tint::Plain},
                   {queue.most_attempts == 0 ? ""
                                             : std::to_string(queue.most_attempts) + "/" +
                                                   std::to_string(queue.max_attempts),
                    Tint::Plain},
                   {damage.empty() && is_full ? "full" : damage, Tint::Bad}});
    }
    return table.render(columns, color);
}

}  // namespace topsman::control
