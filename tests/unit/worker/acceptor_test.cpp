// Sharing a port: who gets which connection, and that none is lost.

#include "topsman/acceptor.hpp"

#include "shm/base/check.hpp"
#include "tests/unit/worker/herd.hpp"
#include "worker/registration.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <netinet/in.h>
#include <numeric>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace topsman {
namespace {

namespace asio = boost::asio;
using test::Herd;
using test::Member;

UniqueFd connect_to(std::uint16_t port) {
    UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    CHECK(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
          0);
    return client;
}

/// What the server sent before it closed: one byte, the number of the worker; -1: nothing in time.
int answer_of(const UniqueFd& client) {
    pollfd wanted{client.get(), POLLIN, 0};
    const auto ms = std::chrono::milliseconds(test::kPatience).count();
    char byte = 0;
    if (::poll(&wanted, 1, static_cast<int>(ms)) != 1 || ::recv(client.get(), &byte, 1, 0) != 1) {
        return -1;
    }
    return byte;
}

/// A server whose answer to every connection is its slot.
class Answerer {
  public:
    explicit Answerer(Worker worker)
        : worker_(worker),
          drain_(loop_, ::dup(worker.drain_fd())),
          acceptor_(Acceptor::open(loop_, worker, "http").value()) {}

    int run() {
        acceptor_.start([this](UniqueFd connection) {
            const InFlight request = worker_.in_flight();
            const char slot = static_cast<char>(worker_.slot());
            (void)::send(connection.get(), &slot, 1, MSG_NOSIGNAL);
        });
        drain_.async_wait(asio::posix::stream_descriptor::wait_read,
                          [this](const boost::system::error_code&) { acceptor_.stop(); });
        CHILD_EXPECT(worker_.ready());
        loop_.run();
        return 0;
    }

  private:
    Worker worker_;
    asio::io_context loop_;
    asio::posix::stream_descriptor drain_;
    Acceptor acceptor_;
};

/// A worker whose every request takes for ever, while its loop goes on.
int run_ever_busier() {
    asio::io_context loop;
    Worker worker = Worker::attach().value();
    asio::posix::stream_descriptor drain(loop, ::dup(worker.drain_fd()));
    auto acceptor = Acceptor::open(loop, worker, "http").value();
    std::vector<InFlight> requests;
    acceptor.start([&](UniqueFd connection) {
        requests.push_back(worker.in_flight());  // It never ends, but the loop goes on.
        const char slot = 0;
        (void)::send(connection.get(), &slot, 1, MSG_NOSIGNAL);
    });
    drain.async_wait(asio::posix::stream_descriptor::wait_read,
                     [&](const boost::system::error_code&) { acceptor.stop(); });
    CHILD_EXPECT(worker.ready());
    loop.run();
    return 0;
}

class AcceptorTest : public ::testing::Test {
  protected:
    AcceptorTest() : listener_(test::listen_somewhere(port_)) {
        herd_.show_listener(0, "http", listener_.get());
    }

    ~AcceptorTest() override {
        for (Member& member : members_) {
            EXPECT_EQ(::kill(member.pid, SIGTERM), 0);
            EXPECT_EQ(herd_.reap(member), 0);
        }
    }

    Member& start(const std::function<int()>& body) {
        members_.push_back(herd_.spawn({{{"http", listener_.get()}}}, body));
        EXPECT_EQ(Herd::next_message(members_.back()), "READY=1");
        return members_.back();
    }

    Member& start_answerer() {
        return start([] { return Answerer(Worker::attach().value()).run(); });
    }

    /// How many of `count` connections, one after the other, each slot answered.
    std::vector<int> ask(int count) {
        std::vector<int> answers(members_.size());
        for (int i = 0; i < count; ++i) {
            const int slot = answer_of(connect_to(port_));
            EXPECT_GE(slot, 0);
            if (slot >= 0) {
                ++answers.at(static_cast<std::size_t>(slot));
            }
        }
        return answers;
    }

