// The job queue beside Boost's message_queue: 64 bytes submitted, taken and acknowledged; there
// they are sent and received, and nothing is acknowledged. Both wait where they must.
//
// In one process, then with as many producers as consumers, each a process. In one process beside
// what the processor itself needs: the exchanges of a job one after another, and its bytes copied
// in and out. Prints JSON: by name, nanoseconds for a job.
//
// `queue_bench tasks N`: a number goes to one of two worker processes and comes back, one greater,
// through a second queue, with 256 on their way. Prints JSON: tasks_per_s.

#include "shm/base/check.hpp"
#include "together.hpp"
#include "topsman/worker.hpp"

#include <boost/interprocess/ipc/message_queue.hpp>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace topsman {
namespace {

namespace bi = boost::interprocess;
using Item = std::array<std::byte, 64>;

constexpr std::uint32_t kCapacity = 1'024;
constexpr std::byte kLast{0xff};  // the item that ends a consumer

struct Ours {
    JobQueue queue = Worker::attach().value().queue("bench", {}).value();

    void put(const Item& item) { (void)queue.submit(item).value(); }

    void get(Item& item) {
        auto job = queue.take().value();
        std::memcpy(item.data(), job->item().data(), item.size());
        (void)job->ack().value();
    }
};

struct Boosts {
    static std::string name() { return "topsman.bench." + std::to_string(::getuid()); }

    bi::message_queue queue{bi::open_only, name().c_str()};

    void put(const Item& item) { queue.send(item.data(), item.size(), 0); }

    void get(Item& item) {
        std::size_t size = 0;
        unsigned priority = 0;
        queue.receive(item.data(), item.size(), size, priority);
        CHECK(size == item.size());
    }
};

template <class Queue>
int produce(std::uint64_t count) {
    Queue queue;
    Item item{};
    for (std::uint64_t i = 0; i < count; ++i) {
        queue.put(item);
    }
    item[0] = kLast;
    queue.put(item);
    return 0;
}

template <class Queue>
int consume() {
    Queue queue;
    Item item{};
    do {
        queue.get(item);
    } while (item[0] != kLast);
    return 0;
}

template <class Queue>
int both(std::uint64_t count) {
    Queue queue;
    Item item{};
    for (std::uint64_t i = 0; i < count; ++i) {
        queue.put(item);
        queue.get(item);
    }
    return 0;
}

template <class Queue>
double pairs(test::Herd& herd, std::uint64_t jobs, std::uint64_t count) {
    std::vector<std::function<int()>> work;
    for (std::uint64_t i = 0; i < count; ++i) {
        work.emplace_back([=] { return produce<Queue>(jobs / count); });
        work.emplace_back([] { return consume<Queue>(); });
    }
    return measure(herd, jobs, work);
}

template <class Queue>
double alone(test::Herd& herd, std::uint64_t jobs) {
    return measure(herd, jobs, {[=] { return both<Queue>(jobs); }});
}

/// A claim, an entry and a taker's claim cannot be less than an exchange each: several processes
/// want the same word. What is between them is left out: nothing is looked for, checked or told.
class BareExchanges {
  public:
    BareExchanges() {
        void* memory = ::mmap(nullptr, sizeof(Places), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        places_ = static_cast<Places*>(memory);
    }

    BareExchanges(const BareExchanges&) = delete;
    BareExchanges& operator=(const BareExchanges&) = delete;

    ~BareExchanges() { (void)::munmap(places_, sizeof(Places)); }

    [[nodiscard]] int run(std::uint64_t jobs) const {
        Item item{};
        for (std::uint64_t i = 0; i < jobs; ++i) {
            Place& place = places_->place[i % kPlaces];
            exchange(place.word, 0, i + 1);  // claim
            std::memcpy(place.bytes, item.data(), sizeof(place.bytes));
            exchange(places_->entry[i % kPlaces], i < kPlaces ? 0 : i + 1 - kPlaces, i + 1);
            exchange(place.word, i + 1, i + 2);  // take
            std::memcpy(item.data(), place.bytes, sizeof(place.bytes));
            place.word.store(0, std::memory_order_release);  // ack
        }
        return 0;
    }

  private:
    static constexpr std::size_t kPlaces = 64;

    struct alignas(shm::kCacheLine) Place {
        std::atomic<std::uint64_t> word;
        alignas(shm::kCacheLine / 2) std::byte bytes[sizeof(Item)];
    };

    struct Places {
        Place place[kPlaces];
        std::atomic<std::uint64_t> entry[kPlaces];
    };

    static void exchange(std::atomic<std::uint64_t>& word, std::uint64_t from, std::uint64_t to) {
        CHECK(word.compare_exchange_strong(from, to));
    }

    Places* places_;
};

double bare(test::Herd& herd, std::uint64_t jobs) {
    const BareExchanges exchanges;
    return measure(herd, jobs, {[&] { return exchanges.run(jobs); }});
}

constexpr std::uint64_t kNoTask = ~std::uint64_t{0};  // ends a worker
constexpr std::uint64_t kOnTheirWay = 256;

struct Tasks {
    JobQueue there = Worker::attach().value().queue("bench", {}).value();
    JobQueue back = Worker::attach().value().queue("back", {}).value();

