// Between a play's core and its kernel.

#include "tests/sim/play.hpp"

#include <boost/json/serialize.hpp>

#include <ostream>
#include <utility>

namespace topsman::sim {

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

}  // namespace topsman::sim
