#include "supervisor/posix/accept_queue.hpp"

#include "supervisor/posix/listener.hpp"
#include "tests/unit/posix/support.hpp"

#include <gmock/gmock.h>

#include <sys/socket.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

class AcceptQueueTest : public testing::TestWithParam<std::string> {
  protected:
    AcceptQueueTest() {
        const std::string word = GetParam();
        listener_ = bind(word == "unix" ? "unix:" + dir_.path("a.sock") : word);
    }

    static BoundListener bind(const std::string& address, std::uint32_t backlog = 16) {
        config::Listener spec;
        spec.name = "http";
        spec.address = address;
        spec.backlog = backlog;
        std::vector<UniqueFd> none;
        return std::move(bind_listeners({spec}, none, 1).value().front());
    }

    [[nodiscard]] int socket() const { return listener_.sockets.front().get(); }

    test::TempDir dir_;
    BoundListener listener_;
};

TEST_P(AcceptQueueTest, ANudgeIsOneConnectionThatWaitsAndSaysNothing) {
    EXPECT_EQ(waiting_connections(socket()), 0U);
    for (const std::uint32_t waiting : {1U, 2U}) {
        auto made = nudge(socket());
        ASSERT_TRUE(made) << made.error().message;
        EXPECT_FALSE(*made) << "closed at once";
        EXPECT_EQ(waiting_connections(socket()), waiting);
    }
    const UniqueFd accepted(::accept(socket(), nullptr, nullptr));
    ASSERT_TRUE(accepted);
    EXPECT_EQ(waiting_connections(socket()), 1U);
    char byte = 0;
    EXPECT_EQ(::read(accepted.get(), &byte, 1), 0);
}

TEST_P(AcceptQueueTest, ThatNobodyWaitsIsCertainOfTcpAlone) {
    EXPECT_EQ(is_surely_empty(socket()), GetParam() != "unix");
    ASSERT_TRUE(nudge(socket()));
    EXPECT_FALSE(is_surely_empty(socket()));
    const UniqueFd accepted(::accept(socket(), nullptr, nullptr));
    EXPECT_EQ(is_surely_empty(socket()), GetParam() != "unix");
}

TEST_P(AcceptQueueTest, EachSocketHasAQueueOfItsOwn) {
    const BoundListener other = bind("127.0.0.1:0");
    ASSERT_TRUE(nudge(other.sockets.front().get()));
    EXPECT_EQ(waiting_connections(socket()), 0U);
}

INSTANTIATE_TEST_SUITE_P(, AcceptQueueTest,
                         testing::Values("127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0", "unix"));

TEST(AcceptQueue, AFullOneIsAnErrorOrAConnectionStillToBeMadeNeverAWait) {
    const test::TempDir dir;
    config::Listener spec;
    spec.name = "http";
    spec.backlog = 1;
    spec.address = "unix:" + dir.path("a.sock");
    std::vector<UniqueFd> none;
    const auto full_unix = bind_listeners({spec}, none, 1).value();
    spec.address = "127.0.0.1:0";
    const auto full_tcp = bind_listeners({spec}, none, 1).value();
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(nudge(full_unix.front().sockets.front().get()));
        ASSERT_TRUE(nudge(full_tcp.front().sockets.front().get()));
    }
    const auto refused = nudge(full_unix.front().sockets.front().get());
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, testing::HasSubstr(dir.path("a.sock")));
    const auto pending = nudge(full_tcp.front().sockets.front().get());
    ASSERT_TRUE(pending);
    EXPECT_TRUE(*pending);
}

TEST(AcceptQueue, WhatIsNoListenerHasNone) {
    EXPECT_EQ(waiting_connections(-1), 0U);
    EXPECT_FALSE(nudge(-1));
}

}  // namespace
}  // namespace topsman::posix
