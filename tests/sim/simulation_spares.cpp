// What the core believes of its spares, and what they do: nobody but them stands still, and who was
// given a seat is in it, whichever master gave it.

#include "tests/sim/simulation.hpp"

namespace topsman::sim {

using core::Role;
using core::SpareStage;
using core::WorkerState;

// It knows its slot by the first one, and would not hear of another.
void Simulation::look_at_release(const core::Action& action) {
    const auto* release = std::get_if<core::Release>(&action);
    if (release != nullptr && kernel_.signs_of(release->worker).is_let_go) {
        oracle_.report("SpareKnowsItsSlot", "worker " + std::to_string(release->worker.value) +
                                                " is released a second time");
    }
}

void Simulation::look_at_spares() {
    for (const core::WorkerView& view : core_->snapshot().workers) {
        const std::string who = "worker " + std::to_string(view.worker.value);
        if (!kernel_.lives(view.worker) || view.state >= WorkerState::Aborting) {
            continue;
        }
        const core::SpareSigns signs = kernel_.signs_of(view.worker);
        const bool is_parked =
            view.spare == SpareStage::Parked && view.state == WorkerState::Serving;
        if (is_parked && !signs.waits) {
            oracle_.report("ParkedIsTrue", who + " is called parked and runs");
        }
        const bool may_wait = view.role == Role::Spare && view.state <= WorkerState::Serving;
        if (signs.waits && !may_wait) {
            oracle_.report("ParkedIsTrue", who + " is to do something and stands still");
        }
        if (kernel_.is_stopped(view.worker) && !is_parked && !kernel_.is_watched(view.worker)) {
            oracle_.report("ParkedIsTrue", who + " stands still, and nobody knows");
        }
        if (signs.seat && view.role != Role::Leaving && view.slot.index != *signs.seat) {
            oracle_.report("SpareKnowsItsSlot",
                           who + " has slot " + std::to_string(view.slot.index) +
                               " and was told that it has " + std::to_string(*signs.seat));
        }
    }
}

}  // namespace topsman::sim
