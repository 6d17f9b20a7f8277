#include "supervisor/control/shared_view.hpp"

#include "shm/barrier.hpp"
#include "shm/bounded_counter.hpp"
#include "shm/event.hpp"
#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"
#include "tests/unit/control/control_test_helper.hpp"

#include <gtest/gtest.h>

#include <random>

namespace topsman::control {
namespace {

using shm::NameKind;

std::uint32_t add(shm::NameTable& names, const char* name, NameKind kind, std::uint32_t size = 0) {
    return names.find_or_add(name, kind, size, {.lane = 1, .generation = 1}, nullptr).value();
}

/// One of each kind.
void add_all(shm::Segment& segment) {
    auto& objects = segment.object_names();
    const auto place = segment.objects();
    place[add(objects, "phase", NameKind::Atomic, 4)].word[0].store(0xffff'ffffU);
    shm::BoundedCounter sold(place[add(objects, "sold", NameKind::BoundedCounter)]);
    sold.init(100);
    (void)sold.try_add(7);
    shm::RateLimit api(place[add(objects, "api", NameKind::RateLimit)]);
    api.init({.interval_ns = 3'600'000'000'000, .burst = 200});
    (void)api.allow(50, shm::monotonic_ns());
    shm::Event warm(place[add(objects, "warm", NameKind::Event)]);
    warm.init(shm::Reset::Manual);
    warm.set(segment.lanes());
    shm::Event(place[add(objects, "next", NameKind::Event)]).init(shm::Reset::Auto);
    auto& rows = segment.array_names();
    segment.arrays()[add(rows, "bins", NameKind::Array, 64)].init(8);
    shm::Semaphore db(segment.arrays()[add(rows, "db", NameKind::Semaphore)]);
    db.init(20);
    (void)db.try_acquire({.lane = 2, .generation = 1});
    shm::Barrier(segment.arrays()[add(rows, "start", NameKind::Barrier)]).init(4);
    for (std::uint64_t value = 1; value <= 30; ++value) {
        segment.histogram(0).record(static_cast<std::uint32_t>(1 + value % 3), value);
    }
    const shm::Channel news = segment.channel(0);
    news.set_slots(2);
    for (const std::uint32_t slot : {0U, 0U, 3U}) {
        EXPECT_TRUE(news.send({.lane = 2, .generation = 1}, slot, shm::Channel::Bytes{}));
    }
    segment.lanes()[1].word.store(shm::LaneWord{shm::LanePhase::Started, 1, 1}.pack());
    news.inbox(1).receiver.store(shm::Owner{.lane = 1, .generation = 1}.pack());
    (void)segment.blocks().allocate(1, {.lane = 2, .generation = 1});
}

TEST(SharedViewTest, EachKindSaysItsState) {
    HandMadeCluster cluster;
    add_all(cluster.segment());
    std::vector<std::string> lines;
    for (const SharedLine& line : read_shared(cluster.segment())) {
        lines.push_back(line.kind + " " + line.name + ": " + line.state);
        EXPECT_EQ(line.waiting, 0U);
        EXPECT_FALSE(line.numbers.empty());
    }
    EXPECT_EQ(lines,
              (std::vector<std::string>{
                  "atomic phase: -1", "bounded counter sold: 7 of 100",
                  "rate limit api: 150 of 200 left, one every 3600s", "event warm: set, manual",
                  "event next: not set, automatic", "array bins: 8 of 8 bytes",
                  "semaphore db: 1 of 20 taken", "barrier start: 0 of 4 have arrived",
                  "histogram time: p50 15, p99 30, max 30 of 30",
                  // NOLINTNEXTLINE(bugprone-suspicious-missing-comma): it is too long for a line
                  "channel news: 2 unread, 1 of 2 workers of web receive, 1 for slots that are "
                  "gone",
                  "blocks 4KiB: 1 of 3 in use"}));
}

TEST(SharedViewTest, BlocksWithANonsenseWordAreQuarantined) {
    HandMadeCluster cluster;
    shm::BlockPool pool = cluster.segment().blocks();
    ASSERT_TRUE(pool.allocate(1, {.lane = 1, .generation = 1}));
    ASSERT_TRUE(pool.allocate(1, {.lane = 0, .generation = 0}));  // owned by nobody
    const SharedLine line = read_shared(cluster.segment()).back();
    EXPECT_EQ(line.state, "1 of 3 in use, 1 quarantined");
    EXPECT_EQ(line.numbers, (decltype(line.numbers){
                                {"size", 4'096}, {"used", 1}, {"free", 1}, {"quarantined", 1}}));
}

TEST(SharedViewTest, WhoWaitsIsCounted) {
    HandMadeCluster cluster;
    add_all(cluster.segment());
    auto& waiting = reinterpret_cast<shm::LaneSet&>(cluster.segment().arrays()[1].parking[0]);
    waiting.insert(3);
    waiting.insert(5);
    const auto lines = read_shared(cluster.segment());
    ASSERT_EQ(lines.size(), 11U);
    EXPECT_EQ(lines[6].name, "db");
    EXPECT_EQ(lines[6].waiting, 2U);
}

TEST(SharedViewTest, WhateverTheWordsAreTheyAreShown) {
    HandMadeCluster cluster;
    shm::Segment& segment = cluster.segment();
    add_all(segment);
    std::mt19937_64 random(11);
    for (int round = 0; round < 100; ++round) {
        const bool is_ones = round % 4 == 0;
        for (shm::SharedObject& object : segment.objects().first(5)) {
            for (auto& word : object.word) {
                word.store(is_ones ? UINT64_MAX : random() >> (random() % 64));
            }
        }
        for (shm::SharedArrayStorage& array : segment.arrays().first(3)) {
            array.element_bytes = is_ones ? 8 : static_cast<std::uint32_t>(random());
            for (auto& word : array.word) {
                word.store(is_ones ? UINT64_MAX : random());
            }
        }
        for (std::uint32_t slot = 0; slot < 4; ++slot) {
            for (auto* word :
                 {&segment.channel(0).inbox(slot).tail, &segment.channel(0).inbox(slot).freed,
                  &segment.channel(0).inbox(slot).receiver}) {
                word->store(is_ones ? UINT64_MAX : random());
            }
        }
        for (auto& cell : segment.histogram(0).lanes()[2].cell) {
            cell.store(is_ones ? UINT64_MAX : random());
        }
        EXPECT_LE(read_shared(segment).size(), 11U);
    }
}

}  // namespace
}  // namespace topsman::control
