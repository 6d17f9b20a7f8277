#include "shm/event_ring.hpp"

#include "shm_test_helper.hpp"

#include <memory>
#include <sys/wait.h>
#include <thread>

namespace topsman::shm {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

std::unique_ptr<EventRing> new_ring() {
    auto ring = std::make_unique<EventRing>();
    ring->init();
    return ring;
}

TEST(EventRingTest, EventsAreNumberedFromOneAndReadInOrder) {
    auto ring = new_ring();
    EXPECT_EQ(ring->last_seq(), 0U);
    EXPECT_TRUE(ring->read_since(0).empty());
    ring->append(R"({"event":"worker.spawned"})");
    ring->append(R"({"event":"worker.ready"})");
    const auto lines = ring->read_since(0);
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_EQ(lines[0].seq, 1U);
    EXPECT_EQ(lines[0].json, R"({"event":"worker.spawned"})");
    EXPECT_EQ(ring->read_since(1).front().json, R"({"event":"worker.ready"})");
    EXPECT_TRUE(ring->read_since(2).empty());
}

TEST(EventRingTest, TheNewestStayWhenItIsFull) {
    auto ring = new_ring();
    for (std::uint64_t i = 1; i <= kEventSlots + 10; ++i) {
        ring->append(std::to_string(i));
    }
    const auto lines = ring->read_since(0);
    ASSERT_EQ(lines.size(), kEventSlots);
    EXPECT_EQ(lines.front().seq, 11U);
    EXPECT_EQ(lines.front().json, "11");
    EXPECT_EQ(lines.back().json, std::to_string(kEventSlots + 10));
}

TEST(EventRingTest, TheLongestEventFits) {
    auto ring = new_ring();
    const std::string json(kEventBytes, 'x');
    ring->append(json);
    EXPECT_EQ(ring->read_since(0).front().json, json);
}

TEST(EventRingDeathTest, ALongerOneIsABug) {
    auto ring = new_ring();
    EXPECT_DEATH(ring->append(std::string(kEventBytes + 1, 'x')), "CHECK failed");
}

TEST(EventRingTest, WaitingEndsAtTheDeadline) {
    auto ring = new_ring();
    EXPECT_FALSE(ring->wait(0, steady_clock::now()));
    EXPECT_FALSE(ring->wait(0, steady_clock::time_point{} - seconds(1)));
    ring->append("{}");
    EXPECT_TRUE(ring->wait(0, steady_clock::now()));
    EXPECT_FALSE(ring->wait(1, steady_clock::now() + std::chrono::milliseconds(1)));
}

TEST(EventRingTest, AnotherProcessIsWokenThroughAReadOnlyMapping) {
    const TestName name;
    auto segment = Segment::create(name.options()).value();
    // Each side waits for the other's event, so neither can pass without having been woken.
    auto& answers = shared<EventRing>();
    answers.init();
    segment.events().append("{\"ping\":0}");
    const int status = in_child([&] {
        const auto looker = Segment::open_read_only(name.get()).value();
        std::thread master([&] {
            for (std::uint64_t i = 1; i <= 100; ++i) {
                EXPECT_TRUE(answers.wait(i - 1, steady_clock::now() + seconds(30)));
                segment.events().append("{}");
            }
        });
        for (std::uint64_t i = 1; i <= 100; ++i) {
            answers.append("{}");
            EXPECT_TRUE(looker.events().wait(i, steady_clock::now() + seconds(30)));
        }
        master.join();
    });
    EXPECT_EQ(status, 0);
    EXPECT_EQ(segment.events().last_seq(), 101U);
}

TEST(EventRingThreadsTest, ReadersSeeWholeEventsWhileTheMasterWrites) {
    auto ring = new_ring();
    std::atomic<bool> is_done{false};
    std::thread writer([&] {
        for (std::uint64_t i = 1; i <= 20'000; ++i) {
            ring->append(std::string(1 + i % 400, static_cast<char>('a' + i % 26)));
        }
        is_done.store(true);
    });
    std::uint64_t wrong = 0;
    std::uint64_t since = 0;
    do {
        for (const EventLine& line : ring->read_since(since)) {
            wrong += line.seq <= since ? 1U : 0U;
            since = line.seq;
            const std::string expected(1 + line.seq % 400, static_cast<char>('a' + line.seq % 26));
            wrong += line.json != expected ? 1U : 0U;
        }
    } while (!is_done.load() || since < ring->last_seq());
    writer.join();
    EXPECT_EQ(wrong, 0U);
}

}  // namespace
}  // namespace topsman::shm
