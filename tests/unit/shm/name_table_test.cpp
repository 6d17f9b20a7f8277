#include "shm/name_table.hpp"

#include "shm_test_helper.hpp"

#include <memory>
#include <set>
#include <sys/wait.h>
#include <thread>

namespace topsman::shm {
namespace {

std::unique_ptr<NameTable> new_table(std::uint32_t rows = NameTable::kMaxRows) {
    auto table = std::make_unique<NameTable>();
    table->init(rows);
    return table;
}

Result<std::uint32_t> add(NameTable& table, std::string_view name,
                          NameKind kind = NameKind::Counter, Owner owner = kMe) {
    return table.find_or_add(name, kind, 0, owner, nullptr);
}

TEST(NameTableTest, ANameKeepsItsRow) {
    auto table = new_table();
    const auto orders = add(*table, "orders").value();
    const auto errors = add(*table, "errors").value();
    EXPECT_NE(orders, errors);
    EXPECT_EQ(add(*table, "orders").value(), orders);
    const auto entries = table->entries();
    ASSERT_EQ(entries.size(), 2U);
    EXPECT_EQ(entries[0].name, "orders");
    EXPECT_EQ(entries[0].row, orders);
    EXPECT_EQ(entries[0].kind, NameKind::Counter);
    EXPECT_EQ(entries[1].name, "errors");
}

TEST(NameTableTest, PrepareRunsOnceAndBeforeTheNameIsFound) {
    auto table = new_table();
    int runs = 0;
    for (int i = 0; i < 3; ++i) {
        (void)table->find_or_add("stock", NameKind::Mutex, 0, kMe, [&](std::uint32_t) {
            ++runs;
            EXPECT_TRUE(table->entries().empty());
        });
    }
    EXPECT_EQ(runs, 1);
}

TEST(NameTableTest, AnotherKindOrSizeIsRefused) {
    auto table = new_table();
    ASSERT_TRUE(add(*table, "orders"));
    EXPECT_EQ(add(*table, "orders", NameKind::Gauge).error().message,
              "gauge orders: the name is taken by a counter");
    ASSERT_TRUE(table->find_or_add("stock", NameKind::Cell, 16, kMe, nullptr));
    EXPECT_EQ(table->find_or_add("stock", NameKind::Cell, 24, kMe, nullptr).error().message,
              "cell stock: it has 16 bytes, not 24");
}

TEST(NameTableTest, WhatIsNotANameIsRefused) {
    auto table = new_table();
    for (const char* name : {"", "9lives", "a b", "a/b", "\x1b[0m", "ö"}) {
        EXPECT_FALSE(add(*table, name)) << name;
    }
    EXPECT_TRUE(add(*table, std::string(kNameBytes - 1, 'a')));
    EXPECT_FALSE(add(*table, std::string(kNameBytes, 'a')));
}

TEST(NameTableTest, AFullTableSaysSoAndStillFindsWhatItHas) {
    auto table = new_table(3);
    const auto first = add(*table, "a").value();
    ASSERT_TRUE(add(*table, "b"));
    ASSERT_TRUE(add(*table, "c"));
    const auto result = add(*table, "d");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, "counter d: the table is full (3 names)");
    EXPECT_EQ(result.error().code, std::errc::no_buffer_space);
    EXPECT_EQ(add(*table, "a").value(), first);
}

TEST(NameTableTest, TheSweepFreesWhatTheDeadClaimedAndKeepsWhatTheyPublished) {
    auto& table = shared<NameTable>();
    table.init(2);
    static constexpr Owner kDead{5, 9};
    ASSERT_TRUE(add(table, "published", NameKind::Counter, kDead));
    const int status = in_child([&table] {
        (void)table.find_or_add("half", NameKind::Counter, 0, kDead,
                                [](std::uint32_t) { ::_exit(0); });
    });
    ASSERT_EQ(status, 0);
    EXPECT_FALSE(add(table, "next")) << "the dead still holds the last row";
    table.sweep(Owner{5, 8});
    EXPECT_FALSE(add(table, "next")) << "another incarnation's death frees nothing";
    table.sweep(kDead);
    table.sweep(kDead);
    EXPECT_TRUE(add(table, "next"));
    EXPECT_EQ(table.entries().front().name, "published");
}

TEST(NameTableTest, TheMastersOwnClaimsCanBeSweptToo) {
    auto& table = shared<NameTable>();
    table.init(1);
    ASSERT_EQ(in_child([&table] {
                  (void)table.find_or_add("half", NameKind::Counter, 0, Owner{},
                                          [](std::uint32_t) { ::_exit(0); });
              }),
              0);
    EXPECT_FALSE(add(table, "next"));
    table.sweep(Owner{});
    EXPECT_TRUE(add(table, "next"));
}

TEST(NameTableTest, KindsSayWhatIsPublishedInEachRow) {
    auto table = new_table();
    const auto counter = add(*table, "c", NameKind::Counter).value();
    const auto gauge = add(*table, "g", NameKind::Gauge).value();
    const auto kinds = table->kinds();
    EXPECT_EQ(kinds[counter], NameKind::Counter);
    EXPECT_EQ(kinds[gauge], NameKind::Gauge);
    EXPECT_EQ(kinds[gauge + 1], NameKind::None);
}

TEST(NameTableThreadsTest, RacersForOneNameGetOneRow) {
    for (int round = 0; round < 200; ++round) {
        auto table = new_table();
        std::atomic<int> waiting{4};
        std::array<std::set<std::uint32_t>, 4> rows;
        std::vector<std::thread> racers;
        for (std::uint32_t i = 0; i < 4; ++i) {
            racers.emplace_back([&, i] {
                waiting.fetch_sub(1);
                while (waiting.load() > 0) {
                }
                for (const char* name : {"one", "two", "three"}) {
                    rows[i].insert(add(*table, name, NameKind::Counter, Owner{i + 1, 1}).value());
                }
            });
        }
        for (auto& racer : racers) {
            racer.join();
        }
        ASSERT_EQ(table->entries().size(), 3U) << "round " << round;
        for (const auto& mine : rows) {
            ASSERT_EQ(mine, rows[0]) << "round " << round;
        }
        // The losers gave their rows back: all others can still be had.
        for (std::uint32_t i = 3; i < NameTable::kMaxRows; ++i) {
            ASSERT_TRUE(add(*table, "n" + std::to_string(i))) << i;
        }
    }
}

}  // namespace
}  // namespace topsman::shm