    Herd herd_;
    std::uint16_t port_ = 0;
    UniqueFd listener_;
    std::deque<Member> members_;  // references to members stay valid
};

TEST_F(AcceptorTest, IdleWorkersTakeTurns) {
    for (int i = 0; i < 4; ++i) {
        (void)start_answerer();
    }
    // Until each of them waits for connections.
    std::vector<int> before(4);
    for (int round = 0; round < 1'000 && std::count(before.begin(), before.end(), 0) > 0; ++round) {
        const std::vector<int> one = ask(1);
        std::transform(one.begin(), one.end(), before.begin(), before.begin(), std::plus<>());
    }
    const std::vector<int> answers = ask(400);
    EXPECT_EQ(std::accumulate(answers.begin(), answers.end(), 0), 400);
    for (const int one : answers) {
        // Exactly 100 each on a quiet machine; one in four that gets hardly any is the old
        // unfairness.
        EXPECT_GE(one, 20);
    }
}

TEST_F(AcceptorTest, ManyAtOnceAreAllAnswered) {
    for (int i = 0; i < 3; ++i) {
        (void)start_answerer();
    }
    for (int round = 0; round < 10; ++round) {
        std::vector<UniqueFd> clients;
        for (int i = 0; i < 100; ++i) {
            clients.push_back(connect_to(port_));
        }
        for (const UniqueFd& client : clients) {
            EXPECT_GE(answer_of(client), 0);
        }
    }
}

TEST_F(AcceptorTest, WhatADeadWorkerDidNotAcceptIsAnotherOnes) {
    (void)start_answerer();
    Member dying = herd_.spawn({{{"http", listener_.get()}}}, [] {
        asio::io_context loop;
        Worker worker = Worker::attach().value();
        auto acceptor = Acceptor::open(loop, worker, "http").value();
        acceptor.start([](UniqueFd) { (void)::kill(::getpid(), SIGKILL); });
        CHILD_EXPECT(worker.ready());
        loop.run();
        return 1;
    });
    EXPECT_EQ(Herd::next_message(dying), "READY=1");
    // On a busy machine it may take a while until it is its turn.
    int answered = 0;
    while (answer_of(connect_to(port_)) >= 0 && answered < 100'000) {
        ++answered;
    }
    EXPECT_LT(answered, 100'000);  // It died of the one after these.
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(answer_of(connect_to(port_)), 0);
    }
    (void)herd_.reap(dying);
    for (const shm::LaneSet& waiting : herd_.segment().idle_lanes()) {
        EXPECT_FALSE(waiting.contains(dying.grant.lane));
    }
}

TEST_F(AcceptorTest, ABusyWorkerLeavesConnectionsToIdleOnes) {
    (void)start(run_ever_busier);
    EXPECT_EQ(ask(1), std::vector<int>{1});
    (void)start_answerer();
    // It had nobody to leave them to until now, so it may be waiting for one more; and so it is
    // whenever it looks while the other one, put off by a busy machine, is not in the queue again.
    // Two who take turns would have half each.
    const std::vector<int> answers = ask(50);
    EXPECT_EQ(answers[0] + answers[1], 50);
    EXPECT_LE(answers[0], 12);
}

TEST_F(AcceptorTest, ABusyWorkerWithAQueueOfItsOwnServesItAllTheSame) {
    herd_.show_listener(0, "http", listener_.get(), false);
    (void)start(run_ever_busier);
    // A sibling that waits at another socket of the same listener, idle.
    std::uint16_t other_port = 0;
    const UniqueFd other = test::listen_somewhere(other_port);
    members_.push_back(herd_.spawn({{{"http", other.get()}}},
                                   [] { return Answerer(Worker::attach().value()).run(); }));
    EXPECT_EQ(Herd::next_message(members_.back()), "READY=1");
    EXPECT_EQ(ask(20)[0], 20);
}

TEST_F(AcceptorTest, ABusyWorkerTakesWhatNobodyElseWould) {
    (void)start([] {
        asio::io_context loop;
        Worker worker = Worker::attach().value();
        asio::posix::stream_descriptor drain(loop, ::dup(worker.drain_fd()));
        const InFlight request = worker.in_flight();
        auto acceptor = Acceptor::open(loop, worker, "http").value();
        acceptor.start([&](UniqueFd connection) {
            const char slot = 0;
            (void)::send(connection.get(), &slot, 1, MSG_NOSIGNAL);
        });
        drain.async_wait(asio::posix::stream_descriptor::wait_read,
                         [&](const boost::system::error_code&) { acceptor.stop(); });
        CHILD_EXPECT(worker.ready());
        loop.run();
        return 0;
    });
    EXPECT_EQ(ask(20), std::vector<int>{20});
}

/// Stands before all workers in the listener's queue, is woken for the next connection and does not
/// take it: what a worker does that dies between the kernel's wake-up and its accept.
class Thief {
  public:
    explicit Thief(int listener) : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
        epoll_event event = {};
        event.events = EPOLLIN | EPOLLEXCLUSIVE;
        CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener, &event) == 0);
    }

    /// Until it is in the queue.
    void wait_for_the_next() {
        std::atomic<pid_t> id = 0;
        thread_ = std::jthread([this, &id] {
            id = ::gettid();
            epoll_event event = {};
            CHECK(::epoll_wait(epoll_.get(), &event, 1, -1) == 1);
        });
        const auto end = std::chrono::steady_clock::now() + test::kPatience;
        const std::string asleep = std::to_string(SYS_epoll_wait) + " ";
        for (std::string call; !call.starts_with(asleep);) {
            CHECK(std::chrono::steady_clock::now() < end);
            std::ifstream file("/proc/self/task/" + std::to_string(id) + "/syscall");
            std::getline(file, call);
        }
    }

    void go() {
        thread_.join();
        epoll_.reset();
    }

  private:
    UniqueFd epoll_;
    std::jthread thread_;
};

