#include "supervisor/master.hpp"
#include "supervisor/posix/accept_queue.hpp"

#include <algorithm>

// What the listeners need while the loop runs: as many sockets as there are workers, an end when
// nobody uses them any more, and nobody asleep beside a connection that waits.

namespace topsman::supervisor {

// A reuse_port listener has as many sockets as its pools want workers, also after a scaling.
void Master::fit_listeners() {
    for (posix::BoundListener& listener : base_.listeners.all()) {
        if (listener.spec.accept != config::Accept::ReusePort || !listener.in_force) {
            continue;
        }
        std::uint32_t wanted = 0;
        for (const core::PoolView& pool : core_.snapshot().pools) {
            const config::Pool* spec = core_.config().find_pool(pool.name);
            if (spec != nullptr && std::count(spec->exec.listeners.begin(),
                                              spec->exec.listeners.end(), listener.spec.name) > 0) {
                wanted += pool.wanted - pool.drained;  // nobody accepts for these
            }
        }
        const auto is_in_use = [this](int socket) { return workers_.users(socket) > 0; };
        if (Result<void> fitted = posix::fit_group(listener, wanted, is_in_use); !fitted) {
            journal_.error(fitted.error().message);
        }
        publisher_.publish_listeners(base_.listeners.all());
    }
}

// Those of a configuration that is no more, as soon as nobody uses them and nothing goes back.
void Master::close_old_listeners() {
    if (!base_.listeners.has_leaving()) {
        return;
    }
    const std::optional<core::Version> base = core_.legacy().base;
    const auto closed = base_.listeners.close_others([&](const posix::BoundListener& listener) {
        const config::Listener* before =
            base ? base->config.find_listener(listener.spec.name) : nullptr;
        return (before != nullptr && before->socket() == listener.spec.socket()) ||
               std::any_of(listener.sockets.begin(), listener.sockets.end(),
                           [this](const UniqueFd& fd) { return workers_.users(fd.get()) > 0; });
    });
    for (const ListenerSet::Closed& listener : closed) {
        chronicle_.listener_closed(listener.name, listener.address, listener.waiting);
    }
    if (!closed.empty()) {
        publisher_.publish_listeners(base_.listeners.all());
    }
}

// Stop signals that have waited until the queues of listeners that go away were empty.
void Master::send_off(core::TimePoint now) {
    const bool all = snapshot_.phase != core::Phase::Running;
    for (const core::WorkerId worker : sendoff_.look(now, all)) {
        send_signal({worker, core::SignalKind::Terminate}, false);
    }
}

// Who died or stopped between its wake-up and its accept has taken the wake-up along.
void Master::mend_wake_ups(core::TimePoint now) {
    if (any_death_ || any_stop_) {
        // A wake-up that died with somebody is for a connection that lies in the queue by now.
        const auto may_be_waited_at = [](const posix::BoundListener& listener) {
            return !std::all_of(
                listener.sockets.begin(), listener.sockets.end(),
                [](const UniqueFd& socket) { return posix::is_surely_empty(socket.get()); });
        };
        const auto& bound = base_.listeners.all();
        if (std::any_of(bound.begin(), bound.end(), may_be_waited_at)) {
            workers_.wake_acceptors();
        }
        nudger_.doubt(now);
    }
    if (any_death_) {
        fit_listeners();
    }
    any_death_ = any_stop_ = false;
    if (nudger_.look(snapshot_, now)) {
        publisher_.publish_listeners(base_.listeners.all());
    }
}

}  // namespace topsman::supervisor
