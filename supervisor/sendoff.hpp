#pragma once

// Who is told to leave takes no connection any more. For one worker among several that is right:
// the others take what waits. The last ones on a listener that goes away take first what waits
// there; the gate is closed, so that this has an end. After that the listener is closed as soon as
// none of them has it open, not only when they have served what they took.

#include "supervisor/core/supervisor_core.hpp"
#include "supervisor/handover.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/listener_set.hpp"
#include "supervisor/worker_table.hpp"

#include <map>
#include <optional>
#include <vector>

namespace topsman::supervisor {

class Sendoff {
  public:
    Sendoff(ListenerSet& listeners, WorkerTable& workers, Journal& journal)
        : listeners_(listeners), workers_(workers), journal_(journal) {}

    /// The core wants this worker to leave, which has `patience` until it is killed. True: its stop
    /// signal has to wait, look() will say for how long.
    [[nodiscard]] bool delays(core::WorkerId worker, const core::Snapshot& snapshot,
                              core::Duration patience, core::TimePoint now);

    /// Shows those whose stop signal waits as what they are: they serve. A next master tells them.
    void show_truth(core::Snapshot& snapshot) const;

    /// What a program that is executed in our place has to know, and its going on with it.
    [[nodiscard]] std::vector<HandedLeaver> hand_over() const;
    void resume(const std::vector<HandedLeaver>& leavers, core::TimePoint now);

    /// It is killed, or gone.
    void forget(core::WorkerId worker) { leaving_.erase(worker); }

    [[nodiscard]] std::optional<core::TimePoint> next_look() const;

    /// Whose stop signal is due. `all`: whoever waits.
    [[nodiscard]] std::vector<core::WorkerId> look(core::TimePoint now, bool all);

  private:
    struct Leaving {
        bool is_told = false;
        core::TimePoint since;
        core::TimePoint until;  ///< told then at the latest
        core::TimePoint next;
        core::Duration step{};
    };

    [[nodiscard]] bool is_last_on(const posix::BoundListener& listener, core::WorkerId worker,
                                  const core::Snapshot& snapshot) const;
    [[nodiscard]] bool holds(core::WorkerId worker, const posix::BoundListener& listener) const;
    [[nodiscard]] bool has_taken_all(core::WorkerId worker, const Leaving& leaving,
                                     core::TimePoint now) const;
    [[nodiscard]] bool let_go(core::WorkerId worker);

    ListenerSet& listeners_;
    WorkerTable& workers_;
    Journal& journal_;
    std::map<core::WorkerId, Leaving> leaving_;
};

}  // namespace topsman::supervisor
