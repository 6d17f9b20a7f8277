// The SDK in a process that nobody supervises.

#include "tests/unit/worker/herd.hpp"
#include "topsman/worker.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace topsman {
namespace {

/// Attaching is for the whole process and for ever, hence a child for each test.
int status_of(const std::function<int()>& body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        for (const char* name : {"TOPSMAN_PID", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_USEC"}) {
            (void)::unsetenv(name);
        }
        ::_exit(body());
    }
    int status = 1;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return status;
}

TEST(AloneTest, EverythingWorksForOneProcess) {
    EXPECT_EQ(status_of([] {
                  Worker worker = Worker::attach().value();
                  CHILD_EXPECT(!worker.is_supervised() && !worker.has_segment());
                  CHILD_EXPECT(worker.name() == "alone");
                  CHILD_EXPECT(worker.ready() && worker.status("fine") && worker.stopping());
                  CHILD_EXPECT(worker.watchdog_timeout().count() == 0);
                  worker.beat();
                  worker.last_words("to nobody");
                  CHILD_EXPECT(worker.listeners().empty() && !worker.listener("http"));
                  { const InFlight request = worker.in_flight(); }
                  return 0;
              }),
              0);
}

TEST(AloneTest, CountersCountAndCellsChange) {
    EXPECT_EQ(status_of([] {
                  Worker worker = Worker::attach().value();
                  worker.counter("orders").value().add(3);
                  worker.counter("orders").value().add(4);
                  CHILD_EXPECT(worker.counter_totals().at(0).value == 7);
                  auto stock = worker.cell<int>("stock", 2).value();
                  CHILD_EXPECT(stock.update([](int& left) { return --left; }).value() == 1);
                  CHILD_EXPECT(worker.cell<int>("stock", 9).value().read().value() == 1);
                  return 0;
              }),
              0);
}

TEST(AloneTest, TheMutexKeepsThreadsApart) {
    EXPECT_EQ(status_of([] {
                  Worker worker = Worker::attach().value();
                  Mutex files = worker.mutex("files", [] { return true; }).value();
                  const auto hold = files.acquire();
                  bool is_busy = false;
                  std::thread([&] { is_busy = !files.try_lock(); }).join();
                  CHILD_EXPECT(is_busy);
                  return 0;
              }),
              0);
}

TEST(AloneTest, TheStopSignalDrains) {
    EXPECT_EQ(status_of([] {
                  Worker worker = Worker::attach().value();
                  (void)::raise(SIGTERM);
                  CHILD_EXPECT(worker.draining());
                  return 0;
              }),
              0);
}

TEST(AloneTest, AttachingAgainIsTheSameWorker) {
    EXPECT_EQ(status_of([] {
                  Worker one = Worker::attach().value();
                  Worker two = Worker::attach().value();
                  one.begin_drain();
                  CHILD_EXPECT(two.draining());
                  return 0;
              }),
              0);
}

TEST(AloneTest, ANotifySocketOfSystemdIsUsed) {
    test::Herd herd;
    test::Member member = herd.spawn({}, [] {
        for (const char* name : {"TOPSMAN_PID", "TOPSMAN_SEGMENT_FD", "TOPSMAN_LANE"}) {
            (void)::unsetenv(name);
        }
        Worker worker = Worker::attach().value();
        CHILD_EXPECT(!worker.is_supervised());
        CHILD_EXPECT(worker.ready());
        return 0;
    });
    EXPECT_EQ(test::Herd::next_message(member), "READY=1");
    EXPECT_EQ(herd.reap(member), 0);
}

TEST(AloneTest, AFullTableIsAnErrorAndNotAnEnd) {
    EXPECT_EQ(status_of([] {
                  Worker worker = Worker::attach().value();
                  for (std::uint32_t i = 0; i < shm::kMaxMetrics; ++i) {
                      CHILD_EXPECT(worker.counter("c" + std::to_string(i)));
                  }
                  const auto more = worker.counter("one_more");
                  CHILD_EXPECT(!more && more.error().code == std::errc::no_buffer_space);
                  CHILD_EXPECT(worker.counter("c7"));
                  return 0;
              }),
              0);
}

}  // namespace
}  // namespace topsman
