#include "supervisor/handover.hpp"
#include "supervisor/json_reading.hpp"

#include <boost/json.hpp>

#include <chrono>
#include <set>
#include <stdexcept>

namespace topsman::supervisor {

namespace {

namespace json = boost::json;
using json_reading::document;
using json_reading::generation;
using json_reading::number;
using json_reading::text;

constexpr std::uint64_t kHandoverFormat = 1;
constexpr const char* kNotUnderstood =
    "handed-over state: is not what this version of topsman understands";
constexpr int kMostDescriptor = 1 << 24;

// ---- writing ------------------------------------------------------------------------------------

std::int64_t ns(core::TimePoint at) {
    return std::chrono::nanoseconds(at.time_since_epoch()).count();
}

json::value ns(const std::optional<core::TimePoint>& at) {
    return at ? json::value(ns(*at)) : json::value(nullptr);
}

template <class Items, class Write>
json::array list(const Items& items, Write write) {
    json::array array;
    for (const auto& item : items) {
        array.push_back(write(item));
    }
    return array;
}

json::value write_left_worker(const core::LeftWorker& worker) {
    const core::Course course = worker.course.value_or(core::Course{});
    return {{"worker", worker.worker.value},
            {"pool", worker.pool},
            {"slot", worker.slot},
            {"generation", worker.generation.value},
            {"outdated", worker.outdated},
            {"role", static_cast<int>(worker.role.value_or(core::Role::Leaving))},
            {"spare", static_cast<int>(worker.spare)},
            {"state", static_cast<int>(worker.state)},
            {"spawned", ns(worker.spawned_at)},
            {"ready", ns(worker.ready_at)},
            {"beat", ns(worker.last_beat)},
            {"since", ns(course.since)},
            {"extended", ns(course.extended_until)},
            {"adopted", course.adopted},
            {"asked", course.asked_to_leave},
            {"stopping", course.said_stopping},
            {"cause", course.cause},
            {"recycle_jitter", course.recycle_jitter},
            {"recycle_not_before", ns(course.recycle_not_before)},
            {"cannot_tell", course.cannot_tell}};
}

json::value write_left_slot(const core::LeftSlot& slot) {
    return {{"pool", slot.pool},
            {"slot", slot.slot},
            {"phase", static_cast<int>(slot.phase)},
            {"restarts", slot.restarts},
            {"failures", slot.failures},
            {"not_before", ns(slot.not_before)},
            {"generation", slot.generation.value_or(core::Generation{}).value},
            {"after", slot.after.value_or(core::WorkerId{}).value}};
}

json::value write_left_pool(const core::LeftPool& pool) {
    return {
        {"name", pool.name},
        {"wanted", pool.wanted},
        {"configured", pool.configured},
        {"generation", pool.generation.value},
        {"outdated", pool.outdated},
        {"breaker", pool.breaker_open},
        {"failures", pool.failures},
        {"not_before", ns(pool.not_before)},
        {"unseen", pool.unseen.value_or(core::Generation{}).value},
        {"spare_failures", pool.spare_failures},
        {"spare_not_before", ns(pool.spare_not_before)},
        {"start_failures", list(pool.start_failures, [](core::TimePoint at) { return ns(at); })}};
}

json::value write_worker(const HandedWorker& worker) {
    return {{"worker", worker.worker.value},
            {"pid", worker.pid},
            {"start_ticks", worker.start_ticks},
            {"lane", worker.lane},
            {"lane_generation", worker.lane_generation},
            {"fingerprint", worker.fingerprint},
            {"output_inode", worker.output_inode},
            {"wake_number", worker.wake_number},
            {"status", worker.status},
            {"error", worker.error_number ? json::value(*worker.error_number) : nullptr},
            {"line", worker.output_rest.line},
            {"continues", worker.output_rest.continues},
            {"last_words", worker.output_rest.last_words},
            {"is_looked_at", worker.is_looked_at},
            {"pidfd", worker.pidfd},
            {"notify", worker.notify},
            {"output", worker.output},
            {"wake", worker.wake},
            {"sockets", json::array(worker.sockets.begin(), worker.sockets.end())}};
}

json::value write_listener(const HandedListener& listener) {
    const config::Listener& spec = listener.spec;
    return {{"name", spec.name},
            {"spec", spec.address},
            {"backlog", spec.backlog},
            {"accept", static_cast<int>(spec.accept)},
            {"mode", spec.mode ? json::value(*spec.mode) : nullptr},
            {"owner", spec.owner},
            {"address", listener.address},
            {"sockets", json::array(listener.sockets.begin(), listener.sockets.end())},
            {"inode", listener.inode},
            {"from_systemd", listener.from_systemd},
            {"nudges", listener.nudges},
            {"path_inode", listener.path_inode},
            {"row", listener.row},
            {"in_force", listener.in_force},
            {"gate_closed", listener.gate_closed}};
}

json::value write_leaver(const HandedLeaver& leaver) {
    return {{"worker", leaver.worker.value},
            {"told", leaver.is_told},
            {"since", ns(leaver.since)},
            {"until", ns(leaver.until)}};
}

json::value write_exit(const LeftExit& exit) {
    return {{"pool", exit.pool},
            {"slot", exit.slot},
            {"words", exit.words},
            {"realtime", exit.realtime_ns}};
}

// ---- reading: throws whatever Boost.JSON throws at another shape --------------------------------

template <class Enum>
Enum word(const json::value& value, Enum last) {
    const int n = number<int>(value);
    if (n < 0 || n > static_cast<int>(last)) {
        throw std::out_of_range("no such word");
    }
    return static_cast<Enum>(n);
}

int descriptor(const json::value& value) {
    const int fd = number<int>(value);
    // Our own would be ours to close; 0 to 2 are everybody's.
    if (fd != -1 && (fd < 3 || fd > kMostDescriptor)) {
        throw std::out_of_range("no such descriptor");
    }
    return fd;
}

int open_descriptor(const json::value& value) {
    const int fd = descriptor(value);
    if (fd < 0) {
        throw std::out_of_range("no descriptor");
    }
    return fd;
}

std::vector<int> open_descriptors(const json::value& value) {
    std::vector<int> fds;
    for (const json::value& fd : value.as_array()) {
        fds.push_back(open_descriptor(fd));
    }
    return fds;
}

core::TimePoint at(const json::value& value) {
    return core::TimePoint(std::chrono::nanoseconds(number<std::int64_t>(value)));
}

std::optional<core::TimePoint> maybe_at(const json::value& value) {
    return value.is_null() ? std::nullopt : std::optional(at(value));
}

core::WorkerId worker_id(const json::value& value) {
    return core::WorkerId{number<std::uint64_t>(value)};
}

core::LeftWorker read_left_worker(const json::value& line) {
    core::LeftWorker worker;
    worker.worker = worker_id(line.at("worker"));
    worker.pool = text(line.at("pool"));
    worker.slot = number<std::uint32_t>(line.at("slot"));
    worker.generation = generation(line.at("generation"));
    worker.outdated = line.at("outdated").as_bool();
    worker.role = word(line.at("role"), core::Role::Spare);
    worker.spare = word(line.at("spare"), core::SpareStage::Kept);
    worker.state = word(line.at("state"), core::WorkerState::Killing);
    worker.spawned_at = at(line.at("spawned"));
    worker.ready_at = maybe_at(line.at("ready"));
    worker.last_beat = maybe_at(line.at("beat"));
    worker.course = core::Course{at(line.at("since")),          maybe_at(line.at("extended")),
                                 line.at("adopted").as_bool(),  line.at("asked").as_bool(),
                                 line.at("stopping").as_bool(), text(line.at("cause"))};
    worker.course->recycle_jitter = line.at("recycle_jitter").to_number<double>();
    worker.course->recycle_not_before = maybe_at(line.at("recycle_not_before"));
    worker.course->cannot_tell = line.at("cannot_tell").as_bool();
    return worker;
}

core::LeftSlot read_left_slot(const json::value& line) {
    core::LeftSlot slot;
    slot.pool = text(line.at("pool"));
    slot.slot = number<std::uint32_t>(line.at("slot"));
    slot.phase = word(line.at("phase"), core::SlotPhase::Drained);
    slot.restarts = number<std::uint64_t>(line.at("restarts"));
    slot.failures = number<std::uint32_t>(line.at("failures"));
    slot.not_before = maybe_at(line.at("not_before"));
    if (const core::Generation runs = generation(line.at("generation")); runs.value != 0) {
        slot.generation = runs;
    }
    if (const core::WorkerId after = worker_id(line.at("after")); after.value != 0) {
        slot.after = after;
    }
    return slot;
}

core::LeftPool read_left_pool(const json::value& line) {
    core::LeftPool pool;
    pool.name = text(line.at("name"));
    pool.wanted = number<std::uint32_t>(line.at("wanted"));
    pool.configured = number<std::uint32_t>(line.at("configured"));
    pool.generation = generation(line.at("generation"));
    pool.outdated = line.at("outdated").as_bool();
    pool.breaker_open = line.at("breaker").as_bool();
    pool.failures = number<std::uint32_t>(line.at("failures"));
    pool.not_before = at(line.at("not_before"));
    if (const core::Generation unseen = generation(line.at("unseen")); unseen.value != 0) {
        pool.unseen = unseen;
    }
    for (const json::value& failure : line.at("start_failures").as_array()) {
        pool.start_failures.push_back(at(failure));
    }
    if (const json::value* failures = line.as_object().if_contains("spare_failures")) {
        pool.spare_failures = number<std::uint32_t>(*failures);  // older ones have none
        pool.spare_not_before = at(line.at("spare_not_before"));
    }
    return pool;
}

HandedWorker read_worker(const json::value& line) {
    HandedWorker worker;
    worker.worker = worker_id(line.at("worker"));
    worker.pid = number<std::uint32_t>(line.at("pid"));
    worker.start_ticks = number<std::uint64_t>(line.at("start_ticks"));
    worker.lane = number<std::uint32_t>(line.at("lane"));
    worker.lane_generation = number<std::uint32_t>(line.at("lane_generation"));
    worker.fingerprint = number<std::uint64_t>(line.at("fingerprint"));
    worker.output_inode = number<std::uint64_t>(line.at("output_inode"));
    worker.wake_number = number<std::uint32_t>(line.at("wake_number"));
    worker.status = text(line.at("status"));
    if (const json::value& error = line.at("error"); !error.is_null()) {
        worker.error_number = number<int>(error);
    }
    worker.output_rest = {text(line.at("line")), line.at("continues").as_bool(),
                          text(line.at("last_words"))};
    worker.is_looked_at = line.at("is_looked_at").as_bool();
    worker.pidfd = open_descriptor(line.at("pidfd"));
    worker.notify = descriptor(line.at("notify"));
    worker.output = descriptor(line.at("output"));
    worker.wake = descriptor(line.at("wake"));
    worker.sockets = open_descriptors(line.at("sockets"));
    return worker;
}

HandedListener read_listener(const json::value& line) {
    HandedListener listener;
    config::Listener& spec = listener.spec;
    spec.name = text(line.at("name"));
    spec.address = text(line.at("spec"));
    spec.backlog = number<std::uint32_t>(line.at("backlog"));
    spec.accept = word(line.at("accept"), config::Accept::ReusePort);
    if (const json::value& mode = line.at("mode"); !mode.is_null()) {
        spec.mode = number<std::uint32_t>(mode);
    }
    spec.owner = text(line.at("owner"));
    listener.address = text(line.at("address"));
    listener.sockets = open_descriptors(line.at("sockets"));
    listener.inode = number<std::uint64_t>(line.at("inode"));
    listener.from_systemd = line.at("from_systemd").as_bool();
    listener.nudges = number<std::uint32_t>(line.at("nudges"));
    listener.path_inode = number<std::uint64_t>(line.at("path_inode"));
    listener.row = number<std::uint32_t>(line.at("row"));
    listener.in_force = line.at("in_force").as_bool();
    listener.gate_closed = line.at("gate_closed").as_bool();
    if (listener.sockets.empty() || listener.row >= shm::kMaxListeners) {
        throw std::out_of_range("listener");
    }
    return listener;
}

HandedLeaver read_leaver(const json::value& line) {
    return {worker_id(line.at("worker")), line.at("told").as_bool(), at(line.at("since")),
            at(line.at("until"))};
}

LeftExit read_exit(const json::value& line) {
    return {text(line.at("pool")), number<std::uint32_t>(line.at("slot")), text(line.at("words")),
            number<std::int64_t>(line.at("realtime"))};
}

template <class Item>
std::vector<Item> read_all(const json::value& lines, Item (*read)(const json::value&)) {
    std::vector<Item> items;
    for (const json::value& line : lines.as_array()) {
        items.push_back(read(line));
    }
    return items;
}

Handover read_handover(const json::object& root) {
    Handover handover;
    handover.version = text(root.at("version"));
    handover.program.path = text(root.at("program"));
    handover.program.words = read_all(root.at("words"), text);
    handover.directory = text(root.at("directory"));
    handover.config_file = text(root.at("config_file"));
    handover.control_path = text(root.at("control_path"));
    handover.generations = text(root.at("generations"));
    handover.refused = text(root.at("refused"));
    handover.manager = text(root.at("manager"));
    handover.manager_watchdog_us = number<std::int64_t>(root.at("manager_watchdog_us"));
    core::Inheritance& left = handover.left;
    left.same_master = true;
    left.is_up = root.at("is_up").as_bool();
    left.generation = generation(root.at("generation"));
    left.last_worker = worker_id(root.at("last_worker"));
    left.pools = read_all(root.at("left_pools"), read_left_pool);
    left.slots = read_all(root.at("left_slots"), read_left_slot);
    left.workers = read_all(root.at("left_workers"), read_left_worker);
    handover.workers = read_all(root.at("workers"), read_worker);
    handover.listeners = read_all(root.at("listeners"), read_listener);
    handover.leavers = read_all(root.at("leavers"), read_leaver);
    handover.exits = read_all(root.at("exits"), read_exit);
    if (const json::value* stored = root.if_contains("stored")) {  // older ones have none
        handover.stored = read_all(*stored, text);
    }
    handover.spare_sockets = open_descriptors(root.at("spare_sockets"));
    handover.clients = open_descriptors(root.at("clients"));
    handover.lock = open_descriptor(root.at("lock"));
    handover.control = open_descriptor(root.at("control"));
    handover.caller = descriptor(root.at("caller"));
    handover.watch = descriptor(root.at("watch"));
    return handover;
}

/// Each process has one line of the core and one of the shell.
bool fits_together(const Handover& handover) {
    std::set<core::WorkerId> known;
    for (const core::LeftWorker& worker : handover.left.workers) {
        known.insert(worker.worker);
    }
    std::set<core::WorkerId> held;
    for (const HandedWorker& worker : handover.workers) {
        held.insert(worker.worker);
    }
    return known == held && known.size() == handover.left.workers.size() &&
           held.size() == handover.workers.size() && !handover.program.words.empty();
}

}  // namespace

std::string to_text(const Handover& handover) {
    const core::Inheritance& left = handover.left;
    const auto& words = handover.program.words;
    json::object root;
    root["format"] = kHandoverFormat;
    root["version"] = handover.version;
    root["program"] = handover.program.path;
    root["words"] = json::array(words.begin(), words.end());
    root["directory"] = handover.directory;
    root["config_file"] = handover.config_file;
    root["control_path"] = handover.control_path;
    root["generations"] = handover.generations;
    root["refused"] = handover.refused;
    root["manager"] = handover.manager;
    root["manager_watchdog_us"] = handover.manager_watchdog_us;
    root["generation"] = left.generation.value;
    root["last_worker"] = left.last_worker.value;
    root["is_up"] = left.is_up;
    root["left_pools"] = list(left.pools, write_left_pool);
    root["left_slots"] = list(left.slots, write_left_slot);
    root["left_workers"] = list(left.workers, write_left_worker);
    root["workers"] = list(handover.workers, write_worker);
    root["listeners"] = list(handover.listeners, write_listener);
    root["leavers"] = list(handover.leavers, write_leaver);
    root["exits"] = list(handover.exits, write_exit);
    root["stored"] = json::array(handover.stored.begin(), handover.stored.end());
    root["spare_sockets"] =
        json::array(handover.spare_sockets.begin(), handover.spare_sockets.end());
    root["clients"] = json::array(handover.clients.begin(), handover.clients.end());
    root["lock"] = handover.lock;
    root["control"] = handover.control;
    root["caller"] = handover.caller;
    root["watch"] = handover.watch;
    return json::serialize(root);
}

Result<Handover> parse_handover(std::string_view text) {
    const std::optional<json::object> root = document(text);
    if (!root) {
        return plain_error(kNotUnderstood);
    }
    try {
        if (number<std::uint64_t>(root->at("format")) != kHandoverFormat) {
            return plain_error(kNotUnderstood);
        }
        Handover handover = read_handover(*root);
        if (fits_together(handover)) {
            return handover;
        }
    } catch (const std::exception&) {  // another shape
    }
    return plain_error(kNotUnderstood);
}

}  // namespace topsman::supervisor
