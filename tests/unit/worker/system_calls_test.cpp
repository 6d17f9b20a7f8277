// Where nobody has to be woken, nothing of the worker library makes a system call. The kernel
// judges: after some turns to warm up a filter ends the process with its first one.

#include "tests/unit/worker/herd.hpp"
#include "topsman/worker.hpp"

#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <ctime>
#include <functional>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <memory>
#include <mutex>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman {
namespace {

constexpr int kTurns = 10'000;
constexpr int kFailed = 255;  // the exit code of one that has not done what it should

/// One turn of an operation; false: it failed.
using Turn = std::function<bool()>;
using Prepare = std::function<Turn(Worker&)>;

/// Ends the process with the number of the system call and one more.
void end_with_number(int /*signal*/, siginfo_t* info, void* /*context*/) {
    ::_exit(std::min(info->si_syscall + 1, kFailed - 1));
}

bool forbid_system_calls() {
    struct sigaction action {};

    action.sa_sigaction = &end_with_number;
    action.sa_flags = SA_SIGINFO;
    std::array<sock_filter, 4> filter{{
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_exit_group},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRAP},
    }};
    const sock_fprog program{filter.size(), filter.data()};
    return ::sigaction(SIGSYS, &action, nullptr) == 0 &&
           ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// 0: none. Else that of the first one, or what has failed.
int first_system_call(const Prepare& prepare) {
    test::Herd herd;
    test::Member member = herd.spawn({}, [&prepare] {
        Worker worker = Worker::attach().value();
        const Turn turn = prepare(worker);
        bool is_done = true;
        for (int i = 0; i < 10; ++i) {
            is_done = turn() && is_done;
        }
        CHILD_EXPECT(is_done && forbid_system_calls());
        for (int i = 0; i < kTurns; ++i) {
            is_done = turn() && is_done;
        }
        ::_exit(is_done ? 0 : kFailed);
    });
    const int status = herd.reap(member);
    return WIFEXITED(status) ? WEXITSTATUS(status) : kFailed;
}

bool read_clock() {
    timespec now{};
    return ::clock_gettime(CLOCK_MONOTONIC, &now) == 0;
}

class SystemCallsTest : public testing::Test {
  protected:
    void SetUp() override {
        if (first_system_call([](Worker& /*worker*/) { return &read_clock; }) != 0) {
            GTEST_SKIP() << "the clock of this machine is read by a system call, or there is no "
                            "seccomp(2)";
        }
    }

    static void expect_none(const Prepare& prepare) {
        const int code = first_system_call(prepare);
        EXPECT_NE(code, kFailed) << "it does not work";
        EXPECT_EQ(code, 0) << "system call " << code - 1;
    }
};

TEST_F(SystemCallsTest, TheJudgeSeesOne) {
    EXPECT_EQ(first_system_call(
                  [](Worker& /*worker*/) { return [] { return ::syscall(SYS_getppid) > 0; }; }),
              SYS_getppid + 1);
}

TEST_F(SystemCallsTest, CountersAndGauges) {
    expect_none([](Worker& worker) -> Turn {
        return [counter = worker.counter("orders").value(),
                gauge = worker.gauge("load").value()]() mutable {
            counter.add();
            counter.add_from_threads();
            gauge.add();
            gauge.sub();
            gauge.set(3);
            return gauge.here() == 3 && counter.here() != 0;
        };
    });
}

TEST_F(SystemCallsTest, Histograms) {
    expect_none([](Worker& worker) -> Turn {
        return [time = worker.histogram("time").value()]() mutable {
            time.record(17);
            time.record_from_threads(std::chrono::microseconds(3));
            return true;
        };
    });
}

TEST_F(SystemCallsTest, AtomicsAndArrays) {
    expect_none([](Worker& worker) -> Turn {
        return [number = worker.atomic<int>("number").value(),
                array = worker.array<long>("array", 16).value()]() mutable {
            const int before = number.fetch_add(1);
            array[3].store(before);
            return number.notify() == 0 && array[3].notify_all() == 0 &&
                   number.wait(before).value() == before + 1;
        };
    });
}

