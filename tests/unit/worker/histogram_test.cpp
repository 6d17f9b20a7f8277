// Histograms over workers that come and go.

#include "topsman/histogram.hpp"

#include "shm/histogram.hpp"
#include "tests/unit/worker/herd.hpp"
#include "topsman/worker.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace topsman {
namespace {

using std::chrono::microseconds;
using test::Herd;
using test::Member;

TEST(HistogramTest, WhatAKilledWorkerRecordedStaysAndTheNextGoesOn) {
    Herd herd;
    Member victim = herd.spawn({}, [] {
        Histogram time = Worker::attach().value().histogram("time").value();
        for (std::uint64_t value = 1; value <= 10; ++value) {
            time.record(value);
        }
        (void)::kill(::getpid(), SIGKILL);
        return 0;
    });
    EXPECT_TRUE(WIFSIGNALED(herd.reap(victim)));
    Member next = herd.spawn({}, [] {
        Histogram time = Worker::attach().value().histogram("time").value();
        CHILD_EXPECT(time.snapshot().count() == 10);
        time.record(30);
        CHILD_EXPECT(time.snapshot().percentile(50) == 6);
        return 0;
    });
    EXPECT_EQ(herd.reap(next), 0);
    EXPECT_EQ(next.grant.lane, victim.grant.lane);
    const LogLinearCounts seen = herd.segment().histogram(0).merged();
    EXPECT_EQ(seen.count(), 11U);
    EXPECT_EQ(seen.percentile(50), 6U);
    EXPECT_EQ(seen.max(), 30U);
    EXPECT_EQ(herd.segment().histogram(1).merged().count(), 0U) << "the other one is its own";
}

TEST(HistogramTest, DurationsAreNanosecondsAndNoneIsBelowZero) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Histogram time = Worker::attach().value().histogram("time").value();
        time.record(microseconds(-1));
        time.record(microseconds(1'000));
        time.record_from_threads(microseconds(1'000));
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
    const LogLinearCounts seen = herd.segment().histogram(0).merged();
    EXPECT_EQ(seen.percentile(1), 0U);
    EXPECT_GE(seen.max(), 1'000'000U);
    EXPECT_LE(seen.max(), 1'062'500U);
}

TEST(HistogramTest, ThreadsLoseNothing) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Histogram time = Worker::attach().value().histogram("time").value();
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; ++i) {
            threads.emplace_back([time]() mutable {
                for (int n = 0; n < 10'000; ++n) {
                    time.record_from_threads(7);
                }
            });
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
        CHILD_EXPECT(time.snapshot().count() == 30'000);
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(HistogramTest, OneThatIsNotDeclaredIsRefusedWithWhatToWrite) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        const auto none = Worker::attach().value().histogram("lag");
        CHILD_EXPECT(!none && none.error().code == std::errc::invalid_argument);
        CHILD_EXPECT(none.error().message ==
                     "histogram lag: the cluster has none of that name: write `shared: { "
                     "histograms: [lag] }` in its file");
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(HistogramTest, AForkedChildRecordsNothing) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        Histogram time = worker.histogram("time").value();
        time.record(1);
        const pid_t child = ::fork();
        if (child == 0) {
            time.record(1);
            ::_exit(worker.histogram("time").error().code == std::errc::not_connected ? 0 : 1);
        }
        int status = -1;
        (void)::waitpid(child, &status, 0);
        CHILD_EXPECT(status == 0);
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
    EXPECT_EQ(herd.segment().histogram(0).merged().count(), 1U);
}

}  // namespace
}  // namespace topsman
