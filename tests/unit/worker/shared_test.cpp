// What workers share: counters, gauges, the mutex, cells; and what their death leaves behind.

#include "tests/unit/worker/herd.hpp"
#include "topsman/worker.hpp"

#include <boost/interprocess/sync/scoped_lock.hpp>
#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <mutex>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace topsman {
namespace {

using test::Herd;
using test::Member;
using test::Signal;

bool always() {
    return true;
}

/// Does not come back.
int die() {
    (void)::kill(::getpid(), SIGKILL);
    return 1;
}

TEST(SharedTest, CountersAddUpOverWorkersAndDeaths) {
    Herd herd;
    for (int i = 0; i < 3; ++i) {
        Member member = herd.spawn({}, [] {
            Counter orders = Worker::attach().value().counter("orders").value();
            for (int n = 0; n < 1'000; ++n) {
                orders.add();
            }
            return die();
        });
        (void)herd.reap(member);
    }
    EXPECT_EQ(herd.counter("orders"), 3'000U);
}

TEST(SharedTest, ThreadsCountTogether) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Counter orders = Worker::attach().value().counter("orders").value();
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([=]() mutable {
                for (int n = 0; n < 10'000; ++n) {
                    orders.add_from_threads();
                }
            });
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
    EXPECT_EQ(herd.counter("orders"), 40'000U);
}

TEST(SharedTest, TotalsAreTheClusters) {
    Herd herd;
    Member first = herd.spawn({}, [] {
        Worker::attach().value().counter("orders").value().add(5);
        return 0;
    });
    EXPECT_EQ(herd.reap(first), 0);
    Member second = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        worker.counter("returns").value().add(2);
        (void)worker.gauge("open").value();
        const auto totals = worker.counter_totals();
        CHILD_EXPECT(totals.size() == 2);
        CHILD_EXPECT(totals[0].name == "orders" && totals[0].value == 5);
        CHILD_EXPECT(totals[1].name == "returns" && totals[1].value == 2);
        return 0;
    });
    EXPECT_EQ(herd.reap(second), 0);
}

TEST(SharedTest, AGaugeForgetsTheDead) {
    Herd herd;
    Signal set;
    Member member = herd.spawn({}, [&] {
        Gauge open = Worker::attach().value().gauge("open").value();
        open.add(7);
        open.sub(2);
        set.give();
        (void)::pause();
        return 0;
    });
    set.wait();
    EXPECT_EQ(herd.gauge("open"), 5);
    ASSERT_EQ(::kill(member.pid, SIGKILL), 0);
    (void)herd.reap(member);
    EXPECT_EQ(herd.gauge("open"), 0);
}

TEST(SharedTest, ANameMeansOneThing) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(worker.counter("orders"));
        CHILD_EXPECT(!worker.gauge("orders"));
        CHILD_EXPECT(!worker.counter("no spaces"));
        CHILD_EXPECT(worker.cell<int>("stock", 1));
        CHILD_EXPECT(!worker.cell<std::uint64_t>("stock", 1));
        CHILD_EXPECT(!worker.mutex("files", nullptr));
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(SharedTest, TheMutexKeepsOthersOut) {
    Herd herd;
    Signal held;
    Signal tried;
    Member holder = herd.spawn({}, [&] {
        Mutex files = Worker::attach().value().mutex("files", always).value();
        const std::scoped_lock hold(files);
        held.give();
        tried.wait();
        return 0;
    });
    held.wait();
    Member other = herd.spawn({}, [&] {
        Mutex files = Worker::attach().value().mutex("files", always).value();
        CHILD_EXPECT(!files.try_lock());
        CHILD_EXPECT(files.try_acquire().error().code == std::errc::device_or_resource_busy);
        CHILD_EXPECT(!files.try_lock_for(std::chrono::milliseconds(1)));
        const auto late = files.acquire_until(std::chrono::steady_clock::now());
        CHILD_EXPECT(late.error().code == std::errc::timed_out);
        CHILD_EXPECT(late.error().message == "mutex files: held by another");
        return 0;
    });
    EXPECT_EQ(herd.reap(other), 0);
    tried.give();
    EXPECT_EQ(herd.reap(holder), 0);
}

