#include "supervisor/control/status_json.hpp"

#include "supervisor/control/json_writer.hpp"

namespace topsman::control {
namespace {

void write_worker(JsonWriter& w, const WorkerLine& line) {
    w.begin_object();
    if (line.slot == kNoSlot) {
        w.key("slot").json("null");
    } else {
        w.member("slot", std::uint64_t{line.slot});
    }
    w.member("worker", line.worker);
    w.member("role", line.role).member("pid", std::uint64_t{line.pid});
    w.member("state", line.state).member("generation", std::uint64_t{line.generation});
    w.key("uptime_s").seconds(line.uptime_s);
    w.member("restarts", line.restarts).member("last_exit", line.last_exit);
    w.member("status", line.status).member("requests", line.requests);
    w.member("in_flight", std::uint64_t{line.in_flight});
    w.key("cpu_s").seconds(line.cpu_s).member("rss_bytes", line.rss_bytes);
    if (line.watchdog_age_s) {
        w.key("watchdog_age_s").seconds(*line.watchdog_age_s);
    }
    if (line.next_try_s) {
        w.key("next_try_s").seconds(*line.next_try_s);
    }
    w.member("output_full", line.output_full).member("stopped", line.stopped);
    w.end_object();
}

void write_pool(JsonWriter& w, const PoolLines& pool) {
    w.begin_object();
    w.member("name", pool.name).member("wanted", std::uint64_t{pool.wanted});
    w.member("ready", std::uint64_t{pool.ready});
    w.member("spares", std::uint64_t{pool.spares});
    w.member("spares_ready", std::uint64_t{pool.spares_ready});
    w.member("drained", std::uint64_t{pool.drained}).member("breaker", pool.breaker);
    w.member("generation", std::uint64_t{pool.generation});
    w.member("rollout", pool.rollout).member("note", pool.note);
    w.key("slots").begin_array();
    for (const WorkerLine& line : pool.slots) {
        write_worker(w, line);
    }
    w.end_array().end_object();
}

void write_counters(JsonWriter& w, const ClusterView& view) {
    w.begin_object();
    for (const CounterLine& counter : view.counters) {
        w.key(counter.name).begin_object().member("total", counter.total);
        w.key("lanes").begin_object();
        for (const auto& [lane, cell] : counter.lanes) {
            w.member(std::to_string(lane), cell);
        }
        w.end_object().end_object();
    }
    w.end_object();
}

void write_queues(JsonWriter& w, const std::vector<QueueLine>& queues) {
    w.begin_object();
    for (const QueueLine& queue : queues) {
        w.key(queue.name);
        write_queue(w, queue, nullptr);
    }
    w.end_object();
}

void write_mutexes(JsonWriter& w, const ClusterView& view) {
    w.begin_object();
    for (const MutexLine& mutex : view.mutexes) {
        w.key(mutex.name).begin_object().member("state", mutex.state);
        w.member("owner", mutex.owner).member("pid", std::uint64_t{mutex.pid});
        w.key("held_s").seconds(mutex.held_s);
        w.member("waiting", std::uint64_t{mutex.waiting});
        w.member("owner_deaths", mutex.owner_deaths).end_object();
    }
    w.end_object();
}

}  // namespace

std::string status_json(const ClusterView& view) {
    JsonWriter w;
    w.begin_object().member("cluster", view.cluster);
    w.key("master").begin_object().member("pid", std::uint64_t{view.master_pid});
    w.member("state", view.master_state).key("uptime_s").seconds(view.uptime_s);
    w.member("version", view.version).member("trouble", view.trouble);
    w.member("note", view.note).end_object();
    w.member("config_file", view.config_file);
    w.member("config_generation", std::uint64_t{view.config_generation});
    w.key("listeners").begin_array();
    for (const ListenerLine& line : view.listeners) {
        w.begin_object().member("name", line.name).member("address", line.address);
        w.member("accept", line.accept).member("queue", std::uint64_t{line.queue});
        w.member("backlog", std::uint64_t{line.backlog});
        w.member("sockets", std::uint64_t{line.sockets});
        w.member("nudges", std::uint64_t{line.nudges});
        w.member("leaving", line.is_leaving).end_object();
    }
    w.end_array().key("pools").begin_array();
    for (const PoolLines& pool : view.pools) {
        write_pool(w, pool);
    }
    w.end_array().key("counters");
    write_counters(w, view);
    w.key("gauges").begin_object();
    for (const GaugeLine& gauge : view.gauges) {
        w.key(gauge.name).begin_object().member("total", gauge.total).end_object();
    }
    w.end_object().key("mutexes");
    write_mutexes(w, view);
    w.key("shared").begin_array();
    for (const SharedLine& line : view.shared) {
        w.begin_object().member("kind", line.kind).member("name", line.name);
        w.member("state", line.state).member("waiting", std::uint64_t{line.waiting});
        for (const auto& [name, number] : line.numbers) {
            w.member(name, number);
        }
        w.end_object();
    }
    w.end_array().key("queues");
    write_queues(w, view.queues);
    return w.end_object().take();
}

void write_queue(JsonWriter& w, const QueueLine& queue, const std::function<void()>& more) {
    w.begin_object().member("ready", std::uint64_t{queue.ready});
    w.member("later", std::uint64_t{queue.later}).member("done", std::uint64_t{queue.done});
    w.member("running", std::uint64_t{queue.running}).member("dead", std::uint64_t{queue.dead});
    w.member("capacity", std::uint64_t{queue.capacity});
    w.member("item_size", std::uint64_t{queue.item_size});
    w.member("max_attempts", std::uint64_t{queue.max_attempts});
    w.member("priorities", std::uint64_t{queue.priorities});
    w.member("again", std::uint64_t{queue.again});
    w.member("most_attempts", std::uint64_t{queue.most_attempts});
    w.key("oldest_s").seconds(queue.oldest_s).member("illegal", queue.illegal);
    if (more) {
        more();
    }
    w.end_object();
}

std::string queues_json(const std::vector<QueueLine>& queues) {
    JsonWriter w;
    write_queues(w, queues);
    return w.take();
}

std::string locks_json(const ClusterView& view) {
    JsonWriter w;
    write_mutexes(w, view);
    return w.take();
}

std::string counters_json(const ClusterView& view) {
    JsonWriter w;
    write_counters(w, view);
    return w.take();
}

}  // namespace topsman::control
