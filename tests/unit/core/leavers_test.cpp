// Who goes when there are to be fewer, and what becomes of the numbers.

#include "supervisor/core/inheritance.hpp"
#include "tests/unit/core/scenario.hpp"

#include <gtest/gtest.h>

namespace topsman::core::test {
namespace {

using testing::ElementsAre;

/// Four that serve; the numbers are what each works on.
struct Herd : Stage {
    explicit Herd(const std::vector<std::uint32_t>& in_flight)
        : Stage(cluster_of({pool_of("web", static_cast<std::uint32_t>(in_flight.size()))})) {
        serve();
        pass(2s);
        are_busy(in_flight);
    }

    void are_busy(const std::vector<std::uint32_t>& in_flight) {
        Busy busy;
        for (std::uint32_t slot = 0; slot < in_flight.size(); ++slot) {
            busy.workers.push_back({holder(slot), in_flight[slot]});
        }
        step(busy);
    }

    /// Who is told to leave by the last step.
    [[nodiscard]] std::vector<std::uint32_t> told_to_leave() const {
        std::vector<std::uint32_t> slots;
        for (const Signal& signal : all<Signal>()) {
            EXPECT_EQ(signal.kind, SignalKind::Terminate);
            slots.push_back(worker(signal.worker).slot.index);
        }
        std::sort(slots.begin(), slots.end());
        return slots;
    }

