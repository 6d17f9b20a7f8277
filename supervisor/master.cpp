#include "supervisor/master.hpp"

#include "shm/base/check.hpp"
#include "shm/parking.hpp"
#include "supervisor/control/cluster_view.hpp"
#include "supervisor/control/status_json.hpp"
#include "supervisor/core/backoff.hpp"
#include "supervisor/shared_objects.hpp"

#include <algorithm>
#include <random>

namespace topsman::supervisor {

namespace {

// Later than this behind its own timer, the master was stopped or starved: nobody else is late.
constexpr auto kStall = std::chrono::milliseconds(500);
// How long answers under way and the last log lines may take when everything else is gone.
constexpr auto kEndPatience = std::chrono::milliseconds(1'000);
// A turn comes after so many callbacks, even if there is always one more.
constexpr std::size_t kMostHandlers = 1'024;

control::Response to_response(const core::Reply& reply) {
    control::Response response;
    switch (reply.result) {
        case core::Reply::Result::Done:
            response.result = "done";
            break;
        case core::Reply::Result::Failed:
            response.result = "failed";
            break;
        case core::Reply::Result::RolledBack:
            response.result = "rolled_back";
            break;
        case core::Reply::Result::TimedOut:
            response.result = "timed_out";
            break;
    }
    response.reason = reply.reason;
    response.lines = reply.lines;
    return response;
}

std::string events_json(const shm::EventRing& ring, std::uint64_t since) {
    std::string text = "[";
    for (const shm::EventLine& line : ring.read_since(since)) {
        text += (text.size() > 1 ? ",\n" : "") + line.json;
    }
    return text + "]";
}

std::string status_text(const core::Snapshot& snapshot) {
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
    // First those who replace: they do not wait for what is said and written about the dead one.
    std::stable_partition(actions.begin(), actions.end(), [](const core::Action& action) {
        return std::holds_alternative<core::Spawn>(action) ||
               std::holds_alternative<core::Release>(action);
    });
    std::stable_partition(actions.begin(), actions.end(), [](const core::Action& action) {
        return std::holds_alternative<core::Release>(action);
    });
    for (const core::Action& action : actions) {
        carry_out(action);
    }
}

void Master::carry_out(const core::Action& action) {
    std::visit(
        [this](const auto& what) {
            using Kind = std::decay_t<decltype(what)>;
            if constexpr (std::is_same_v<Kind, core::Spawn>) {
                spawn(what);
            } else if constexpr (std::is_same_v<Kind, core::Park>) {
                workers_.park(what.worker);
            } else if constexpr (std::is_same_v<Kind, core::Release>) {
                workers_.release(what, publisher_.scoreboard_slot(what.slot).value_or(0));
            } else if constexpr (std::is_same_v<Kind, core::Signal>) {
                send_signal(what, true);
            } else if constexpr (std::is_same_v<Kind, core::Announce>) {
                announce(what);
            } else if constexpr (std::is_same_v<Kind, core::Obituary>) {
                bury(what);
            } else if constexpr (std::is_same_v<Kind, core::Reply>) {
                replies_.push_back(what);
            } else if constexpr (std::is_same_v<Kind, core::ServiceUp>) {
                service_up_ = true;
                status_said_ = what.text.empty() ? status_text(core_.snapshot()) : what.text;
                journal_.info("up: " + status_said_);
                base_.manager.notify("READY=1\nSTATUS=" + status_said_);
            } else {
                static_assert(std::is_same_v<Kind, core::Exit>);
                end(what.code);
            }
        },
        action);
}

void Master::spawn(const core::Spawn& action) {
    const std::string name = pool_name(action.slot.pool);
    WorkerTable::Order order;
    order.worker = action.worker;
    order.slot = action.slot;
    order.generation = action.generation;
    const bool is_spare = action.slot.index == kNoSlot;
    if (!is_spare && !publisher_.scoreboard_slot(action.slot)) {
        // A slot that was made in this turn: its lane has to name it from the start.
        publisher_.publish(core_.snapshot(), core_.config(), workers_);
    }
    order.scoreboard_slot = publisher_.scoreboard_slot(action.slot).value_or(0);
    const SpecPtr spec = specs_.find(action.generation, name);
    CHECK(spec != nullptr);
    order.spec = with_policies(spec, policy_of(action.slot));
    order.record = publisher_.record_of(action, name, order.spec->fingerprint);
    fit_listeners();
    workers_.spawn(order);
    publisher_.recorded(workers_.find(action.worker)->lane);
}

void Master::send_signal(const core::Signal& action, bool may_wait) {
    const core::Snapshot snapshot = core_.snapshot();
    for (const core::WorkerView& view : snapshot.workers) {
        if (view.worker == action.worker) {
            const bool leaves = action.kind == core::SignalKind::Terminate;
            if (!leaves) {
                sendoff_.forget(action.worker);
            } else if (may_wait && snapshot.phase == core::Phase::Running &&
                       sendoff_.delays(action.worker, snapshot,
                                       core::clock_duration(policy_of(view.slot).stop_timeout),
                                       core::Clock::now())) {
                return;
            }
            workers_.signal(action.worker, action.kind, policy_of(view.slot));
            return;
        }
    }
}

void Master::announce(const core::Announce& action) {
    std::string pool;
    if (action.slot) {
        pool = pool_name(action.slot->pool);
    } else if (action.pool) {
        pool = pool_name(*action.pool);
    }
    chronicle_.announce(action, pool, action.worker ? workers_.find(*action.worker) : nullptr);
    if (action.notice == core::Notice::WorkerReady && action.worker) {
        workers_.stop_looking(*action.worker);
    }
    if (action.notice == core::Notice::MasterStopping) {
        base_.manager.notify("STOPPING=1");
    }
}

void Master::bury(const core::Obituary& action) {
    chronicle_.bury(action, pool_name(action.slot.pool), workers_.find(action.worker));
    if (action.slot.index != kNoSlot) {
        publisher_.record_exit(action.slot, describe_death(action));
    }
    workers_.bury(action.worker);
    sendoff_.forget(action.worker);
    any_death_ = true;
}

// Who is told that it is done looks at the scoreboard next, so that comes first.
void Master::send_replies() {
    for (const core::Reply& reply : std::exchange(replies_, {})) {
        answer(reply.ticket, to_response(reply));
    }
    if (exit_code_) {
        script_waits_.give_up("the master is stopping; the job is not waited for any more");
    }
    // What still waits for a file to be read is not waited for at the end.
    while (exit_code_ && !tickets_.empty()) {
        answer(tickets_.begin()->first, {"failed", "the master is stopping", {}});
    }
}

void Master::end(int code) {
    exit_code_ = code;
    armed_.reset();
    // Answers under way are still written; a client that does not read does not keep us.
    timer_.expires_after(kEndPatience);
    timer_.async_wait([this](const boost::system::error_code&) { io_.stop(); });
    if (control_) {
        control_->shut_down([this] { io_.stop(); });
    } else {
        io_.stop();
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

// Another configuration is in force: by a reload, or because a reload has undone itself.
void Master::follow_config() {
    const config::Config& config = core_.config();
    journal_.configure(config.log);
    for (const std::string& complaint : base_.listeners.put_in_force(config.listeners)) {
        journal_.error(complaint);
    }
    publisher_.publish_listeners(base_.listeners.all());
    if (config.watch != config_watch_.has_value()) {
        watch_config(config.watch);
    }
    follow_shared();
    tell_note();
}

// Before anybody is started who asks for it. That there is room was seen when the file was read.
void Master::follow_shared() {
    if (core_.config().shared == shared_) {
        return;
    }
    shared_ = core_.config().shared;
    if (const auto declared = declare_shared(base_.segment, shared_); !declared) {
        journal_.warning(declared.error().message + ": a worker was faster");
    }
    // There may be more permits than there were for those who wait.
    shm::wake_everyone(base_.segment.lanes());
}

// What runs is not what the file said when it was read last: a reload was rolled back.
bool Master::differs_from_file() const {
    const config::Config& runs = core_.config();
    return runs.pools != file_config_.pools || runs.listeners != file_config_.listeners ||
           runs.log != file_config_.log || runs.watch != file_config_.watch ||
           runs.shared != file_config_.shared;
}

void Master::tell_note() {
    std::string note = config_watch_ ? "watching " + base_.config.file : "";
    if (differs_from_file()) {
        note += (note.empty() ? "" : "; ") +
                std::string("the file differs from what runs, which is ") + "generation " +
                std::to_string(core_.snapshot().generation.value);
    }
    if (!refused_.empty()) {
        note += (note.empty() ? "" : "; ") + ("the file was refused: " + refused_);
    }
    publisher_.set_note(note);
}

void Master::forget_old_specs() {
    std::set<core::Generation> used = core_.generations_in_use();
    for (const core::PoolView& pool : snapshot_.pools) {
        used.insert(pool.generation);
    }
    if (specs_.keep_only(used)) {
        keep_generations();
    }
}

void Master::keep_generations() {
    if (core_.snapshot().phase != core::Phase::Running) {
        return;  // what is put aside for the end is not what was decided
    }
    const Result<void> kept =
        write_generations(base_.generations_path, core_.legacy(), specs_.all(), file_config_);
    const std::string trouble = kept ? "" : kept.error().message;
    if (!kept && trouble != keeping_failed_) {
        journal_.warning(trouble + ": should the master die, the next one knows only the file");
    }
    keeping_failed_ = trouble;
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
