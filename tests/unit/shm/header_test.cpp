#include "shm/header.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace topsman::shm {
namespace {

constexpr std::uint32_t kLanes = 4;
const NamedQueue kSmallMails{"mails", {.capacity = 4, .item_size = 8}};

class HeaderTest : public testing::Test {
  protected:
    HeaderTest() {
        header_.magic.store(kMagic);
        header_.abi_hash = abi_hash();
        header_.layout_version = kLayoutVersion;
        header_.lanes = kLanes;
        header_.pid_namespace = place_.pid_namespace;
        place_.boot_id.copy(header_.boot_id, kBootIdBytes - 1);
        Layout shape;
        shape.lanes = kLanes;
        shape.queues = {{"thumbnails", {100, 60, 3}}};
        header_.queues[0] = {"thumbnails", 100, 60, 3, 1, 0, 0};
        shape.blocks = {{{1'000, 3}, {4'096, 2}}};
        std::copy(shape.blocks.begin(), shape.blocks.end(), header_.blocks);
        shape.histograms = {"time", "size"};
        std::strcpy(header_.histograms[0], "time");
        std::strcpy(header_.histograms[1], "size");
        shape.channels = {{"news", "web", {3, 5, 40, Delivery::AtMostOnce}}};
        header_.channels[0] = {"news", "web", 3, 5, 40, Delivery::AtMostOnce};
        for (const auto& [kind, count] : {std::pair{Late::Queue, 1U},
                                          {Late::Blocks, 2U},
                                          {Late::Histogram, 2U},
                                          {Late::Channel, 1U}}) {
            made_with(kind) = count;
        }
        shape.reserve = queue_bytes(kSmallMails.shape);
        std::uint64_t offset = kHeaderBytes;
        for (std::size_t i = 0; i < kParts; ++i) {
            const std::size_t size = part_size(static_cast<Part>(i), shape);
            header_.directory[i] = {offset, size};
            offset += (size + kCacheLine - 1) / kCacheLine * kCacheLine;
        }
        header_.total_size = offset;
    }

    std::uint32_t& made_with(Late kind) {
        return header_.made_with[static_cast<std::size_t>(kind)];
    }

    [[nodiscard]] Result<Layout> check() const {
        return check_header("topsman.x", std::as_bytes(std::span(&header_, 1)), header_.total_size,
                            place_);
    }

    [[nodiscard]] bool is_refused_as_corrupt() const {
        const auto layout = check();
        return !layout && layout.error().message == "segment topsman.x: its directory is corrupt";
    }