TEST(SharedTest, TheMutexWorksWithEveryGuard) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Mutex files = Worker::attach().value().mutex("files", always).value();
        { const std::scoped_lock hold(files); }
        { const std::unique_lock hold(files, std::chrono::milliseconds(10)); }
        { const boost::interprocess::scoped_lock<Mutex> hold(files); }
        {
            const boost::interprocess::scoped_lock<Mutex> hold(
                files, std::chrono::system_clock::now() + std::chrono::seconds(1));
            CHILD_EXPECT(hold.owns());
        }
        {
            Mutex::Guard guard = files.acquire().value();
            CHILD_EXPECT(files.acquire().error().code == std::errc::resource_deadlock_would_occur);
        }
        CHILD_EXPECT(files.try_lock());
        files.unlock();
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

Member spawn_holder_that_dies(Herd& herd) {
    return herd.spawn({}, [] {
        Mutex files = Worker::attach().value().mutex("files", always).value();
        files.lock();
        return die();
    });
}

TEST(SharedTest, TheNextHolderRepairsWhatADeadOneLeft) {
    Herd herd;
    Member dead = spawn_holder_that_dies(herd);
    (void)herd.reap(dead);
    Member next = herd.spawn({}, [] {
        int repairs = 0;
        const auto repair = [&] {
            ++repairs;
            return true;
        };
        Mutex files = Worker::attach().value().mutex("files", repair).value();
        CHILD_EXPECT(files.acquire());
        CHILD_EXPECT(files.acquire());
        CHILD_EXPECT(repairs == 1);
        return 0;
    });
    EXPECT_EQ(herd.reap(next), 0);
}

TEST(SharedTest, WhatCannotBeRepairedIsRefusedForEver) {
    Herd herd;
    Member dead = spawn_holder_that_dies(herd);
    (void)herd.reap(dead);
    for (int i = 0; i < 2; ++i) {
        Member next = herd.spawn({}, [] {
            Mutex files = Worker::attach().value().mutex("files", [] { return false; }).value();
            const auto hold = files.acquire();
            CHILD_EXPECT(hold.error().code == std::errc::state_not_recoverable);
            CHILD_EXPECT(hold.error().message.starts_with("mutex files: poisoned"));
            try {
                files.lock();
            } catch (const MutexError& error) {
                return error.code() == std::errc::state_not_recoverable ? 0 : 1;
            }
            return 1;
        });
        EXPECT_EQ(herd.reap(next), 0);
    }
    EXPECT_TRUE(herd.segment().mutexes()[0].is_poisoned());
}

TEST(SharedTest, AMutexThatWasOverwrittenIsRefusedAndSaysSo) {
    Herd herd;
    Member worker = herd.spawn({}, [&herd] {
        Mutex files = Worker::attach().value().mutex("files", [] { return true; }).value();
        std::memset(static_cast<void*>(&herd.segment().mutexes()[0]), 0xff,
                    sizeof(pthread_mutex_t));
        const auto hold = files.acquire();
        CHILD_EXPECT(hold.error().code == std::errc::state_not_recoverable);
        CHILD_EXPECT(hold.error().message.starts_with("mutex files: overwritten"));
        return 0;
    });
    EXPECT_EQ(herd.reap(worker), 0);
}

TEST(SharedTest, ARepairThatThrowsPoisons) {
    Herd herd;
    Member dead = spawn_holder_that_dies(herd);
    (void)herd.reap(dead);
    Member next = herd.spawn({}, [] {
        const auto repair = []() -> bool { throw std::runtime_error("no"); };
        Mutex files = Worker::attach().value().mutex("files", repair).value();
        try {
            files.lock();
        } catch (const std::runtime_error&) {
            return files.acquire() ? 1 : 0;
        }
        return 1;
    });
    EXPECT_EQ(herd.reap(next), 0);
}

struct Stock {
    std::int64_t left;
    std::int64_t sold;
};