    [[nodiscard]] std::vector<std::uint32_t> numbers() const {
        std::vector<std::uint32_t> numbers;
        for (const SlotView& slot : pool().slots) {
            numbers.push_back(slot.slot.index);
        }
        return numbers;
    }
};

TEST(LeaversTest, TheLeastBusyGo) {
    Herd stage({3, 0, 2, 7});
    stage.step(Scale{Ticket{1}, "web", 2});
    EXPECT_THAT(stage.told_to_leave(), ElementsAre(1, 2));
    EXPECT_THAT(stage.numbers(), ElementsAre(0, 3));
}

TEST(LeaversTest, OfEqualsTheHighestNumbersGo) {
    Herd stage({0, 0, 0, 0});
    stage.step(Scale{Ticket{1}, "web", 2});
    EXPECT_THAT(stage.told_to_leave(), ElementsAre(2, 3));
}

TEST(LeaversTest, WhoServesNobodyGoesBeforeThem) {
    Herd stage({0, 5, 0, 0});
    stage.exit(stage.holder(1), exited(3));  // another one is being started
    stage.step(Scale{Ticket{1}, "web", 3});
    EXPECT_THAT(stage.told_to_leave(), ElementsAre(1));
}

TEST(LeaversTest, WhatIsDrainedIsTakenAwayFirst) {
    Herd stage({0, 5, 0, 0});
    const WorkerId drained = stage.holder(1);
    stage.step(Drain{Ticket{1}, "web", 1});
    stage.exit(drained, exited(0));
    stage.step(Scale{Ticket{2}, "web", 3});
    EXPECT_TRUE(stage.all<Signal>().empty());
    EXPECT_THAT(stage.numbers(), ElementsAre(0, 2, 3));
    EXPECT_EQ(stage.pool().ready, 3U);
}

TEST(LeaversTest, TheyGetTheirTimeAndTheCallerWaitsForThem) {
    Herd stage({1, 0, 1, 1});
    const WorkerId leaver = stage.holder(1);
    stage.step(Scale{Ticket{1}, "web", 3});
    EXPECT_TRUE(stage.all<Reply>().empty());
    stage.pass(29s);
    EXPECT_TRUE(stage.signals(leaver).empty());
    stage.exit(leaver, exited(0));
    EXPECT_EQ(stage.all<Reply>().at(0).result, Reply::Result::Done);
}

TEST(LeaversTest, FreeNumbersAreGivenFirst) {
    Herd stage({3, 0, 0, 7});
    stage.step(Scale{Ticket{1}, "web", 2});
    ASSERT_THAT(stage.numbers(), ElementsAre(0, 3));
    stage.step(Scale{Ticket{2}, "web", 5});
    EXPECT_THAT(stage.numbers(), ElementsAre(0, 1, 2, 3, 4));
}

TEST(LeaversTest, SlotsAreFoundByTheirNumbers) {
    Herd stage({3, 0, 0, 7});
    stage.step(Scale{Ticket{1}, "web", 2});
    stage.step(Restart{Ticket{2}, "web", 3});
    ASSERT_EQ(stage.all<Spawn>().size(), 1U);
    EXPECT_EQ(stage.all<Spawn>()[0].slot.index, 3U);
    stage.step(Restart{Ticket{3}, "web", 1});
    EXPECT_EQ(stage.all<Reply>().at(0).reason,
              "no slot web/1: it was taken away when there were to be fewer");
    stage.step(Restart{Ticket{3}, "web", 4});
    EXPECT_EQ(stage.all<Reply>().at(0).reason, "no slot web/4; the last is web/3");
}

TEST(LeaversTest, AReloadThatRollsTakesThemAwayAtItsEndAndRenewsOnlyTheOthers) {
    Herd stage({3, 0, 2, 7});
    config::Pool fewer = pool_of("web", 2);
    fewer.exec.command = {"other"};
    stage.step(Reload{Ticket{1}, cluster_of({fewer})});
    EXPECT_TRUE(stage.all<Signal>().empty());
    stage.ready(stage.holder(0, Role::Successor));
    stage.are_busy({0, 9, 9, 0});  // it was decided, and what is new serves nobody yet
    stage.ready(stage.holder(3, Role::Successor));
    EXPECT_THAT(stage.told_to_leave(), ElementsAre(1, 2, 3)) << "and the one before web/3";
    EXPECT_THAT(stage.numbers(), ElementsAre(0, 3));
    EXPECT_EQ(stage.worker(stage.holder(3)).generation, Generation{2});
}

TEST(LeaversTest, TheNextMasterKeepsTheNumbers) {
    Stage stage(cluster_of({pool_of("web", 4)}));
    Inheritance left;
    left.last_worker = WorkerId{9};
    left.generation = Generation{1};
    left.pools = {{.name = "web", .wanted = 2, .configured = 4, .generation = Generation{1}}};
    for (const std::uint32_t slot : {0U, 3U}) {
        left.slots.push_back(
            {.pool = "web", .slot = slot, .phase = SlotPhase::Vacant, .not_before = {}});
        left.workers.push_back({.worker = WorkerId{slot + 5},
                                .pool = "web",
                                .slot = slot,
                                .generation = Generation{1},
                                .role = Role::Current,
                                .state = WorkerState::Serving,
                                .spawned_at = {},
                                .ready_at = {},
                                .last_beat = {}});
    }
    left.slots.push_back({.pool = "web", .slot = 3, .not_before = {}});       // twice
    left.slots.push_back({.pool = "web", .slot = 70'000, .not_before = {}});  // nobody's number
    stage.step(Adopt{left});
    ASSERT_EQ(stage.pool().slots.size(), 2U);
    EXPECT_EQ(stage.holder(0), WorkerId{5});
    EXPECT_EQ(stage.holder(3), WorkerId{8});
    EXPECT_TRUE(stage.all<Signal>().empty());
    EXPECT_TRUE(stage.all<Spawn>().empty());
}

/// A pool of one, whose worker takes a new generation each time and leaves in its own time.
struct Overtaking : Stage {
    explicit Overtaking(std::uint32_t most) : Stage(cluster_of({pool(most)})), most_(most) {
        serve();
    }

    static config::Pool pool(std::uint32_t most) {
        config::Pool pool = pool_of("web", 1);
        pool.stop_timeout = 1h;
        pool.rollout.max_surge = 3;
        pool.max_old_generations = most;
        return pool;
    }

    /// What is replaced by it.
    WorkerId reload() {
        pass(2s);
        const WorkerId before = holder(0);
        config::Pool next = pool(most_);
        next.exec.command = {"serve", std::to_string(++reloads_)};
        step(Reload{Ticket{}, cluster_of({next})});
        step(Spawned{holder(0, Role::Successor)});
        ready(holder(0, Role::Successor));
        EXPECT_EQ(this->Stage::pool().ready, 1U);
        return before;
    }

  private:
    std::uint32_t most_;
    int reloads_ = 0;
};

TEST(OldGenerations, TheOneThatDrainsForLongestIsEndedWhenThereAreTooMany) {
    Overtaking stage(2);
    const WorkerId first = stage.reload();
    const WorkerId second = stage.reload();
    EXPECT_TRUE(stage.signals(first).empty());
    const WorkerId third = stage.reload();
    EXPECT_EQ(stage.signals(first), std::vector{SignalKind::Kill});
    EXPECT_EQ(stage.signals(third), std::vector{SignalKind::Terminate});
    EXPECT_TRUE(stage.signals(second).empty());
    EXPECT_EQ(stage.worker(second).state, WorkerState::Draining);
    stage.exit(first, signaled(9));
    EXPECT_EQ(stage.all<Obituary>()[0].cause,
              "max_old_generations: more than 2 were draining, this one for longest");
    EXPECT_FALSE(stage.all<Obituary>()[0].failure);
}

TEST(OldGenerations, WhatIsGoneBackToIsNewAndWhatCameBetweenIsOld) {
    Overtaking stage(1);
    const WorkerId first = stage.reload();
    stage.pass(2s);
    const WorkerId second = stage.holder(0);
    stage.step(Rollback{Ticket{}});
    stage.step(Spawned{stage.holder(0, Role::Successor)});
    stage.ready(stage.holder(0, Role::Successor));
    EXPECT_EQ(stage.worker(second).state, WorkerState::Draining);
    EXPECT_EQ(stage.worker(first).state, WorkerState::Draining)
        << "of the generation that is the newest again";
}

TEST(OldGenerations, WithoutABoundNobodyIsCutShort) {
    Overtaking stage(0);
    std::vector<WorkerId> old;
    for (int i = 0; i < 3; ++i) {
        old.push_back(stage.reload());
    }
    for (const WorkerId worker : old) {
        EXPECT_EQ(stage.worker(worker).state, WorkerState::Draining);
    }
}

TEST(OldGenerations, ABoundThatAReloadBringsHoldsAtOnce) {
    Overtaking stage(0);
    const WorkerId first = stage.reload();
    const WorkerId second = stage.reload();
    config::Pool bounded = Overtaking::pool(1);
    bounded.exec.command = {"serve", "2"};
    stage.step(Reload{Ticket{}, cluster_of({bounded})});
    EXPECT_EQ(stage.signals(first), std::vector{SignalKind::Kill});
    EXPECT_TRUE(stage.signals(second).empty());
}

}  // namespace
}  // namespace topsman::core::test
