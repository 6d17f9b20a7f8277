// What the core has decided, done.

#include "shm/base/check.hpp"
#include "supervisor/master.hpp"

namespace topsman::supervisor {

namespace {

// How long answers under way and the last log lines may take when everything else is gone.
constexpr auto kEndPatience = std::chrono::milliseconds(1'000);

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

}  // namespace

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

}  // namespace topsman::supervisor
