#include "supervisor/listener_handover.hpp"
#include "supervisor/master.hpp"
#include "supervisor/posix/execution.hpp"
#include "supervisor/posix/sealed_text.hpp"
#include "supervisor/version.hpp"

#include <poll.h>

// The master executes its program, which may be a newer one by now, in its own place: same process,
// same children, same sockets. What it hands over it could hand over to itself, too, and does so if
// the new one fails before it has taken over.

namespace topsman::supervisor {

namespace {

// How long what is half done may take, and the last lines of the log.
constexpr auto kUnfinished = std::chrono::milliseconds(1'000);
constexpr int kFlushPatience = 200;

const char* word_of(core::RolloutStage stage) {
    return stage == core::RolloutStage::Paused
               ? "paused: `topsman reload` or `topsman rollback` ends that first"
               : "under way: try again when it is done";
}

}  // namespace

/// None: it can be done now, or soon.
std::optional<std::string> Master::reason_against_upgrade() const {
    if (snapshot_.phase != core::Phase::Running) {
        return "the master is stopping";
    }
    for (const core::PoolView& pool : snapshot_.pools) {
        if (pool.stage != core::RolloutStage::Idle) {
            return "a rollout of " + pool.name + " is " + word_of(pool.stage);
        }
    }
    if (core_.legacy().base) {
        return "a reload is under way: try again when it is done";
    }
    const std::size_t own = upgrade_ && upgrade_->ticket.value != 0 ? 1 : 0;
    if (tickets_.size() > own) {
        return "another command is under way, and somebody waits for its end: try again after it";
    }
    return std::nullopt;
}

void Master::request_upgrade(core::Ticket ticket, std::shared_ptr<const UniqueFd> caller) {
    if (upgrade_) {
        answer(ticket, {"failed", "an upgrade is under way already", {}});
        return;
    }
    upgrade_.emplace();
    upgrade_->ticket = ticket;
    upgrade_->caller = std::move(caller);
    begin_wait();
}

/// For what is half done.
void Master::begin_wait() {
    upgrade_->until = core::Clock::now() + kUnfinished;
    upgrade_->timer = std::make_unique<boost::asio::steady_timer>(io_, upgrade_->until);
    upgrade_->timer->async_wait([](const boost::system::error_code&) {});
}

void Master::check_upgrade() {
    auto state = posix::seal_text("topsman-upgrade", to_text(hand_over()));
    if (!state) {
        end_upgrade(state.error().message);
        return;
    }
    upgrade_->check = std::make_unique<UpgradeCheck>(io_);
    const auto started =
        upgrade_->check->start(base_.program.path, state->get(), base_.lock_fd,
                               [this](const Result<std::string>& version) {
                                   if (!version) {
                                       end_upgrade(version.error().message);
                                       return;
                                   }
                                   journal_.info("upgrade: " + base_.program.path + " is topsman " +
                                                 *version + ", and can go on; executing it");
                                   upgrade_->version = *version;
                                   begin_wait();
                               });
    if (!started) {
        end_upgrade(started.error().message);
    }
}

void Master::end_upgrade(const std::string& why) {
    const core::Ticket ticket = upgrade_->ticket;
    retired_check_ = std::move(upgrade_->check);  // it may be the one that calls
    upgrade_.reset();
    chronicle_.upgrade_failed(why);
    answer(ticket, {"failed", why, {}});
}

/// What is half done in this program's memory, and is whole in a moment.
std::optional<std::string> Master::unfinished() const {
    if (const auto worker = workers_.being_started()) {
        return *worker + " is being started";
    }
    if (loader_.is_busy() || reading_ || settle_timer_.expiry() > core::Clock::now()) {
        return "the configuration is being read";
    }
    return !events_.empty() || !incoming_.empty() || !replies_.empty()
               ? std::optional<std::string>("the master is busy")
               : std::nullopt;
}

/// Between two turns, when nothing waits to be handled.
void Master::go_on_with_upgrade() {
    retired_check_.reset();
    const bool is_checking = upgrade_ && upgrade_->check && upgrade_->version.empty();
    if (!upgrade_ || is_checking) {
        return;
    }
    const bool is_late = core::Clock::now() >= upgrade_->until;
    if (const auto reason = reason_against_upgrade()) {
        end_upgrade(*reason);
        return;
    }
    if (const auto reason = unfinished()) {
        if (is_late) {
            end_upgrade(*reason + ": try again when that is done");
        }
        return;
    }
    if (!upgrade_->check) {
        check_upgrade();
        return;
    }
    if (control_->is_amid_words() && !is_late) {
        return;
    }
    execute_upgrade();
}

void Master::execute_upgrade() {
    workers_.cut_probes_short();
    const Handover handover = hand_over();
    auto state = posix::seal_text("topsman-upgrade", to_text(handover));
    if (!state) {
        end_upgrade(state.error().message);
        return;
    }
    script_waits_.give_up("the master executes another program; the job goes on");
    (void)journal_.flush(kFlushPatience);  // what nobody reads is lost with us
    const Error why =
        posix::execute_in_place(base_.program, state->get(), descriptors_of(handover));
    end_upgrade(why.message);
}

Handover Master::hand_over() const {
    Handover handover;
    handover.version = kVersion;
    handover.program = base_.program;
    handover.directory = base_.directory;
    handover.config_file = base_.config_file;
    handover.control_path = base_.control_path;
    handover.generations = generations_text(core_.legacy(), specs_.all(), file_config_);
    handover.refused = refused_;
    handover.manager = base_.manager.address();
    handover.manager_watchdog_us =
        base_.manager.watchdog().value_or(std::chrono::microseconds(0)).count();
    handover.left = core_.inheritance();
    handover.workers = workers_.hand_over();
    handover.listeners = handed_listeners(base_.listeners);
    handover.leavers = sendoff_.hand_over();
    handover.exits = publisher_.exits(snapshot_);
    handover.stored = fd_store_.names();
    handover.spare_sockets = numbers_of(base_.listeners.spare());
    handover.clients = control_->idle_clients();
    handover.control = control_->listening();
    handover.lock = base_.lock_fd;
    handover.caller = upgrade_ && upgrade_->caller ? upgrade_->caller->get() : -1;
    handover.watch = config_watch_ ? config_watch_->fd() : -1;
    return handover;
}

// Everything that can fail comes before `take_over`; what it leads to, after it.
void Master::resume(const std::string& failed, const std::function<void()>& take_over) {
    Handover handover = std::move(base_.handover).value();
    const KeptGenerations kept = std::move(base_.kept).value();
    base_.handover.reset();
    base_.kept.reset();
    file_config_ = base_.file;
    shared_ = base_.config.shared;
    refused_ = handover.refused;
    specs_.restore(kept.specs);
    std::map<core::WorkerId, const core::LeftWorker*> left;
    for (const core::LeftWorker& worker : handover.left.workers) {
        left[worker.worker] = &worker;
    }
    for (const HandedWorker& worker : handover.workers) {
        const core::LeftWorker& of_core = *left.at(worker.worker);
        workers_.resume(worker, of_core, specs_.find(of_core.generation, of_core.pool));
    }
    const core::TimePoint now = core::Clock::now();
    service_up_ = handover.left.is_up;
    handover.left.legacy = kept.legacy;
    std::vector<core::Action> actions;
    core_.step(core::Adopt{std::move(handover.left)}, now, actions);
    snapshot_ = core_.snapshot();
    publisher_.resume_exits(handover.exits, snapshot_);
    sendoff_.resume(handover.leavers, now);
    resumed_ = true;
    take_over();

    if (failed.empty()) {
        chronicle_.master_upgraded(handover.version, kVersion);
    } else {
        chronicle_.upgrade_failed(failed);
    }
    publisher_.publish_listeners(base_.listeners.all());
    watch_config(base_.config.watch);
    look_for_missed_save(UniqueFd(handover.watch));
    wait_for_signals();
    on_child();  // an exec may lose a SIGCHLD: open_signal_fd() sets its disposition
    keep_generations();
    for (const core::Action& action : actions) {
        carry_out(action);
    }
    any_death_ = any_stop_ = true;  // a wake-up may have been lost meanwhile
    enqueue(core::Tick{});
    turn();
    if (handover.caller >= 0) {
        control::Response response{"rolled_back", failed, {}};
        if (failed.empty()) {
            response = {"done", describe_upgrade(handover.version, kVersion), {}};
        }
        control::answer_inherited(UniqueFd(handover.caller), response);
    }
}

/// The file was saved, perhaps, after the master before us looked for the last time.
void Master::look_for_missed_save(UniqueFd before) {
    pollfd saved{before.get(), POLLIN, 0};
    if (config_watch_ && before && ::poll(&saved, 1, 0) == 1) {
        request_reload({}, kAtStart);
    }
}

}  // namespace topsman::supervisor
