#include "shm/two_copy.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <thread>

namespace topsman::shm {
namespace {

struct Record {
    std::array<std::uint64_t, 16> words;
};

Record record_of(std::uint64_t value) {
    Record record{};
    record.words.fill(value);
    return record;
}

TEST(TwoCopyTest, AFreshOneReadsAsZeros) {
    const TwoCopy<Record> cell{};
    Record record = record_of(1);
    ASSERT_TRUE(cell.load(record));
    EXPECT_EQ(record.words, record_of(0).words);
    EXPECT_EQ(cell.version(), 0U);
}

TEST(TwoCopyTest, TheLastStoreIsRead) {
    TwoCopy<Record> cell{};
    for (std::uint64_t i = 1; i <= 5; ++i) {
        cell.store(record_of(i));
        Record record{};
        ASSERT_TRUE(cell.load(record));
        EXPECT_EQ(record.words, record_of(i).words);
        EXPECT_EQ(cell.version(), i);
    }
}

TEST(TwoCopyThreadsTest, ReadersNeverSeeHalfARecord) {
    auto cell = std::make_unique<TwoCopy<Record>>();
    std::atomic<bool> is_done{false};
    std::thread writer([&] {
        for (std::uint64_t i = 1; i <= 50'000; ++i) {
            cell->store(record_of(i));
        }
        is_done.store(true);
    });
    std::uint64_t last = 0;
    std::uint64_t torn = 0;
    std::uint64_t backwards = 0;
    while (!is_done.load()) {
        Record record{};
        if (!cell->load(record)) {
            continue;
        }
        torn += record.words != record_of(record.words[0]).words ? 1U : 0U;
        backwards += record.words[0] < last ? 1U : 0U;
        last = record.words[0];
    }
    writer.join();
    EXPECT_EQ(torn, 0U);
    EXPECT_EQ(backwards, 0U);
    Record record{};
    ASSERT_TRUE(cell->load(record));
    EXPECT_EQ(record.words[0], 50'000U);
}

}  // namespace
}  // namespace topsman::shm
