#include "tests/sim/play.hpp"

#include "supervisor/core/words.hpp"
#include "tests/sim/describe.hpp"
#include "tests/sim/script.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <ostream>
#include <utility>

namespace topsman::sim {
namespace {

using namespace std::chrono_literals;

// What has not happened by then never will.
constexpr Duration kPatience = 1h;
// So long there is no master before the next one.
constexpr Duration kWithoutMaster = 50ms;

std::optional<std::uint32_t> number_of(std::string_view text) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(number)
                                                                    : std::nullopt;
}

/// "web/2", or "web" alone.
struct Place {
    std::string pool;
    std::optional<std::uint32_t> slot;
};

Place place_of(const std::string& word) {
    const std::size_t slash = word.find('/');
    return slash == std::string::npos
               ? Place{word, std::nullopt}
               : Place{word.substr(0, slash), number_of(std::string_view(word).substr(slash + 1))};
}

std::string word(const std::vector<std::string>& words, std::size_t index) {
    return index < words.size() ? words[index] : std::string();
}

Error cannot(const Deed& deed, const std::string& why) {
    return plain_error("`" + deed.text + "`: " + why);
}

core::StopMode stop_mode(const std::string& word) {
    return word == "now"    ? core::StopMode::Now
           : word == "fast" ? core::StopMode::Fast
                            : core::StopMode::Graceful;
}

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

Play::Play(const Scenario& scenario, std::ostream& out)
    : scenario_(scenario),
      out_(out),
      kernel_(chance_, [this](const core::Spawn& spawn, const config::Pool& pool) {
          return behaviour(spawn, pool);
      }) {}

Result<void> Play::run() {
    for (const Deed& deed : scenario_.deeds) {
        if (Result<void> done = act(deed); !done) {
            return done;
        }
        if (trouble_) {
            return *trouble_;
        }
    }
    return {};
}

Behaviour Play::behaviour(const core::Spawn& spawn, const config::Pool& pool) {
    std::size_t& count = incarnations_[{pool.name, spawn.slot.index, pool.exec.command}];
    Result<Behaviour> found =
        behaviour_of(pool.exec.command, {spawn.slot.index, count++}, pool.watchdog.timeout);
    if (!found) {
        trouble_ = found.error();
        return {};
    }
    return *found;
}

// ---- what is done ------------------------------------------------------------------------------

Result<void> Play::act(const Deed& deed) {
    const std::string& verb = deed.words.front();
    if (verb == "until") {
        return wait_for_event(deed);
    }
    if (verb == "answered") {
        return wait_until(deed, [this] { return asked_.empty(); });
    }
    if (verb == "ended") {
        return wait_until(deed, [this] { return ended_; });
    }
    if (verb == "look") {
        look();
        return {};
    }
    last_deed_ = told_.size();
    if (verb == "start") {
        return start();
    }
    if (verb == "kill") {
        return kill(deed.words);
    }
    if (!core_) {
        return cannot(deed, "there is no master");
    }
    if (verb == "upgrade") {
        upgrade();
        return {};
    }
    return ask(deed, deed.words);
}

/// `begin reload bad` is the same, not waited for.
Result<void> Play::ask(const Deed& deed, std::vector<std::string> words) {
    const bool waits = words.front() != "begin";
    if (!waits) {
        words.erase(words.begin());
    }
    const core::Ticket ticket{++tickets_};
    Result<core::Event> event = event_of(words, ticket);
    if (!event) {
        return cannot(deed, event.error().message);
    }
    asked_[ticket] = boost::json::string_view(deed.text).substr(waits ? 0 : 6);
    if (core::may_end_workers(*event)) {
        say_who_is_busy();
    }
    deliver(*event);
    turn();
    return waits ? wait_until(deed, [this, ticket] { return !asked_.contains(ticket); })
                 : Result<void>{};
}

Result<core::Event> Play::event_of(const std::vector<std::string>& words, core::Ticket ticket) {
    const std::string verb = word(words, 0);
    const std::string what = word(words, 1);
    const Place place = place_of(what);
    if (verb == "reload") {
        file_ = what.empty() ? file_ : what;
        Result<config::Config> config = load(file_);
        if (!config) {
            return config.error();
        }
        return core::Event(core::Reload{ticket, std::move(*config)});
    }
    if (verb == "scale") {
        const std::size_t equals = std::min(what.find('='), what.size() - 1);
        return core::Event(core::Scale{ticket, what.substr(0, equals),
                                       number_of(what.substr(equals + 1)).value_or(0)});
    }
    if (verb == "restart") {
        return core::Event(core::Restart{
            ticket, what.empty() ? std::nullopt : std::optional(place.pool), place.slot});
    }
    if (verb == "drain") {
        return core::Event(core::Drain{ticket, place.pool, place.slot.value_or(0)});
    }
    if (verb == "reset-failed") {
        return core::Event(
            core::ResetFailed{ticket, what.empty() ? std::nullopt : std::optional(what)});
    }
    if (verb == "rollback") {
        return core::Event(core::Rollback{ticket});
    }
    if (verb == "stop") {
        return core::Event(core::Stop{ticket, stop_mode(what)});
    }
    return plain_error("no such deed");
}

Result<config::Config> Play::load(const std::string& name) const {
    const auto found = scenario_.files.find(name);
    if (found == scenario_.files.end()) {
        return plain_error("there is no section " + name);
    }
    config::Loaded loaded = config::load_text("cluster: play\n" + found->second, "/tmp/play.yaml",
                                              config::Environment::of_this_process());
    if (!loaded.config) {
        return plain_error(loaded.errors.front().text());
    }
    return std::move(*loaded.config);
}

Result<void> Play::start() {
    Result<config::Config> file = load(file_);
    if (!file) {
        return file.error();
    }
    const bool adopts = kernel_.living() > 0;
    if (adopts) {
        succeed();
    } else {
        core_.emplace(*file, 1);
        shell_.begin(*core_, *file);
        tell_of_master("master.started");
    }
    deliver(core::Tick{});
    turn();
    return {};
}

// How those ended who died meanwhile nobody can say.
void Play::succeed() {
    now_ += kWithoutMaster;
    for (const core::Event& event : kernel_.happened(now_)) {
        if (const auto* exited = std::get_if<core::Exited>(&event)) {
            unheard_.push_back(core::Exited{exited->worker, {}});
        }
    }
    const core::Inheritance left = shell_.left();
    core_.emplace(left.legacy->footing().config, 1);
    shell_.take_over();
    pools_.clear();
    tell_of_master("master.started");
    deliver(core::Adopt{left});
    for (const core::Exited& death : std::exchange(unheard_, {})) {
        deliver(death);
    }
}

Result<void> Play::kill(const std::vector<std::string>& words) {
    if (word(words, 1) == "master") {
        core_.reset();
        asked_.clear();  // nobody answers any more
        return {};
    }
    const Place place = place_of(word(words, 1));
    const core::Role role =
        word(words, 2) == "successor" ? core::Role::Successor : core::Role::Current;
    for (const core::WorkerView& worker : board_.workers) {
        if (pool_name(worker.slot.pool) == place.pool && worker.slot.index == place.slot &&
            worker.role == role) {
            kernel_.strike(worker.worker, now_);
            return {};
        }
    }
    return plain_error("nobody is " + word(words, 1) + " " + word(words, 2));
}

void Play::upgrade() {
    const core::Inheritance left = core_->inheritance();
    core_.emplace(left.legacy->current.config, 1);
    tell_of_master("master.upgraded");
    std::vector<core::Action> actions;
    core_->step(core::Adopt{left}, now_, actions);
    shell_.keep(*core_);
    turn();
    out_ << boost::json::object{{"answer", "upgrade"}, {"result", "done"}} << std::endl;
}

// ---- what is waited for ------------------------------------------------------------------------

template <class Condition>
Result<void> Play::wait_until(const Deed& deed, const Condition& is_so) {
    const TimePoint end = now_ + kPatience;
    while (!is_so()) {
        if (trouble_) {
            return *trouble_;
        }
        if (now_ >= end || !pass_to_next()) {
            return cannot(deed, "that never happens");
        }
    }
    return {};
}

/// `until web/0 worker.ready x2`: twice since something was last done.
Result<void> Play::wait_for_event(const Deed& deed) {
    const Place place = place_of(word(deed.words, 1));
    const std::string event = word(deed.words, 2);
    const std::string times = word(deed.words, 3);
    const std::ptrdiff_t wanted =
        times.empty() ? 1 : number_of(std::string_view(times).substr(1)).value_or(1);
    return wait_until(deed, [&] {
        return std::count_if(told_.begin() + static_cast<std::ptrdiff_t>(last_deed_), told_.end(),
                             [&](const Told& told) {
                                 return told.event == event && told.pool == place.pool &&
                                        told.slot == place.slot;
                             }) >= wanted;
    });
}

bool Play::pass_to_next() {
    const auto kernel = kernel_.next_time();
    const auto core = core_ && !ended_ ? core_->next_deadline() : std::nullopt;
    if (!core_ || ended_ || (!kernel && !core)) {
        return false;
    }
    now_ = std::max(now_,
                    std::min(kernel.value_or(TimePoint::max()), core.value_or(TimePoint::max())));
    for (const core::Event& event : kernel_.happened(now_)) {
        deliver(event);
    }
    turn();
    return true;
}

// ---- the shell ---------------------------------------------------------------------------------

void Play::turn() {
    const auto due = core_->next_deadline();
    if (!ended_ && due && *due <= now_) {
        for (const core::WorkerId worker : core_->due_for_judgement(now_)) {
            if (const auto sign = kernel_.last_look(worker, now_)) {
                deliver(*sign);
            }
        }
        deliver(core::Tick{});
    }
    board_ = core_->snapshot();
    shell_.publish(*core_);
}

void Play::deliver(const core::Event& event) {
    std::vector<core::Action> actions;
    core_->step(event, now_, actions);
    for (const core::PoolView& pool : core_->snapshot().pools) {
        pools_[pool.pool] = pool.name;
    }
    shell_.follow(*core_, event);
    for (const core::Action& action : FakeShell::in_order(std::move(actions))) {
        carry_out(action);
    }
}

void Play::carry_out(const core::Action& action) {
    if (const auto unknown = shell_.carry_out(*core_, action, now_)) {
        trouble_ = plain_error(*unknown);
    }
    if (const auto* announce = std::get_if<core::Announce>(&action)) {
        tell(*announce);
    } else if (const auto* obituary = std::get_if<core::Obituary>(&action)) {
        tell(*obituary);
    } else if (const auto* reply = std::get_if<core::Reply>(&action)) {
        tell(*reply);
    } else if (const auto* exit = std::get_if<core::Exit>(&action)) {
        ended_ = true;
        out_ << boost::json::object{{"exit", exit->code}} << std::endl;
    }
}

void Play::say_who_is_busy() {
    core::Busy busy;
    for (const core::WorkerView& worker : core_->snapshot().workers) {
        busy.workers.push_back({worker.worker, 0});
    }
    deliver(busy);
}

// ---- what is told ------------------------------------------------------------------------------

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
