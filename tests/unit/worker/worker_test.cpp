// The worker and its supervisor: who it is, what it tells, how it ends.

#include "topsman/worker.hpp"

#include "tests/unit/worker/herd.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman {
namespace {

using test::Herd;
using test::Member;
using test::Signal;

bool is_readable_now(int fd) {
    pollfd wanted{fd, POLLIN, 0};
    return ::poll(&wanted, 1, 0) == 1;
}

TEST(WorkerTest, KnowsWhoItIs) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        const Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.is_supervised());
        CHILD_EXPECT(worker.has_segment());
        CHILD_EXPECT(worker.cluster() == "shop");
        CHILD_EXPECT(worker.name() == "web/0");
        CHILD_EXPECT(worker.id() == 100);
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkerTest, MarksItsLaneAsAttached) {
    Herd herd;
    Member member = herd.spawn({}, [] { return Worker::attach() ? 0 : 1; });
    siginfo_t info = {};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(member.pid), &info, WEXITED | WNOWAIT), 0);
    EXPECT_TRUE(herd.segment().lanes()[member.grant.lane].flags.load() & shm::kLaneAttached);
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkerTest, FindsItsListenersByNameAndKeepsThemFromExec) {
    Herd herd;
    std::uint16_t port = 0;
    const UniqueFd http = test::listen_somewhere(port);
    const UniqueFd admin = test::listen_somewhere(port);
    Member member = herd.spawn({{{"http", http.get()}, {"admin", admin.get()}}}, [] {
        const Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.listener("http").value() == 3);
        CHILD_EXPECT(worker.listener("admin").value() == 4);
        CHILD_EXPECT((::fcntl(3, F_GETFD) & FD_CLOEXEC) != 0);
        const auto none = worker.listener("https");
        CHILD_EXPECT(!none && none.error().message ==
                                  "listener https: not inherited (there is http, admin)");
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkerTest, TellsTheSupervisor) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.ready());
        CHILD_EXPECT(worker.status("3 connections\nREADY=1"));
        CHILD_EXPECT(worker.extend_timeout(std::chrono::seconds(2)));
        CHILD_EXPECT(worker.stopping());
        return 0;
    });
    EXPECT_EQ(Herd::next_message(member), "READY=1");
    EXPECT_EQ(Herd::next_message(member), "STATUS=3 connections READY=1");
    EXPECT_EQ(Herd::next_message(member), "EXTEND_TIMEOUT_USEC=2000000");
    EXPECT_EQ(Herd::next_message(member), "STOPPING=1");
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkerTest, IsToldWhenNobodyHears) {
    Herd herd;
    Member deaf = herd.spawn({{}, true, true, {{"NOTIFY_SOCKET", "/nowhere/at/all"}}}, [] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(!worker.ready());
        CHILD_EXPECT(worker.ready().error().code == std::errc::no_such_file_or_directory);
        return 0;
    });
    EXPECT_EQ(herd.reap(deaf), 0);
}