    static void put(JobQueue& queue, std::uint64_t number) {
        (void)queue.submit(std::as_bytes(std::span(&number, 1))).value();
    }

    static std::uint64_t number_of(const Job& job) {
        std::uint64_t number = 0;
        CHECK(job.item().size() == sizeof(number));
        std::memcpy(&number, job.item().data(), sizeof(number));
        return number;
    }
};

int ask(std::uint64_t count, std::uint64_t workers) {
    Tasks tasks;
    std::uint64_t sum = 0;
    for (std::uint64_t asked = 0, answered = 0; answered < count; ++answered) {
        for (; asked < count && asked - answered < kOnTheirWay; ++asked) {
            Tasks::put(tasks.there, asked);
        }
        auto job = tasks.back.take().value();
        sum += Tasks::number_of(*job);
        (void)job->ack().value();
    }
    CHECK(sum == count * (count + 1) / 2);  // each one greater than what was asked
    for (std::uint64_t i = 0; i < workers; ++i) {
        Tasks::put(tasks.there, kNoTask);
    }
    return 0;
}

int answer() {
    Tasks tasks;
    for (;;) {
        auto job = tasks.there.take().value();
        const std::uint64_t number = Tasks::number_of(*job);
        if (number != kNoTask) {
            Tasks::put(tasks.back, number + 1);
        }
        (void)job->ack().value();
        if (number == kNoTask) {
            return 0;
        }
    }
}

int print_tasks(test::Herd& herd, std::uint64_t count) {
    const double ns =
        measure(herd, count,
                {[=] { return ask(count, 2); }, [] { return answer(); }, [] { return answer(); }});
    std::printf("{\"tasks_per_s\": %.0f}\n", 1e9 / ns);
    return 0;
}

}  // namespace
}  // namespace topsman

int main(int argc, char** argv) {
    using namespace topsman;
    const shm::QueueShape shape{.capacity = kCapacity, .item_size = sizeof(Item)};
    test::Herd herd({{"bench", shape}, {"back", shape}});
    if (argc > 2 && std::string_view(argv[1]) == "tasks") {
        return print_tasks(herd, std::strtoull(argv[2], nullptr, 10));
    }
    const std::uint64_t jobs = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
    const std::uint64_t rounds = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 5;
    (void)bi::message_queue::remove(Boosts::name().c_str());
    {
        const bi::message_queue queue(bi::create_only, Boosts::name().c_str(), kCapacity,
                                      sizeof(Item));
    }
    constexpr std::array kNames{"ours_1",        "boost_1",      "bare_1",       "ours_1_and_1",
                                "boost_1_and_1", "ours_2_and_2", "boost_2_and_2"};
    std::array<std::vector<double>, kNames.size()> times;
    // In turns: what disturbs one disturbs the other too.
    for (std::uint64_t i = 0; i < rounds; ++i) {
        times[0].push_back(alone<Ours>(herd, jobs));
        times[1].push_back(alone<Boosts>(herd, jobs));
        times[2].push_back(bare(herd, jobs));
        times[3].push_back(pairs<Ours>(herd, jobs, 1));
        times[4].push_back(pairs<Boosts>(herd, jobs, 1));
        times[5].push_back(pairs<Ours>(herd, jobs, 2));
        times[6].push_back(pairs<Boosts>(herd, jobs, 2));
    }
    (void)bi::message_queue::remove(Boosts::name().c_str());
    for (std::size_t i = 0; i < kNames.size(); ++i) {
        std::printf("%s\"%s\": %.2f", i == 0 ? "{" : ", ", kNames[i], median(times[i]));
    }
    std::printf("}\n");
    return 0;
}