TEST_F(SystemCallsTest, TxCells) {
    expect_none([](Worker& worker) -> Turn {
        return [cell = worker.cell<int>("cell", 0).value()]() mutable {
            return cell.update([](int& n) { return ++n; }).value() == cell.read().value();
        };
    });
}

TEST_F(SystemCallsTest, Mutexes) {
    expect_none([](Worker& worker) -> Turn {
        return [mutex = worker.mutex("stock", [] { return true; }).value()]() mutable {
            { const std::scoped_lock hold(mutex); }
            return mutex.try_acquire().has_value();
        };
    });
}

TEST_F(SystemCallsTest, Semaphores) {
    expect_none([](Worker& worker) -> Turn {
        return [db = worker.semaphore("db", 3).value()]() mutable {
            const auto one = db.acquire();
            const auto two = db.try_acquire();
            return one && two && db.taken() == 2;
        };
    });
}

TEST_F(SystemCallsTest, BoundedCounters) {
    expect_none([](Worker& worker) -> Turn {
        return [sold = worker.bounded_counter("sold", 2).value()]() mutable {
            return sold.try_add(2) && !sold.try_add() && sold.subtract(2);
        };
    });
}

TEST_F(SystemCallsTest, RateLimits) {
    expect_none([](Worker& worker) -> Turn {
        using std::chrono::microseconds;
        return [api = worker.rate_limiter("api", microseconds(1), 1'000'000).value()]() mutable {
            return api.allow() && !api.allow(1'000'001);
        };
    });
}

TEST_F(SystemCallsTest, EventsAndBarriers) {
    expect_none([](Worker& worker) -> Turn {
        return [warm = worker.event("warm", EventReset::Auto).value(),
                start = worker.barrier("start", 1).value()]() mutable {
            warm.set();
            return warm.wait() && !warm.try_wait() && start.arrive().value();
        };
    });
}

TEST_F(SystemCallsTest, JobQueues) {
    expect_none([](Worker& worker) -> Turn {
        return [jobs = worker.queue("jobs").value()]() mutable {
            const auto deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
            bool is_done = jobs.submit("a").has_value() &&
                           jobs.try_submit("b", {.deadline = deadline}).has_value();
            for (int i = 0; i < 2; ++i) {
                auto job = jobs.take().value();
                is_done = is_done && job->ack();
            }
            return is_done && !jobs.try_take().value();
        };
    });
}

TEST_F(SystemCallsTest, Channels) {
    expect_none([](Worker& worker) -> Turn {
        return [news = worker.channel("own").value()]() mutable {
            bool is_done = news.send(To::slot(0), "a").value() == 1 &&
                           news.try_send(To::any(), "b").value() == 1 &&
                           news.send(To::all(), "c").value() == 0;
            for (int i = 0; i < 2; ++i) {
                auto message = news.receive().value();
                is_done = is_done && message->ack();
            }
            return is_done && !news.try_receive().value();
        };
    });
}

TEST_F(SystemCallsTest, Blocks) {
    expect_none([](Worker& worker) -> Turn {
        return [blocks = worker.blocks().value()]() mutable {
            Block block = blocks.allocate(4'000).value();
            const BlockTicket ticket = std::move(block).pass();
            const SharedBlock published = blocks.take(ticket).value().share();
            return blocks.open(published.ticket()).has_value();
        };
    });
}

TEST_F(SystemCallsTest, WhatARequestNeeds) {
    expect_none([](Worker& worker) -> Turn {
        return [worker]() mutable {
            const auto busy = worker.in_flight();
            worker.beat();
            return !worker.draining() && worker.requests_in_flight() == 1;
        };
    });
}

}  // namespace
}  // namespace topsman