TEST(WorkerTest, DoesNotWaitForASupervisorThatHangs) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        for (int i = 0; i < 100'000; ++i) {  // Nobody reads: net.unix.max_dgram_qlen, unix(7)
            if (const auto done = worker.status("busy"); !done) {
                CHILD_EXPECT(done.error().code == std::errc::resource_unavailable_try_again);
                return 0;
            }
        }
        return 1;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkerTest, BeatsInItsLane) {
    Herd herd;
    Signal beaten;
    Signal seen;
    Member member = herd.spawn({{}, true, true, {{"WATCHDOG_USEC", "3000000"}}}, [&] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.watchdog_timeout() == std::chrono::seconds(3));
        worker.beat();
        beaten.give();
        seen.wait();
        return 0;
    });
    beaten.wait();
    EXPECT_GT(herd.segment().lanes()[member.grant.lane].heartbeat_ns.load(), 0U);
    EXPECT_FALSE(is_readable_now(member.notify.get()));
    seen.give();
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkerTest, WithoutASegmentBeatsByMessage) {
    Herd herd;
    Member member = herd.spawn({{}, false}, [] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.is_supervised() && !worker.has_segment());
        worker.beat();
        return 0;
    });
    EXPECT_EQ(Herd::next_message(member), "WATCHDOG=1");
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkerTest, DrainsOnTheStopSignal) {
    Herd herd;
    Signal attached;
    Member member = herd.spawn({}, [&] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(!worker.draining());
        attached.give();
        pollfd wanted{worker.drain_fd(), POLLIN, 0};
        while (::poll(&wanted, 1, -1) < 0) {  // EINTR: signal(7)
        }
        CHILD_EXPECT(worker.draining());
        return 0;
    });
    attached.wait();
    ASSERT_EQ(::kill(member.pid, SIGTERM), 0);
    siginfo_t info = {};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(member.pid), &info, WEXITED | WNOWAIT), 0);
    EXPECT_TRUE(herd.segment().lanes()[member.grant.lane].flags.load() & shm::kLaneDraining);
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkerTest, DrainsOnAnotherStopSignalWhenToldSo) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        AttachOptions options;
        options.stop_signal = SIGWINCH;
        Worker worker = Worker::attach(options).value();
        (void)::raise(SIGWINCH);
        CHILD_EXPECT(worker.draining());
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkerTest, LeavesTheStopSignalToAProgramThatWantsIt) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        AttachOptions options;
        options.handle_stop_signal = false;
        (void)Worker::attach(options).value();
        (void)::raise(SIGTERM);
        return 0;
    });
    const int status = herd.reap(member);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST(WorkerTest, CountsRequestsInFlightAndFinished) {
    Herd herd;
    Signal begun;
    Signal go_on;
    Signal ended;
    Signal leave;
    Member member = herd.spawn({}, [&] {
        Worker worker = Worker::attach().value();
        {
            const InFlight one = worker.in_flight();
            InFlight two = worker.in_flight();
            const InFlight moved = std::move(two);
            begun.give();
            go_on.wait();
        }
        ended.give();
        leave.wait();
        return 0;
    });
    const shm::Lane& lane = herd.segment().lanes()[member.grant.lane];
    begun.wait();
    EXPECT_EQ(lane.in_flight.load(), 2U);
    EXPECT_EQ(lane.requests.load(), 0U);
    go_on.give();
    ended.wait();
    EXPECT_EQ(lane.in_flight.load(), 0U);
    EXPECT_EQ(lane.requests.load(), 2U);
    leave.give();
    EXPECT_EQ(herd.reap(member), 0);
}

std::string words_of(Herd& herd, Member& member, int& status) {
    siginfo_t info = {};
    EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(member.pid), &info, WEXITED | WNOWAIT), 0);
    std::string words = herd.segment().last_words()[member.grant.lane].read();
    status = herd.reap(member);
    return words;
}

TEST(WorkerTest, LeavesItsLastWords) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        worker.last_words("the database is away");
        return 3;
    });
    int status = 0;
    EXPECT_EQ(words_of(herd, member, status), "the database is away");
}

TEST(WorkerTest, SaysWhereItCrashed) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.install_crash_handler());
        // NOLINTNEXTLINE(performance-no-int-to-ptr): an address where nothing is, to crash at.
        auto* const nowhere = reinterpret_cast<volatile int*>(std::uintptr_t{0x1238});
        *nowhere = 1;
        return 0;
    });
    int status = 0;
    EXPECT_EQ(words_of(herd, member, status), "SIGSEGV at 0x1238");
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(WorkerTest, SaysThatItWasAbortedUnlessItSaidWhy) {
    Herd herd;
    for (const bool says_why : {false, true}) {
        Member member = herd.spawn({}, [&] {
            Worker worker = Worker::attach().value();
            CHILD_EXPECT(worker.install_crash_handler());
            if (says_why) {
                worker.last_words("no such table: orders");
            }
            std::abort();
        });
        int status = 0;
        EXPECT_EQ(words_of(herd, member, status), says_why ? "no such table: orders" : "SIGABRT");
        EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

TEST(WorkerTest, RefusesALaneThatIsAnothers) {
    Herd herd;
    Member member = herd.spawn({{}, true, true, {{"TOPSMAN_LANE", "5:1"}}}, [] {
        const auto worker = Worker::attach();
        CHILD_EXPECT(!worker);
        CHILD_EXPECT(worker.error().message.starts_with("TOPSMAN_LANE: "));
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(WorkerTest, RefusesASegmentThatIsNone) {
    Herd herd;
    const int file = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    Member member =
        herd.spawn({{}, true, true, {{"TOPSMAN_SEGMENT_FD", std::to_string(file)}}}, [] {
            const auto worker = Worker::attach();
            CHILD_EXPECT(!worker);
            CHILD_EXPECT(worker.error().message.starts_with("TOPSMAN_SEGMENT_FD"));
            return 0;
        });
    EXPECT_EQ(herd.reap(member), 0);
    EXPECT_EQ(::close(file), 0);
}

}  // namespace
}  // namespace topsman