TEST(SharedTest, ACellChangesAsAWholeOrNotAtAll) {
    Herd herd;
    for (int i = 0; i < 4; ++i) {
        Member dead = herd.spawn({}, [] {
            auto stock = Worker::attach().value().cell<Stock>("stock", {10, 0}).value();
            (void)stock.update([](Stock& s) {
                --s.left;
                ++s.sold;
            });
            (void)stock.update([](Stock& s) {
                --s.left;
                (void)die();
            });
            return 1;
        });
        (void)herd.reap(dead);
    }
    Member looker = herd.spawn({}, [] {
        auto cell = Worker::attach().value().cell<Stock>("stock", {99, 99}).value();
        const Stock stock = cell.read().value();
        CHILD_EXPECT(stock.left == 6 && stock.sold == 4);
        return 0;
    });
    EXPECT_EQ(herd.reap(looker), 0);
}

TEST(SharedTest, AChangeThatThrowsChangesNothing) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        auto stock = Worker::attach().value().cell<int>("stock", 10).value();
        try {
            (void)stock.update([](int& left) -> int {
                left = 0;
                throw std::runtime_error("no");
            });
        } catch (const std::runtime_error&) {
        }
        CHILD_EXPECT(stock.read().value() == 10);
        CHILD_EXPECT(stock.update([](int& left) { return --left; }).value() == 9);
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

/// Runs `body` in a forked child and returns true when it returned 0.
bool holds_in_a_child(const std::function<int()>& body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::_exit(body());
    }
    int status = 1;
    return ::waitpid(pid, &status, 0) == pid && status == 0;
}

int check_that_nothing_is_shared(Worker worker, Counter orders, Gauge open, Mutex files,
                                 TxCell<int> stock) {
    orders.add(1'000);
    open.set(1'000);
    worker.beat();
    worker.last_words("of the child");
    { const InFlight request = worker.in_flight(); }
    CHILD_EXPECT(!worker.has_segment());
    CHILD_EXPECT(files.acquire().error().code == std::errc::not_connected);
    CHILD_EXPECT(stock.update([](int& left) { left = 0; }).error().code ==
                 std::errc::not_connected);
    CHILD_EXPECT(stock.read().error().code == std::errc::not_connected);
    CHILD_EXPECT(worker.counter("orders").error().code == std::errc::not_connected);
    CHILD_EXPECT(worker.ready().error().code == std::errc::not_connected);
    CHILD_EXPECT(worker.counter_totals().empty());
    files.unlock();
    return 0;
}

TEST(SharedTest, AForkedChildSharesNothingAndDoesNotFault) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        Counter orders = worker.counter("orders").value();
        Gauge open = worker.gauge("open").value();
        Mutex files = worker.mutex("files", always).value();
        auto stock = worker.cell<int>("stock", 10).value();
        orders.add(1);
        open.set(1);
        {
            const auto hold = files.acquire();
            CHILD_EXPECT(holds_in_a_child(
                [&] { return check_that_nothing_is_shared(worker, orders, open, files, stock); }));
        }
        CHILD_EXPECT(orders.here() == 1);
        CHILD_EXPECT(open.here() == 1);
        CHILD_EXPECT(stock.read().value() == 10);
        CHILD_EXPECT(files.acquire());
        CHILD_EXPECT(worker.requests_in_flight() == 0);
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
    EXPECT_EQ(herd.counter("orders"), 1U);
}

TEST(SharedTest, TheStopSignalEndsAForkedChildAndLeavesItsParentAlone) {
    Herd herd;
    Member member = herd.spawn({}, [] {
        Worker worker = Worker::attach().value();
        const pid_t pid = ::fork();
        if (pid == 0) {
            (void)::raise(SIGTERM);
            ::_exit(0);
        }
        int status = 0;
        CHILD_EXPECT(::waitpid(pid, &status, 0) == pid);
        CHILD_EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
        CHILD_EXPECT(!worker.draining());
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(SharedTest, AProgramThatAWorkerStartedAttachesNothing) {
    Herd herd;
    Member member = herd.spawn({{}, true, false}, [] {
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(!worker.is_supervised() && !worker.has_segment());
        worker.counter("orders").value().add(1'000);
        CHILD_EXPECT(worker.ready());
        return 0;
    });
    EXPECT_EQ(herd.reap(member), 0);
    EXPECT_EQ(herd.counter("orders"), 0U);
}

}  // namespace
}  // namespace topsman
