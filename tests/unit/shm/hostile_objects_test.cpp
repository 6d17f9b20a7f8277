// A worker that has gone wild writes anywhere: what other workers do with an object may then come
// to nothing, but it ends, and stays within the segment. And a header that lies is refused, or what
// it says lies within the segment.

#include "shm/barrier.hpp"
#include "shm/bounded_counter.hpp"
#include "shm/event.hpp"
#include "shm/header.hpp"
#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"
#include "shm_test_helper.hpp"

#include <cstring>
#include <functional>
#include <random>
#include <unistd.h>

namespace topsman::shm {
namespace {

/// All random, or one of few values that bounds are made of.
std::uint64_t wild(std::mt19937_64& random) {
    constexpr std::uint64_t kOdd[] = {0,
                                      1,
                                      2,
                                      63,
                                      64,
                                      65,
                                      1'022,
                                      1'023,
                                      1'024,
                                      0x7fff'ffff,
                                      0xffff'ffff,
                                      0x8000'0000'0000'0000,
                                      ~std::uint64_t{0},
                                      ~std::uint64_t{1}};
    return random() % 2 == 0 ? random() : kOdd[random() % std::size(kOdd)];
}

void fill(std::span<std::byte> bytes, std::mt19937_64& random) {
    for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
        const std::uint64_t word = wild(random);
        std::memcpy(bytes.data() + i, &word, sizeof(word));
    }
}

void spoil(Segment& segment, std::mt19937_64& random) {
    fill(std::as_writable_bytes(segment.objects()), random);
    fill(std::as_writable_bytes(segment.arrays()), random);
    // Whether anybody waits.
    for (Lane& lane : segment.lanes()) {
        lane.wake.store(static_cast<std::uint32_t>(wild(random)));
        lane.parked.store(static_cast<std::uint32_t>(wild(random)));
    }
}

class HostileObjectsTest : public testing::Test {
  protected:
    void each_round(const std::function<void()>& use) {
        std::mt19937_64 random(11);
        for (int round = 0; round < 200; ++round) {
            spoil(segment_, random);
            use();
        }
    }

    TestName name_;
    Segment segment_ = Segment::create(name_.options()).value();
    std::span<Lane> lanes_ = segment_.lanes();
    const Deadline past_ = Deadline::clock::now();
};

TEST_F(HostileObjectsTest, BoundedCounters) {
    each_round([this] {
        BoundedCounter counter(segment_.objects()[3]);
        (void)counter.try_add(1);
        (void)counter.subtract(lanes_, 1);
        (void)counter.add(lanes_, kMe.lane, 7, past_);
        (void)counter.value();
    });
}

TEST_F(HostileObjectsTest, RateLimits) {
    each_round([this] {
        RateLimit limit(segment_.objects()[4]);
        const std::uint64_t now = monotonic_ns();
        (void)limit.allow(1, now);
        (void)limit.allowed_at(3, now);
        EXPECT_LE(limit.available(now), limit.rule().burst);
    });
}

TEST_F(HostileObjectsTest, Events) {
    each_round([this] {
        Event event(segment_.objects()[5]);
        event.set(lanes_);
        (void)event.try_wait();
        event.reset();
        (void)event.wait(lanes_, kMe.lane, past_);
        (void)event.kind();
    });
}

TEST_F(HostileObjectsTest, Semaphores) {
    std::mt19937_64 random(12);
    each_round([this, &random] {
        Semaphore semaphore(segment_.arrays()[2]);
        EXPECT_LE(semaphore.permits(), Semaphore::kMostPermits);
        if (const auto permit = semaphore.try_acquire(kMe)) {
            EXPECT_LT(*permit, Semaphore::kMostPermits);
        }
        (void)semaphore.acquire(lanes_, kMe, past_);
        (void)semaphore.release(lanes_, kMe, static_cast<std::uint32_t>(wild(random)));
        EXPECT_LE(semaphore.taken(), Semaphore::kMostPermits);
        semaphore.sweep(kMe);
    });
}

TEST_F(HostileObjectsTest, Barriers) {
    each_round([this] {
        Barrier barrier(segment_.arrays()[3]);
        (void)barrier.arrive(lanes_, kMe, past_);
        (void)barrier.arrived();
        barrier.sweep(kMe);
    });
}

TEST_F(HostileObjectsTest, AHeaderIsRefusedOrWhatItSaysLiesWithin) {
    const TestName name;
    auto options = name.options(4);
    options.queues = {{"jobs", {.capacity = 20, .item_size = 16}}};
    options.blocks = {{{1'000, 20}}};
    options.histograms = {"time"};
    options.reserve = 65'536;
    auto segment = Segment::create(options).value();
    ASSERT_TRUE(segment.add_queue({"mails", {.capacity = 4, .item_size = 8}}));
    ASSERT_TRUE(segment.add_histogram("size"));
    ASSERT_TRUE(segment.add_channel({"news", "web", {2, 3, 16}}));
    ASSERT_TRUE(segment.add_blocks({64, 3}));
    auto* page = static_cast<std::byte*>(const_cast<void*>(segment.address()));
    std::vector<std::byte> whole(page, page + sizeof(Header));
    std::mt19937_64 random(13);
    int accepted = 0;
    for (int round = 0; round < 10'000; ++round) {
        for (std::uint64_t i = 0; i <= random() % 3; ++i) {
            // Behind the magic, which would only be refused.
            const std::size_t at = 8 + random() % (sizeof(Header) - 16);
            const std::uint64_t word = wild(random);
            std::memcpy(page + at, &word, 1 + random() % 8);
        }
        if (auto seen = Segment::attach(UniqueFd(::dup(segment.fd())))) {
            ++accepted;
            const std::byte* end = page + segment.size();
            const auto* begin = static_cast<const std::byte*>(seen->address());
            const auto is_within = [&](const void* last, std::size_t size) {
                const auto* byte = static_cast<const std::byte*>(last);
                return byte >= begin + kHeaderBytes &&
                       byte + size <= begin + static_cast<std::size_t>(end - page);
            };
            for (std::size_t i = 0; i < seen->queues().size(); ++i) {
                const JobQueue queue = seen->queue(i);
                const std::uint32_t last = queue.shape().capacity - 1;
                ASSERT_TRUE(is_within(queue.item(last), queue.shape().item_size)) << round;
            }
            for (std::size_t i = 0; i < seen->histograms().size(); ++i) {
                ASSERT_TRUE(is_within(&seen->histogram(i).lanes().back(), sizeof(HistogramCells)));
            }
            for (std::size_t i = 0; i < seen->channels().size(); ++i) {
                const Channel channel = seen->channel(i);
                ASSERT_TRUE(is_within(&channel.control(), channel_bytes(channel.shape()))) << round;
            }
            const BlockPool blocks = seen->blocks();
            for (std::uint32_t block = 0; block < blocks.blocks(); ++block) {
                const auto memory = blocks.memory({block, 0});
                ASSERT_TRUE(is_within(memory.data(), memory.size())) << round;
                (void)blocks.length({block, 0});
            }
            ASSERT_TRUE(is_within(&seen->lanes().back(), sizeof(Lane)));
            (void)segment.look_again();
        }
        std::memcpy(page, whole.data(), whole.size());
    }
    EXPECT_GT(accepted, 100) << "names and numbers that are of no matter";
    EXPECT_LT(accepted, 9'500);
}

}  // namespace
}  // namespace topsman::shm