    Place place_{.boot_id = "4d5e", .pid_namespace = 4'026'531'836};
    Header header_{};
};

TEST_F(HeaderTest, AGoodOneIsAccepted) {
    const auto layout = check();
    ASSERT_TRUE(layout) << layout.error().message;
    EXPECT_EQ(layout->lanes, kLanes);
    EXPECT_EQ(layout->total_size, header_.total_size);
}

TEST_F(HeaderTest, LanesThatCannotBeAreRefused) {
    for (const std::uint32_t lanes : {0U, kLanes + 1, kMaxLanes + 1, 0xffff'ffffU}) {
        header_.lanes = lanes;
        EXPECT_TRUE(is_refused_as_corrupt()) << lanes;
    }
}

TEST_F(HeaderTest, BlocksThatCannotBeAreRefused) {
    constexpr std::uint64_t kHuge = ~std::uint64_t{0};
    const std::vector<BlockClasses> none = {
        {{{1'000, 4}, {4'096, 2}}},      // one more than there is memory for
        {{{1'000, 3}, {1'000, 2}}},      // sizes do not rise
        {{{1'000, 3}, {4'096, 0}}},      // none of them
        {{{0, 3}, {4'096, 2}}},          // no bytes
        {{{}, {1'000, 3}, {4'096, 2}}},  // a class after the last one
        {{{1'000, kHuge}, {4'096, 2}}},  // the sum would overflow
        {{{1'000, 3}, {kHuge - 1, 2}}},  // and so would this one
        {{{1'000, kMaxBlocks}, {4'096, kMaxBlocks}}}};
    for (const BlockClasses& classes : none) {
        std::copy(classes.begin(), classes.end(), header_.blocks);
        EXPECT_TRUE(is_refused_as_corrupt());
    }
}

TEST_F(HeaderTest, HistogramsAreThoseThatTheHeaderNames) {
    EXPECT_EQ(check()->histograms, (std::vector<std::string>{"time", "size"}));
    for (const std::uint32_t count : {0U, 1U, 3U, 33U, 0xffff'ffffU}) {  // and memory for two
        made_with(Late::Histogram) = count;
        EXPECT_TRUE(is_refused_as_corrupt()) << count;
    }
    made_with(Late::Histogram) = 2;
    std::memset(header_.histograms, 'x', sizeof(header_.histograms));  // no end anywhere
    EXPECT_EQ(check()->histograms[1].size(), kNameBytes);
}

TEST_F(HeaderTest, WhatIsLateLiesInTheReserve) {
    header_.queues[1] = {"mails", 4, 8, 3, 1, 0, 0};
    EXPECT_EQ(check()->queues.size(), 1U) << "not there yet";
    EXPECT_EQ(check()->reserve_used(), 0U);
    header_.late[0] = Late::Queue;
    ASSERT_TRUE(check());
    EXPECT_EQ(check()->queues[1], kSmallMails);
    EXPECT_EQ(check()->reserve_used(), check()->reserve);
    EXPECT_EQ(check()->late_offset(Late::Queue, 1), 0U);
    header_.late[1] = Late::Histogram;  // no more room
    EXPECT_TRUE(is_refused_as_corrupt());
    header_.late[1] = static_cast<Late>(kLateKinds);
    EXPECT_TRUE(is_refused_as_corrupt());
    header_.late[1] = Late::None;
    header_.queues[1].capacity = 0;
    EXPECT_TRUE(is_refused_as_corrupt());
    for (Late& kind : header_.late) {
        kind = Late::Blocks;  // more than there can be
    }
    EXPECT_TRUE(is_refused_as_corrupt());
}

TEST_F(HeaderTest, EveryPartMustLieInside) {
    for (std::size_t i = 0; i < kParts; ++i) {
        const DirectoryEntry good = header_.directory[i];
        for (const std::uint64_t offset :
             {std::uint64_t{0}, std::uint64_t{kHeaderBytes - kCacheLine}, good.offset + 8,
              header_.total_size, ~std::uint64_t{0} - 127, ~std::uint64_t{0} - good.size + 1}) {
            header_.directory[i].offset = offset;
            EXPECT_TRUE(is_refused_as_corrupt()) << "part " << i << " at " << offset;
        }
        header_.directory[i] = good;
    }
}

TEST_F(HeaderTest, EveryPartMustHaveTheSizeThatItsTypeHas) {
    for (std::size_t i = 0; i < kParts; ++i) {
        const DirectoryEntry good = header_.directory[i];
        if (static_cast<Part>(i) == Part::Reserve) {
            continue;  // has any
        }
        for (const std::uint64_t size :
             {std::uint64_t{0}, good.size - 1, good.size + kCacheLine, ~std::uint64_t{0}}) {
            header_.directory[i].size = size;
            EXPECT_TRUE(is_refused_as_corrupt()) << "part " << i << " of " << size;
        }
        header_.directory[i] = good;
    }
}

TEST_F(HeaderTest, QueuesHaveTheShapeThatTheHeaderSays) {
    ASSERT_EQ(check()->queues.size(), 1U);
    EXPECT_EQ(check()->queues[0], (NamedQueue{"thumbnails", {100, 60, 3}}));
    for (const QueueEntry& wrong :
         {QueueEntry{"a", kMaxQueueCapacity + 1, 60, 3, 1, 0, 0},
          QueueEntry{"a", 100, 0, 3, 1, 0, 0}, QueueEntry{"a", 100, kMaxItemBytes + 1, 3, 1, 0, 0},
          QueueEntry{"a", 100, 60, 0, 1, 0, 0}, QueueEntry{"a", 100, 60, kMaxAttempts + 1, 1, 0, 0},
          QueueEntry{"a", 99, 6'000, 3, 1, 0, 0}, QueueEntry{"a", 100, 60, 3, 0, 0, 0},
          QueueEntry{"a", 100, 60, 3, kMaxPriorities + 1, 0, 0}, QueueEntry{"a", 0, 60, 3, 1, 0, 0},
          QueueEntry{"a", 100, 60, 3, 1, 0, kMaxItemBytes + 1},
          QueueEntry{"thumbnails", 100, 60, 3, 1, 1, 0}}) {
        header_.queues[0] = wrong;
        EXPECT_TRUE(is_refused_as_corrupt())
            << wrong.capacity << " " << wrong.item_size << " " << wrong.max_attempts;
    }
}

TEST_F(HeaderTest, ChannelsHaveTheShapeThatTheHeaderSays) {
    ASSERT_EQ(check()->channels.size(), 1U);
    EXPECT_EQ(check()->channels[0],
              (NamedChannel{"news", "web", {3, 5, 40, Delivery::AtMostOnce}}));
    constexpr auto kOnce = Delivery::AtMostOnce;
    for (const ChannelEntry& wrong :
         {ChannelEntry{"a", "b", kMaxSlots + 1, 5, 40, kOnce},
          ChannelEntry{"a", "b", 3, kMaxChannelCapacity + 1, 40, kOnce},
          ChannelEntry{"a", "b", 3, 0, 40, kOnce}, ChannelEntry{"a", "b", 3, 5, 0, kOnce},
          ChannelEntry{"a", "b", 3, 5, kMaxItemBytes + 1, kOnce},
          ChannelEntry{"a", "b", 3, 5, 40, static_cast<Delivery>(2)},
          ChannelEntry{"a", "b", 4, 5, 40, kOnce}, ChannelEntry{"a", "b", 0, 5, 40, kOnce}}) {
        header_.channels[0] = wrong;
        EXPECT_TRUE(is_refused_as_corrupt())
            << wrong.slots << " " << wrong.capacity << " " << wrong.message_size;
    }
}

TEST_F(HeaderTest, PartsMustNotOverlap) {
    header_.directory[1].offset = header_.directory[0].offset;
    EXPECT_TRUE(is_refused_as_corrupt());
}

TEST_F(HeaderTest, RandomBytesAreRefusedOrWithinBounds) {
    std::mt19937_64 random(1);
    for (int round = 0; round < 200'000; ++round) {
        std::vector<std::byte> page(sizeof(Header));
        std::memcpy(page.data(), &header_, sizeof(Header));
        for (std::uint64_t i = random() % 4; i < 4; ++i) {
            page[random() % page.size()] = static_cast<std::byte>(random());
        }
        const auto layout = check_header("topsman.x", page, header_.total_size, place_);
        if (layout) {
            for (std::size_t i = 0; i < kParts; ++i) {
                const DirectoryEntry& entry = layout->directory[i];
                ASSERT_LE(entry.offset + entry.size, header_.total_size);
                ASSERT_EQ(entry.size, part_size(static_cast<Part>(i), *layout));
            }
        }
    }
}

TEST(PlaceTest, ThisProcessLivesSomewhere) {
    const auto place = Place::here();
    ASSERT_TRUE(place) << place.error().message;
    EXPECT_EQ(place->boot_id.size(), 36U);
    EXPECT_NE(place->pid_namespace, 0U);
}

}  // namespace
}  // namespace topsman::shm