TEST_F(AcceptorTest, AsksAgainForConnectionsWhenTheMasterWakesIt) {
    Thief thief(listener_.get());
    Member& member = start_answerer();
    thief.wait_for_the_next();
    const UniqueFd client = connect_to(port_);
    thief.go();
    const std::uint64_t one = 1;
    ASSERT_EQ(::write(member.wake.get(), &one, sizeof one), 8);
    EXPECT_EQ(answer_of(client), 0) << "nobody else was woken for it";
}

TEST_F(AcceptorTest, SurvivesASiblingThatMakesTheSocketBlocking) {
    (void)start_answerer();
    (void)start_answerer();
    for (int i = 0; i < 10; ++i) {
        const int flags = ::fcntl(listener_.get(), F_GETFL);
        ASSERT_EQ(::fcntl(listener_.get(), F_SETFL, flags & ~O_NONBLOCK), 0);
        EXPECT_GE(answer_of(connect_to(port_)), 0);
    }
    EXPECT_NE(::fcntl(listener_.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(AcceptorTest, AfterDrainingTakesNoMore) {
    Member& first = start_answerer();
    (void)start_answerer();
    EXPECT_EQ(::kill(first.pid, SIGTERM), 0);
    EXPECT_EQ(herd_.reap(first), 0);
    members_.erase(members_.begin());
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(answer_of(connect_to(port_)), 1);
    }
}

TEST(RegistrationTest, FindsWhereAsioPutADescriptor) {
    asio::io_context loop;
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    EXPECT_FALSE(detail::find_registration(ends[0]));
    asio::posix::stream_descriptor reader(loop, ends[0]);
    const auto found = detail::find_registration(ends[0]);
    ASSERT_TRUE(found);
    EXPECT_GE(found->epoll, 0);
    EXPECT_NE(found->data, 0U);
    reader.close();
    EXPECT_FALSE(detail::find_registration(ends[0]));
    EXPECT_EQ(::close(ends[1]), 0);
}

}  // namespace
}  // namespace topsman
