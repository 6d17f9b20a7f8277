#include "supervisor/core/tickets.hpp"

#include <gtest/gtest.h>

namespace topsman::core {
namespace {

constexpr SlotId kSlot{PoolId{1}, 0};

Wait for_slot(SlotId slot) {
    Wait wait;
    wait.starting.insert(slot);
    return wait;
}

const Reply& reply_of(const std::vector<Action>& actions, std::size_t index = 0) {
    return std::get<Reply>(actions.at(index));
}

TEST(Tickets, IsDoneWhenNothingIsWaitedForAnyMore) {
    Tickets tickets;
    std::vector<Action> out;
    Wait wait = for_slot(kSlot);
    wait.leaving.insert(WorkerId{5});
    wait.rollouts.insert(PoolId{2});
    tickets.add(Ticket{1}, wait, out);
    tickets.worker_ready(kSlot);
    tickets.settle(out);
    tickets.worker_replaced(PoolId{2}, WorkerId{6});
    tickets.rollout_done(PoolId{2}, "api: 1 worker replaced");
    tickets.worker_gone(WorkerId{5});
    tickets.settle(out);
    EXPECT_TRUE(out.empty());
    tickets.worker_gone(WorkerId{6});
    tickets.settle(out);
    tickets.settle(out);
    ASSERT_EQ(out.size(), 1U);
    EXPECT_EQ(reply_of(out).result, Reply::Result::Done);
    EXPECT_EQ(reply_of(out).lines, std::vector<std::string>{"api: 1 worker replaced"});
}

TEST(Tickets, FailsOnlyForThoseWhoAreConcerned) {
    Tickets tickets;
    std::vector<Action> out;
    tickets.add(Ticket{1}, for_slot(kSlot), out);
    tickets.add(Ticket{2}, for_slot({PoolId{2}, 0}), out);
    tickets.worker_failed(kSlot, "why", out);
    ASSERT_EQ(out.size(), 1U);
    EXPECT_EQ(reply_of(out).ticket, Ticket{1});
    EXPECT_EQ(reply_of(out).reason, "why");
    tickets.pool_given_up(PoolId{1}, "again", out);
    EXPECT_EQ(out.size(), 1U);
    tickets.pool_given_up(PoolId{2}, "given up", out);
    EXPECT_EQ(reply_of(out, 1).reason, "given up");
    EXPECT_EQ(tickets.size(), 0U);
}

TEST(Tickets, OneTooManyIsAnsweredAtOnceAndNotKept) {
    Tickets tickets;
    std::vector<Action> out;
    for (std::uint64_t number = 1; number <= kMostTickets; ++number) {
        tickets.add(Ticket{number}, for_slot(kSlot), out);
    }
    EXPECT_TRUE(out.empty());
    tickets.add(Ticket{kMostTickets + 1}, for_slot(kSlot), out);
    EXPECT_EQ(reply_of(out).result, Reply::Result::Failed);
    EXPECT_EQ(tickets.size(), kMostTickets);
}

TEST(Tickets, NobodyIsTicketZero) {
    Tickets tickets;
    std::vector<Action> out;
    tickets.add(Ticket{}, Wait{}, out);
    tickets.settle(out);
    reply(Ticket{}, Reply::Result::Done, "", {}, out);
    EXPECT_TRUE(out.empty());
}

}  // namespace
}  // namespace topsman::core
