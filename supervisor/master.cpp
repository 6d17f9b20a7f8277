#include "supervisor/master.hpp"

#include "shm/base/check.hpp"
#include "supervisor/control/cluster_view.hpp"
#include "supervisor/control/status_json.hpp"
#include "supervisor/core/backoff.hpp"

#include <algorithm>
#include <random>

namespace topsman::supervisor {

namespace {

// Later than this behind its own timer, the master was stopped or starved: nobody else is late.
constexpr auto kStall = std::chrono::milliseconds(500);
// A turn comes after so many callbacks, even if there is always one more.
constexpr std::size_t kMostHandlers = 1'024;

std::string events_json(const shm::EventRing& ring, std::uint64_t since) {
    std::string text = "[";
    for (const shm::EventLine& line : ring.read_since(since)) {
        text += (text.size() > 1 ? ",\n" : "") + line.json;
    }
    return text + "]";
}

}  // namespace

Master::Master(Foundation foundation, Journal& journal)
    : base_(std::move(foundation)),
      journal_(journal),
      io_(1),
      timer_(io_),
      watchdog_timer_(io_),
      settle_timer_(io_),
      core_(base_.config, std::random_device{}()),
      workers_({io_, base_.segment, base_.listeners.all(), journal, base_.config.cluster,
                base_.path_prefix, base_.lock_fd},
               [this](core::Event event) { enqueue(std::move(event)); }),
      publisher_(base_.segment, base_.config.cluster, base_.config.file),
      chronicle_(base_.segment, journal),
      nudger_(base_.listeners.all(), workers_, chronicle_),
      sendoff_(base_.listeners, workers_, journal),
      script_waits_(io_, base_.segment),
      fd_store_(std::exchange(base_.stored, {})),
      loader_(io_) {
    publisher_.set_fingerprints(
        [this](const core::PoolView& pool) { return specs_.fingerprint(pool); });
}

Master::~Master() = default;

Result<void> Master::open() {
    signal_watch_.emplace(io_, base_.signals.get());
    if (Result<void> watching = signal_watch_->is_watching(); !watching) {
        return watching;
    }
    control::ControlServer::Options options;
    options.path = base_.control_path;
    options.mode = base_.config.control.mode;
    options.group = base_.config.control.group;
    control::ControlServer::Handlers handlers;
    handlers.change = [this](const control::Request& request, const control::Responder& respond) {
        on_request(request, respond);
    };
    handlers.status_json = [this] {
        return control::status_json(control::read_cluster(base_.segment));
    };
    handlers.events_json = [this](std::uint64_t since) {
        return events_json(base_.segment.events(), since);
    };
    auto server = base_.handover
                      ? control::ControlServer::resume(io_, options, std::move(handlers),
                                                       UniqueFd(base_.handover->control),
                                                       owned(base_.handover->clients))
                      : control::ControlServer::listen(io_, options, std::move(handlers));
    if (!server) {
        return server.error();
    }
    control_ = std::move(*server);
    return {};
}

int Master::run() {
    if (!resumed_) {
        begin();
    }
    while (!io_.stopped()) {
        if (io_.run_one() == 0) {
            break;
        }
        std::size_t n = 1;
        while (n < kMostHandlers && io_.poll_one() > 0) {
            ++n;
        }
        turn();
        if (n < kMostHandlers) {
            go_on_with_upgrade();
        }
    }
    control_.reset();
    (void)base_.listeners.close_others([](const auto&) { return false; });
    publisher_.publish_stopped();
    return exit_code_.value_or(1);
}

void Master::begin() {
    publisher_.publish_listeners(base_.listeners.all());
    chronicle_.master_started(static_cast<std::uint32_t>(::getpid()));
    file_config_ = base_.file;
    shared_ = base_.config.shared;  // the start has declared it
    watch_config(base_.config.watch);
    wait_for_signals();
    snapshot_ = core_.snapshot();
    tell_manager();
    if (auto adoption = std::exchange(base_.adoption, std::nullopt)) {
        adopt(std::move(*adoption));
    } else {
        specs_.install(base_.specs, snapshot_.pools, core_.config());
        keep_generations();
    }
    if (auto news = std::exchange(base_.news, std::nullopt)) {
        on_candidate(std::move(*news), {}, kAtStart);
    }
    enqueue(core::Tick{});
    turn();
}

// Those who died while there was no master are adopted too: their slots deal with their deaths.
void Master::adopt(Adoption adoption) {
    std::size_t living = 0;
    const std::optional<KeptGenerations> kept = std::exchange(base_.kept, std::nullopt);
    for (Adoptee& worker : adoption.workers) {
        const auto spec = base_.specs.find(worker.left.pool);
        const SpecPtr known = kept ? kept->find(worker.left.generation, worker.left.pool) : nullptr;
        living += worker.child ? 1U : 0U;
        workers_.adopt(std::move(worker), known != nullptr            ? known
                                          : spec == base_.specs.end() ? nullptr
                                                                      : spec->second);
    }
    journal_.info("adopting " + std::to_string(living) + " workers of a dead master");
    Candidate candidate;
    if (kept) {
        specs_.restore(kept->specs);
    } else {
        candidate.specs = base_.specs;
    }
    if (kept) {
        // What the dead one was on the way to.
        if (auto bound = base_.listeners.prepare(kept->legacy.current.config.listeners); !bound) {
            journal_.error(bound.error().message);
        }
    }
    incoming_.push_back(std::move(candidate));
    step(core::Adopt{std::move(adoption.left)}, core::Clock::now());
    publisher_.resume_exits(adoption.exits, snapshot_);
    any_death_ = true;  // a wake-up may have been lost meanwhile
}

void Master::turn() {
    const core::TimePoint now = core::Clock::now();
    base_.segment.scoreboard().turn_began_ns.store(now.time_since_epoch().count());
    notice_stall(now);
    for (const core::WorkerId worker : core_.due_for_judgement(now)) {
        workers_.look_for_life(worker);
    }
    if (const auto wishes = core_.due_for_measuring(now); !wishes.empty()) {
        enqueue(workers_.measure(wishes));
    }
    std::stable_partition(events_.begin(), events_.end(), core::is_sign_of_life);
    while (!events_.empty()) {
        const core::Event event = std::move(events_.front());
        events_.pop_front();
        if (core::may_end_workers(event)) {
            step(workers_.busy(), now);
        }
        step(event, now);
    }
    if (const auto due = core_.next_deadline(); due && *due <= now) {
        step(core::Tick{}, now);
    }
    snapshot_ = core_.snapshot();
    sendoff_.show_truth(snapshot_);
    publisher_.publish(snapshot_, core_.config(), workers_);
    // Before the replies: who hears that a worker is gone finds its socket closed, not closing.
    send_off(now);
    close_old_listeners();
    fd_store_.follow(base_.listeners.all(), base_.manager);
    mend_wake_ups(now);
    send_replies();
    tell_manager();
    forget_old_specs();
    arm_timer();
    base_.segment.scoreboard().turn_began_ns.store(0);
}

// All the time since the last turn may have passed while we stood still, so none of it counts.
void Master::notice_stall(core::TimePoint now) {
    const core::TimePoint last = std::exchange(last_turn_, now);
    if (armed_ && now > *armed_ + kStall) {
        journal_.warning("the master itself stood still for at least " + in_words(now - *armed_) +
                         ": all deadlines are renewed");
        armed_.reset();
        step(core::Stalled{now - last}, now);
    }
}

void Master::step(const core::Event& event, core::TimePoint now) {
    std::vector<core::Action> actions;
    const std::uint64_t revision = core_.revision();
    core_.step(event, now, actions);
    const bool brings_specs = std::holds_alternative<core::Reload>(event) ||
                              std::holds_alternative<core::Restart>(event) ||
                              std::holds_alternative<core::Adopt>(event);
    if (brings_specs || core_.revision() != revision) {
        snapshot_ = core_.snapshot();
    }
    if (core_.revision() != revision) {
        follow_config();
    }
    if (brings_specs) {
        CHECK(!incoming_.empty());
        specs_.install(incoming_.front().specs, snapshot_.pools, core_.config());
        specs_.renew(incoming_.front().renewed);
        incoming_.pop_front();
    }
    // Before anybody is started: no worker is of a generation that the next master does not know.
    if (brings_specs || core_.revision() != revision) {
        keep_generations();
    }
    any_stop_ = any_stop_ || std::holds_alternative<core::Parked>(event);
    core::sort_by_urgency(actions);
    for (const core::Action& action : actions) {
        carry_out(action);
    }
}

std::optional<core::TimePoint> Master::next_deadline() const {
    std::optional<core::TimePoint> next;
    for (const auto& due : {core_.next_deadline(), nudger_.next_look(), sendoff_.next_look()}) {
        next = due && next ? std::min(*due, *next) : due ? due : next;
    }
    return next;
}

void Master::arm_timer() {
    if (exit_code_) {
        return;
    }
    const std::optional<core::TimePoint> due = next_deadline();
    if (due == armed_) {
        return;
    }
    armed_ = due;
    if (!due) {
        // Asio leaves its timerfd armed for a timer that was cancelled: we would be woken for
        // nothing, up to a start deadline later. One that expires now makes it forget the old time.
        timer_.expires_at(core::Clock::now());
        timer_.async_wait([](const boost::system::error_code&) {});
        return;
    }
    timer_.expires_at(*due);
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (!error) {
            enqueue(core::Tick{});
        }
    });
}

