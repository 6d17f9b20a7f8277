// One master after another: by death, or by executing itself anew.

#include "tests/sim/simulation.hpp"
#include "tests/snapshot_text.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace topsman::sim {
namespace {

using namespace std::chrono_literals;

// Pools that came and went leave another order than the file's; of those that went only their
// workers count.
core::Snapshot by_name(core::Snapshot snapshot) {
    std::erase_if(snapshot.pools, [](const core::PoolView& pool) { return pool.slots.empty(); });
    std::sort(snapshot.pools.begin(), snapshot.pools.end(),
              [](const core::PoolView& a, const core::PoolView& b) { return a.name < b.name; });
    return snapshot;
}

/// What is known of each pool, slot and worker, in whatever order.
bool is_same(core::Inheritance before, core::Inheritance after) {
    for (core::Inheritance* left : {&before, &after}) {
        std::erase_if(left->pools, [](const core::LeftPool& pool) { return pool.wanted == 0; });
        std::sort(left->pools.begin(), left->pools.end(),
                  [](const core::LeftPool& a, const core::LeftPool& b) { return a.name < b.name; });
        std::sort(left->slots.begin(), left->slots.end(),
                  [](const core::LeftSlot& a, const core::LeftSlot& b) {
                      return std::tie(a.pool, a.slot) < std::tie(b.pool, b.slot);
                  });
    }
    return before.pools == after.pools && before.slots == after.slots &&
           before.workers == after.workers;
}

}  // namespace

// Deaths are there to be seen by the next master, too; all else is lost.
void Simulation::miss(const core::Event& event) {
    const auto* exited = std::get_if<core::Exited>(&event);
    if (exited != nullptr && !shell_.is_buried(exited->worker)) {
        unheard_.push_back(*exited);
    }
}

void Simulation::describe_left(const core::Inheritance& left) {
    say("  current generation " + std::to_string(left.legacy->current.generation.value) +
        (left.legacy->base ? ", base " + std::to_string(left.legacy->base->generation.value) +
                                 (left.legacy->goes_back ? ", goes back" : "")
                           : ""));
    for (const core::LeftPool& pool : left.pools) {
        say("  " + pool.name + " wanted " + std::to_string(pool.wanted) + " of " +
            std::to_string(pool.configured) + " generation " +
            std::to_string(pool.generation.value));
    }
    for (const core::LeftSlot& slot : left.slots) {
        say("  " + slot.pool + "/" + std::to_string(slot.slot) + " phase " +
            std::to_string(static_cast<int>(slot.phase)));
    }
    for (const core::LeftWorker& worker : left.workers) {
        say("  worker " + std::to_string(worker.worker.value) + " of " + worker.pool + "/" +
            std::to_string(worker.slot) + " generation " + std::to_string(worker.generation.value) +
            " role " + (worker.role ? std::to_string(static_cast<int>(*worker.role)) : "-") +
            " state " + std::to_string(static_cast<int>(worker.state)));
    }
}

// Another master, some time later.
void Simulation::succeed() {
    now_ += plan_.fate.time(std::chrono::milliseconds(1),
                            plan_.fate.pick<std::chrono::microseconds>({100ms, 10s}));
    for (const core::Event& event : kernel_.happened(now_)) {
        miss(event);
    }
    kernel_.forget_parking();
    kernel_.continue_some();
    for (const core::WorkerId worker : kernel_.end_unrecorded()) {
        shell_.drop(worker);
    }
    const core::Inheritance left = shell_.left();
    const bool has_living = kernel_.living() > 0;
    say("a new master, with " + std::to_string(left.workers.size()) + " workers of the dead one");
    describe_left(left);
    dying_ = false;
    core_.emplace(has_living ? left.legacy->footing().config : wanted_, plan_.fate.number());
    std::vector<core::Exited> deaths = std::exchange(unheard_, {});
    if (has_living) {
        ++events_;
        shell_.take_over();
        step(core::Adopt{left});
        if (dying_) {
            unheard_ = std::move(deaths);
            return;
        }
        oracle_.begin_again(left, now_, *core_);
        look_for_the_forgotten();
        oracle_.after(actions_, *core_);
    } else {
        // What it left is of no use to anybody: the file is started from.
        shell_.forget();
        oracle_.begin_again({}, now_, *core_);
        shell_.begin(*core_, wanted_);
        deaths.clear();
    }
    for (const core::Exited& death : deaths) {
        deliver(death);
    }
    deliver(core::Tick{});
}

void Simulation::look_for_the_forgotten() {
    const core::Snapshot snapshot = core_->snapshot();
    for (const core::WorkerId id : kernel_.all_living()) {
        if (std::none_of(snapshot.workers.begin(), snapshot.workers.end(),
                         [id](const core::WorkerView& view) { return view.worker == id; })) {
            oracle_.report("EverybodyIsAdopted", "worker " + std::to_string(id.value) +
                                                     " lives, and its master does not know it");
        }
    }
}

// How long one may take that leaves with its pool is not known any more after the next reload, or
// when there is another pool of that name.
bool Simulation::is_remembered(const core::WorkerView& worker) const {
    const core::Legacy legacy = core_->legacy();
    const std::string& pool = core_->policy(worker.slot.pool)->name;
    const bool is_there = legacy.current.config.find_pool(pool) != nullptr;
    const core::Snapshot snapshot = core_->snapshot();
    const bool goes = std::any_of(snapshot.pools.begin(), snapshot.pools.end(),
                                  [&worker](const core::PoolView& view) {
                                      return view.pool == worker.slot.pool && view.slots.empty();
                                  });
    return !goes
               ? is_there
               : !is_there && legacy.previous && legacy.previous->config.find_pool(pool) != nullptr;
}

// The master executes itself anew, where nothing is under way.
void Simulation::upgrade() {
    const core::Snapshot before = core_->snapshot();
    const auto due = core_->next_deadline();
    const bool is_idle =
        before.phase == core::Phase::Running && (!due || *due > now_) && kernel_.all_executed() &&
        !core_->legacy().base && oracle_.open_tickets() == 0 &&
        std::all_of(
            before.pools.begin(), before.pools.end(),
            [](const core::PoolView& pool) { return pool.stage == core::RolloutStage::Idle; }) &&
        std::all_of(before.workers.begin(), before.workers.end(),
                    [this](const core::WorkerView& worker) { return is_remembered(worker); });
    if (!is_idle) {
        return;
    }
    say("the master executes itself anew");
    const core::Inheritance left = core_->inheritance();
    core_.emplace(left.legacy->current.config, plan_.fate.number());
    actions_.clear();
    core_->step(core::Adopt{left}, now_, actions_);
    shell_.keep(*core_);
    kernel_.forget_parking();
    std::erase_if(actions_, [this](const core::Action& action) {
        // The shell knows nothing yet, and looks anew at those that it was parking.
        const bool parks = std::holds_alternative<core::Park>(action);
        if (parks) {
            (void)shell_.carry_out(*core_, action, now_);
        }
        return parks || std::holds_alternative<core::ServiceUp>(action);
    });
    const core::Snapshot after = core_->snapshot();
    const std::string was = core::test::in_words(by_name(before));
    const std::string is = core::test::in_words(by_name(after));
    if (was != is || !actions_.empty() || !is_same(left, core_->inheritance())) {
        oracle_.report("UpgradeIsUnnoticed", "before:\n" + was + "after:\n" + is + "with " +
                                                 std::to_string(actions_.size()) + " actions");
    }
    oracle_.go_on_with(before, after);
}

}  // namespace topsman::sim
