#include "shm/tx_cell.hpp"

#include "shm_test_helper.hpp"

#include <array>
#include <thread>

namespace topsman::shm {
namespace {

using Value = std::array<std::uint64_t, 8>;

Value value_of(std::uint64_t number) {
    Value value{};
    value.fill(number);
    return value;
}

TxCellStorage& new_cell(const Value& value) {
    auto& cell = shared<TxCellStorage>();
    cell.init(&value, sizeof(value));
    return cell;
}

Value read(const TxCellStorage& cell) {
    Value value{};
    EXPECT_TRUE(cell.read(&value, sizeof(value)));
    return value;
}

TEST(TxCellTest, WhatIsCommittedIsRead) {
    auto& cell = new_cell(value_of(1));
    EXPECT_EQ(read(cell), value_of(1));
    Value value{};
    for (std::uint64_t i = 2; i < 6; ++i) {
        ASSERT_EQ(cell.begin(kMe, &value, sizeof(value)), LockResult::Locked);
        EXPECT_EQ(value, value_of(i - 1));
        value = value_of(i);
        cell.commit(&value, sizeof(value));
        EXPECT_EQ(read(cell), value_of(i));
    }
}

TEST(TxCellTest, RollingBackChangesNothing) {
    auto& cell = new_cell(value_of(1));
    Value value{};
    ASSERT_EQ(cell.begin(kMe, &value, sizeof(value)), LockResult::Locked);
    value = value_of(9);
    cell.roll_back();
    EXPECT_EQ(read(cell), value_of(1));
    EXPECT_EQ(cell.mutex().owner(), Owner{});
}

TEST(TxCellTest, AWriterKilledBeforeItCommitsHasChangedNothing) {
    auto& cell = new_cell(value_of(1));
    Victim victim([&cell] {
        Value value{};
        ASSERT_EQ(cell.begin(Owner{2, 1}, &value, sizeof(value)), LockResult::Locked);
        value = value_of(9);
    });
    EXPECT_EQ(read(cell), value_of(1)) << "readers take no lock";
    victim.kill();
    Value value{};
    ASSERT_EQ(cell.begin(kMe, &value, sizeof(value)), LockResult::Locked) << "nothing to repair";
    EXPECT_EQ(value, value_of(1));
    cell.commit(&value, sizeof(value));
    EXPECT_EQ(cell.mutex().owner_deaths(), 1U);
    EXPECT_FALSE(cell.mutex().is_poisoned());
}

TEST(TxCellTest, SizesNeedNotBeWholeWords) {
    auto& cell = shared<TxCellStorage>();

    struct Odd {
        char text[13];
    };

    cell.init("hello, world", 13);
    Odd odd{};
    ASSERT_TRUE(cell.read(&odd, sizeof(odd)));
    EXPECT_STREQ(odd.text, "hello, world");
}

TEST(TxCellDeathTest, AValueThatDoesNotFitIsABug) {
    auto& cell = shared<TxCellStorage>();
    const std::array<char, kMaxCellBytes + 1> value{};
    EXPECT_DEATH(cell.init(&value, sizeof(value)), "CHECK failed");
}

TEST(TxCellThreadsTest, ChangesDoNotGetLostAndReadersSeeWholeValues) {
    auto& cell = new_cell(value_of(0));
    std::atomic<int> running{3};
    std::vector<std::thread> writers;
    for (std::uint32_t i = 1; i <= 3; ++i) {
        writers.emplace_back([&, i] {
            for (int n = 0; n < 5'000; ++n) {
                Value value{};
                ASSERT_EQ(cell.begin(Owner{i, 1}, &value, sizeof(value)), LockResult::Locked);
                value = value_of(value[0] + 1);
                cell.commit(&value, sizeof(value));
            }
            running.fetch_sub(1);
        });
    }
    std::uint64_t torn = 0;
    while (running.load() > 0) {
        const Value value = read(cell);
        torn += value != value_of(value[0]) ? 1U : 0U;
    }
    for (auto& writer : writers) {
        writer.join();
    }
    EXPECT_EQ(torn, 0U);
    EXPECT_EQ(read(cell), value_of(15'000));
}

}  // namespace
}  // namespace topsman::shm