void Master::wait_for_signals() {
    signal_watch_->wait([this] {
        while (const auto signal = posix::read_signal(base_.signals)) {
            on_signal(*signal);
        }
        wait_for_signals();
    });
}

std::string Master::status_text(const core::Snapshot& snapshot) {
    std::string text;
    for (const core::PoolView& pool : snapshot.pools) {
        text += (text.empty() ? "" : ", ") + pool.name + " " + std::to_string(pool.ready) + "/" +
                std::to_string(pool.wanted) + " ready";
        if (pool.breaker_open) {
            text += " (breaker open)";
        }
    }
    return text;
}

void Master::tell_manager() {
    if (!base_.manager.present()) {
        return;
    }
    if (const std::string text = status_text(snapshot_); service_up_ && text != status_said_) {
        status_said_ = text;
        base_.manager.notify("STATUS=" + text);
    }
    const auto timeout = base_.manager.watchdog();
    if (timeout && watchdog_timer_.expiry() <= core::Clock::now()) {
        base_.manager.notify("WATCHDOG=1");
        watchdog_timer_.expires_after(*timeout / 3);
        watchdog_timer_.async_wait([](const boost::system::error_code&) {});
    }
}

const config::Pool& Master::policy_of(core::SlotId slot) const {
    static const config::Pool kDefaults;
    const config::Pool* policy = core_.policy(slot.pool);
    return policy == nullptr ? kDefaults : *policy;
}

std::string Master::pool_name(core::PoolId pool) const {
    for (const core::PoolView& view : snapshot_.pools) {
        if (view.pool == pool) {
            return view.name;
        }
    }
    return "pool" + std::to_string(pool.value);
}

}  // namespace topsman::supervisor
