// The worker library's prices, beside what a program would pay without it. Runs as a worker with a
// segment of its own; a second worker does the same meanwhile where that makes the difference.

#include "shm/base/check.hpp"
#include "tests/unit/worker/herd.hpp"
#include "topsman/worker.hpp"

#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <mutex>
#include <pthread.h>
#include <random>
#include <sys/mman.h>
#include <sys/wait.h>

namespace topsman {
namespace {

// Google Benchmark's loops store to a variable that nobody reads, and padding keeps words apart.
// NOLINTBEGIN(clang-analyzer-deadcode.DeadStores,clang-analyzer-optin.performance.Padding)

/// What the two processes share beside the segment.
struct Board {
    std::atomic<bool> shall_work;
    alignas(128) std::atomic<std::uint64_t> hot_word;
    alignas(128) pthread_mutex_t plain_mutex;
};

struct Value {
    std::uint64_t words[4];
};

Board* board = nullptr;

/// The second process: works from begin() to end().
struct Rival {
    test::Signal begins;
    test::Signal works;
    test::Signal ended;

    void begin() const {
        board->shall_work.store(true);
        begins.give();
        works.wait();
    }

    void end() const {
        board->shall_work.store(false);
        ended.wait();
    }
};

const Rival* counting_rival = nullptr;
const Rival* hot_rival = nullptr;

template <class Work>
int rival_main(const Rival& rival, Work&& work) {
    for (;;) {
        rival.begins.wait();
        rival.works.give();
        while (board->shall_work.load(std::memory_order_relaxed)) {
            for (int i = 0; i < 1'000; ++i) {
                work();
            }
        }
        rival.ended.give();
    }
}

Worker worker() {
    return Worker::attach().value();
}

void CounterAdd(benchmark::State& state) {
    Counter counter = worker().counter("orders").value();
    counting_rival->begin();
    for (auto _ : state) {
        counter.add();
        benchmark::ClobberMemory();
    }
    counting_rival->end();
}

BENCHMARK(CounterAdd);

void CounterAddFromThreads(benchmark::State& state) {
    Counter counter = worker().counter("orders").value();
    for (auto _ : state) {
        counter.add_from_threads();
    }
}

BENCHMARK(CounterAddFromThreads);

void FetchAddOnOneHotWord(benchmark::State& state) {
    hot_rival->begin();
    for (auto _ : state) {
        board->hot_word.fetch_add(1, std::memory_order_relaxed);
    }
    hot_rival->end();
}

BENCHMARK(FetchAddOnOneHotWord);

void MutexLockUnlock(benchmark::State& state) {
    Mutex mutex = worker().mutex("files", [] { return true; }).value();
    for (auto _ : state) {
        const std::scoped_lock hold(mutex);
        benchmark::ClobberMemory();
    }
}

BENCHMARK(MutexLockUnlock);

void MutexAcquire(benchmark::State& state) {
    Mutex mutex = worker().mutex("files", [] { return true; }).value();
    for (auto _ : state) {
        const auto hold = mutex.acquire();
        benchmark::ClobberMemory();
    }
}

BENCHMARK(MutexAcquire);

void PlainMutexLockUnlock(benchmark::State& state) {
    for (auto _ : state) {
        (void)::pthread_mutex_lock(&board->plain_mutex);
        benchmark::ClobberMemory();
        (void)::pthread_mutex_unlock(&board->plain_mutex);
    }
}

BENCHMARK(PlainMutexLockUnlock);

void TxCellRead(benchmark::State& state) {
    const auto cell = worker().cell<Value>("value", {}).value();
    for (auto _ : state) {
        benchmark::DoNotOptimize(cell.read());
    }
}

BENCHMARK(TxCellRead);

void TxCellUpdate(benchmark::State& state) {
    auto cell = worker().cell<Value>("value", {}).value();
    for (auto _ : state) {
        (void)cell.update([](Value& value) { ++value.words[0]; });
    }
}

BENCHMARK(TxCellUpdate);

constexpr std::size_t kMiB = 1'048'576;

void BlockHandOver(benchmark::State& state) {
    BlockPool blocks = worker().blocks().value();
    Block block = blocks.allocate(kMiB).value();
    for (auto _ : state) {
        block = blocks.take(std::move(block).pass()).value();
    }
    CHECK(block.data().size() == kMiB);
}

BENCHMARK(BlockHandOver);

void BlockAllocateRelease(benchmark::State& state) {
    BlockPool blocks = worker().blocks().value();
    for (auto _ : state) {
        const Block block = blocks.allocate(kMiB).value();
        benchmark::DoNotOptimize(block.data().data());
    }
}

BENCHMARK(BlockAllocateRelease);

void CopyOfOneMiB(benchmark::State& state) {
    const std::vector<std::byte> from(kMiB, std::byte{1});
    std::vector<std::byte> to(kMiB);
    for (auto _ : state) {
        std::memcpy(to.data(), from.data(), kMiB);
        benchmark::ClobberMemory();
    }
}

BENCHMARK(CopyOfOneMiB);

/// Calls `use` with one number after another, of very different sizes, as times are.
template <class Use>
void for_numbers(benchmark::State& state, Use&& use) {
    std::array<std::uint64_t, 1'024> numbers{};
    std::mt19937_64 random(7);
    for (std::uint64_t& number : numbers) {
        number = (std::uint64_t{1} << (10 + random() % 12)) + random() % 1'024;
    }
    std::size_t next = 0;
    for (auto _ : state) {
        use(numbers[next++ % numbers.size()]);
        benchmark::ClobberMemory();
    }
}

void NumbersAlone(benchmark::State& state) {
    for_numbers(state, [](std::uint64_t number) { benchmark::DoNotOptimize(number); });
}

BENCHMARK(NumbersAlone);

void HistogramRecord(benchmark::State& state) {
    Histogram time = worker().histogram("time").value();
    for_numbers(state, [&](std::uint64_t number) { time.record(number); });
}

BENCHMARK(HistogramRecord);

void HistogramRecordFromThreads(benchmark::State& state) {
    Histogram time = worker().histogram("time").value();
    for_numbers(state, [&](std::uint64_t number) { time.record_from_threads(number); });
}

BENCHMARK(HistogramRecordFromThreads);

void InFlightBeginEnd(benchmark::State& state) {
    Worker self = worker();
    for (auto _ : state) {
        const InFlight request = self.in_flight();
        benchmark::ClobberMemory();
    }
}

BENCHMARK(InFlightBeginEnd);

void Beat(benchmark::State& state) {
    Worker self = worker();
    for (auto _ : state) {
        self.beat();
    }
}

BENCHMARK(Beat);

Board* make_board() {
    void* pages =
        ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    auto* made = new (pages) Board();
    pthread_mutexattr_t attributes;
    CHECK(::pthread_mutexattr_init(&attributes) == 0);
    CHECK(::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(::pthread_mutex_init(&made->plain_mutex, &attributes) == 0);
    return made;
}

}  // namespace
}  // namespace topsman

int main(int argc, char** argv) {
    using namespace topsman;
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    board = make_board();
    test::Herd herd({}, {{{kMiB, 4}}});
    const Rival counting;
    const Rival hot;
    counting_rival = &counting;
    hot_rival = &hot;
    std::vector<test::Member> rivals;
    rivals.push_back(herd.spawn({}, [&] {
        Counter counter = worker().counter("orders").value();
        return rival_main(counting, [&] {
            counter.add();
            benchmark::ClobberMemory();
        });
    }));
    rivals.push_back(herd.spawn({}, [&] {
        return rival_main(hot, [] { board->hot_word.fetch_add(1, std::memory_order_relaxed); });
    }));
    test::Member self = herd.spawn({}, [] {
        benchmark::RunSpecifiedBenchmarks();
        return 0;
    });
    const int status = herd.reap(self);
    for (test::Member& rival : rivals) {
        (void)::kill(rival.pid, SIGKILL);
        (void)herd.reap(rival);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

// NOLINTEND(clang-analyzer-deadcode.DeadStores,clang-analyzer-optin.performance.Padding)
