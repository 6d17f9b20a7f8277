#include "shm/histogram.hpp"

#include "shm/sweep.hpp"
#include "shm_test_helper.hpp"

#include <thread>
#include <vector>

namespace topsman::shm {
namespace {

TEST(HistogramTest, AllLanesAreTakenTogether) {
    std::vector<HistogramCells> lanes(4);
    const HistogramView view(lanes);
    view.record(1, 10);
    view.record(1, 10);
    view.record(3, 1'000'000);
    const LogLinearCounts counts = view.merged();
    EXPECT_EQ(counts.count(), 3U);
    EXPECT_EQ(counts.percentile(50), 10U);
    EXPECT_GE(counts.max(), 1'000'000U);
    EXPECT_LE(counts.max(), 1'062'500U);
}

TEST(HistogramTest, LanesDoNotShareCacheLines) {
    std::vector<HistogramCells> lanes(2);
    const auto last = reinterpret_cast<std::uintptr_t>(&lanes[0].cell[LogLinear::kBuckets - 1]);
    const auto first = reinterpret_cast<std::uintptr_t>(&lanes[1].cell[0]);
    EXPECT_NE(last / kCacheLine, first / kCacheLine);
}

Segment::Options with(const TestName& name, std::vector<std::string> histograms) {
    Segment::Options options = name.options(4);
    options.histograms = std::move(histograms);
    return options;
}

TEST(HistogramTest, WhatWasRecordedOutlivesItsWorker) {
    const TestName name;
    Segment segment = Segment::create(with(name, {"time", "size"})).value();
    EXPECT_EQ(segment.histograms().size(), 2U);
    EXPECT_EQ(segment.histograms()[1], "size");
    const LaneGrant grant = grant_lane(segment, 7, 0).value();
    ASSERT_TRUE(claim_lane(segment.lanes()[grant.lane], grant.generation, segment.epoch(), 77));
    segment.histogram(0).record(grant.lane, 5);
    segment.histogram(1).record(grant.lane, 6);
    sweep_lane(segment, grant.lane, grant.generation);
    EXPECT_EQ(segment.histogram(0).merged().percentile(50), 5U);
    EXPECT_EQ(segment.histogram(1).merged().percentile(50), 6U);
    const auto looker = Segment::open_read_only(name.get()).value();
    EXPECT_EQ(looker.histogram(1).merged().count(), 1U);
}

TEST(HistogramTest, OtherHistogramsNeedRoomInTheReserve) {
    const TestName name;
    ASSERT_TRUE(Segment::create(with(name, {"time"})));
    const auto adopted = Segment::adopt(with(name, {"size"}));
    ASSERT_FALSE(adopted);
    EXPECT_NE(adopted.error().message.find("histogram size"), std::string::npos);
    EXPECT_NE(adopted.error().message.find("segment.reserve"), std::string::npos);
    EXPECT_TRUE(Segment::adopt(with(name, {"time"})));
}

TEST(HistogramThreadsTest, ReadersSeeOnlyWhatWasRecorded) {
    std::vector<HistogramCells> lanes(3);
    const HistogramView view(lanes);
    std::vector<std::thread> writers;
    for (std::uint32_t lane = 1; lane <= 2; ++lane) {
        writers.emplace_back([&, lane] {
            for (std::uint64_t i = 0; i < 20'000; ++i) {
                view.record(lane, std::uint64_t{lane} * 100);
            }
        });
    }
    std::uint64_t before = 0;
    while (before < 40'000) {
        const std::uint64_t now = view.merged().count();
        ASSERT_GE(now, before);
        before = now;
        if (now != 0) {
            ASSERT_LE(view.merged().max(), 207U);
        }
    }
    for (std::thread& writer : writers) {
        writer.join();
    }
    EXPECT_EQ(view.merged().count(), 40'000U);
}

}  // namespace
}  // namespace topsman::shm
