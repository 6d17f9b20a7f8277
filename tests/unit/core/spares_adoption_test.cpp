// Spares that outlive their master: a dead one's, and one's that is executed anew.

#include "tests/unit/core/spares_stage.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <utility>
#include <vector>

namespace topsman::core::test {
namespace {

LeftWorker left_spare(std::uint64_t id, WorkerState state, SpareStage stage) {
    LeftWorker left;
    left.worker = WorkerId{id};
    left.pool = "web";
    left.slot = kNoSlot;
    left.generation = Generation{1};
    left.role = Role::Spare;
    left.state = state;
    left.spare = stage;
    left.spawned_at = TimePoint{1h};
    left.ready_at = TimePoint{1h};
    return left;
}

LeftWorker left_current(std::uint64_t id, std::uint32_t slot) {
    LeftWorker left = left_spare(id, WorkerState::Serving, SpareStage::None);
    left.slot = slot;
    left.role = Role::Current;
    return left;
}

/// What a master that died leaves, beside nothing else.
Adopt left_by(std::vector<LeftWorker> workers) {
    Inheritance left;
    left.generation = Generation{1};
    left.last_worker = WorkerId{9};
    left.workers = std::move(workers);
    return {left};
}

TEST(Spares, TheNextMasterGoesOnWithThem) {
    Stage stage(cluster_of({pool_with_spares(1, 3)}));
    stage.step(left_by({left_current(1, 0), left_spare(2, WorkerState::Serving, SpareStage::Parked),
                        left_spare(3, WorkerState::Serving, SpareStage::None),
                        left_spare(4, WorkerState::Starting, SpareStage::None)}));
    ASSERT_EQ(stage.all<Park>().size(), 1U);
    EXPECT_EQ(stage.all<Park>()[0].worker, WorkerId{3}) << "it was being parked, or could not be";
    EXPECT_EQ(stage.signals(WorkerId{4}), std::vector{SignalKind::Terminate})
        << "what it said meanwhile is lost";
    EXPECT_EQ(spares_started(stage).size(), 1U);
    stage.exit(WorkerId{1}, signaled(SIGKILL));
    EXPECT_EQ(stage.holder(0), WorkerId{2});
}

TEST(Spares, OneThatADeadMasterHadReleasedHasThatSeat) {
    LeftWorker spare = left_spare(2, WorkerState::Serving, SpareStage::Parked);
    believe(spare, {.waits = true});
    EXPECT_EQ(spare, left_spare(2, WorkerState::Serving, SpareStage::Parked));
    believe(spare, {.waits = false});
    EXPECT_EQ(spare.spare, SpareStage::None) << "somebody has continued it";
    believe(spare, {.is_let_go = true, .seat = 1});
    Stage stage(cluster_of({pool_with_spares(2, 1)}));
    stage.step(left_by({left_current(1, 1), spare}));
    EXPECT_TRUE(stage.all<Release>().empty());
    EXPECT_TRUE(stage.all<Park>().empty());
    EXPECT_EQ(stage.holder(1), WorkerId{2}) << "whose place it has taken is dead";
    EXPECT_EQ(stage.worker(WorkerId{2}).ready_at, stage.now) << "what it was before proves nothing";
    stage.exit(WorkerId{1}, signaled(SIGKILL));
    EXPECT_EQ(stage.holder(1), WorkerId{2});
}

TEST(Spares, OneThatADeadMasterHadToldToLeaveLeaves) {
    LeftWorker spare = left_spare(2, WorkerState::Serving, SpareStage::Parked);
    believe(spare, {.is_let_go = true, .seat = {}});
    Stage stage(cluster_of({pool_with_spares(1, 1)}));
    stage.step(left_by({spare}));
    EXPECT_EQ(stage.signals(WorkerId{2}), std::vector{SignalKind::Terminate});
    EXPECT_TRUE(stage.all<Release>().empty());
    EXPECT_EQ(workers_started(stage).size(), 1U);
}

TEST(Spares, AMasterThatIsExecutedAnewPacesThemAsBefore) {
    Warmed stage(pool_with_spares(1, 1));
    for (int i = 0; i < 5; ++i) {
        stage.exit(spares_in(stage).at(0), exited(1));
        stage.pass(30s);
    }
    stage.exit(spares_in(stage).at(0), exited(1));
    stage.pass(1s);
    Anew next(stage);
    EXPECT_TRUE(next.all<Spawn>().empty());
    EXPECT_EQ(next.core.next_deadline(), stage.core.next_deadline());
    next.pass(30s);
    ASSERT_EQ(spares_started(next).size(), 1U);
    next.exit(spares_in(next).at(0), exited(1));
    EXPECT_EQ(next.all<Obituary>().at(0).next, "another spare in 6.4s") << "the seventh in a row";
}

TEST(Spares, AMasterThatIsExecutedAnewHasTheSameOnes) {
    Warmed stage(pool_with_spares(2, 2));
    Anew next(stage);
    EXPECT_TRUE(next.all<Spawn>().empty());
    EXPECT_TRUE(next.all<Signal>().empty());
    EXPECT_TRUE(next.all<Park>().empty());
    EXPECT_EQ(spares_in(next), spares_in(stage));
    EXPECT_EQ(next.worker(spares_in(next)[0]).spare, SpareStage::Parked);
}

}  // namespace
}  // namespace topsman::core::test
