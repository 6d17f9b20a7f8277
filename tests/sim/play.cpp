#include "tests/sim/play.hpp"

#include "tests/sim/script.hpp"

#include <boost/json/serialize.hpp>

#include <algorithm>
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
    const auto count_of = [&](const std::vector<std::string>& command) -> std::size_t& {
        return incarnations_[{pool.name, spawn.slot.index, command}];
    };
    Result<Behaviour> found =
        behaviour_of(pool.exec.command, {spawn.slot.index, count_of(pool.exec.command)++},
                     pool.watchdog.timeout);
    if (found && pool.ready.by == config::ReadyBy::Exec) {
        found = probed(*found, pool.ready.command, spawn.slot.index, count_of(pool.ready.command));
    }
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
    if (verb == "save") {
        return save(deed);
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
    asked_[ticket] = boost::json::string_view(deed.text).substr(waits ? 0 : 6);
    if (words.front() == "reload") {
        file_ = words.size() > 1 ? words[1] : file_;
        if (const auto loaded = load(file_); loaded && !loaded->config) {
            tell_refusal(loaded->errors, ticket);
            return {};
        }
    }
    Result<core::Event> event = event_of(words, ticket);
    if (!event) {
        return cannot(deed, event.error().message);
    }
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
        Result<config::Loaded> loaded = load(file_);
        if (!loaded) {
            return loaded.error();
        }
        return core::Event(core::Reload{ticket, std::move(loaded->config).value()});
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

Result<config::Loaded> Play::load(const std::string& name) const {
    const auto found = scenario_.files.find(name);
    if (found == scenario_.files.end()) {
        return plain_error("there is no section " + name);
    }
    return config::load_text("cluster: play\n" + found->second, "/tmp/play.yaml",
                             config::Environment::of_this_process());
}

/// Another file, and nobody asks for anything: it is looked at if it is watched.
Result<void> Play::save(const Deed& deed) {
    file_ = word(deed.words, 1);
    Result<config::Loaded> loaded = load(file_);
    if (!loaded) {
        return cannot(deed, loaded.error().message);
    }
    if (!core_->config().watch) {
        return {};
    }
    if (!loaded->config) {
        tell_refusal(loaded->errors, core::Ticket{});
        return {};
    }
    say_who_is_busy();
    deliver(core::Reload{core::Ticket{}, std::move(*loaded->config)});
    turn();
    return {};
}

Result<void> Play::start() {
    Result<config::Loaded> file = load(file_);
    if (!file || !file->config) {
        return file ? plain_error(file->errors.front().text()) : file.error();
    }
    const bool adopts = kernel_.living() > 0;
    if (adopts) {
        succeed();
    } else {
        core_.emplace(*file->config, 1);
        shell_.begin(*core_, *file->config);
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
    kernel_.forget_parking();
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
    kernel_.forget_parking();
    for (const core::Action& action : actions) {
        carry_out(action);  // nothing but that a spare is to be parked again
    }
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
    const bool is_masters = word(deed.words, 1) == "master";
    const Place place = is_masters ? Place{} : place_of(word(deed.words, 1));
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

}  // namespace topsman::sim
