#include "shm/base/check.hpp"
#include "shm/metrics.hpp"
#include "storm.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <map>
#include <numeric>
#include <sched.h>
#include <unistd.h>

namespace topsman::torture {
namespace {

using shm::LockResult;
using shm::Owner;

constexpr std::uint32_t kWorkers = 10;
constexpr std::uint64_t kMostKills = 2'000;

/// So that some are killed inside the lock, and others while they wait for it.
void yield_sometimes(std::uint64_t number) {
    if (number % 4 == 0) {
        (void)::sched_yield();
    }
}

class StormTest : public testing::Test {
  protected:
    StormTest() { (void)shm::Segment::remove(name_); }

    [[nodiscard]] std::uint64_t in_ledger() const {
        return std::accumulate(ledger_.begin(), ledger_.end(), std::uint64_t{0});
    }

    void run(StormPlan plan) {
        plan.workers = kWorkers;
        if (!plan.progress) {
            plan.progress = [this](std::uint32_t lane) {
                return std::atomic_ref(ledger_[lane]).load();
            };
        }
        Storm storm(segment_, std::move(plan),
                    static_cast<std::uint64_t>(testing::UnitTest::GetInstance()->random_seed()));
        storm.run();
        kills_ = storm.kills();
        for (std::uint32_t lane = 0; lane <= kWorkers; ++lane) {
            kills_of_[lane] = storm.kills_of(lane);
        }
        std::printf("%s: %lu kills\n",
                    testing::UnitTest::GetInstance()->current_test_info()->name(), kills_);
        EXPECT_GT(kills_, 0U);
    }

    std::string name_ =
        "topsman.storm." + std::to_string(::getuid()) + "." + std::to_string(::getpid());
    shm::Segment segment_ = shm::Segment::create({.name = name_, .lanes = kWorkers}).value();
    std::span<std::uint64_t> ledger_ = new_ledger(kWorkers + 1);
    std::uint64_t kills_ = 0;
    std::array<std::uint64_t, kWorkers + 1> kills_of_{};
};

TEST_F(StormTest, TenWorkersCountToTenThousandEachWhateverIsKilled) {
    constexpr std::uint64_t kEach = 10'000;
    const auto cell = [this](std::uint32_t lane) -> auto& {
        return segment_.metrics().cell(lane, 0);
    };
    run({.work =
             [&](Owner me) {
                 while (cell(me.lane).load() < kEach) {
                     shm::add_to_cell(cell(me.lane), 1);
                     ++ledger_[me.lane];
                     (void)::sched_yield();
                 }
             },
         .progress = [&](std::uint32_t lane) { return cell(lane).load(); },
         .observe = {},
         .most_progress_between_kills = 50});
    EXPECT_EQ(counter_total(segment_.metrics(), 0), kWorkers * kEach);
    for (std::uint32_t lane = 1; lane <= kWorkers; ++lane) {
        const std::uint64_t counted = cell(lane).load();
        EXPECT_GE(counted, ledger_[lane]);
        EXPECT_LE(counted, ledger_[lane] + kills_of_[lane])
            << "beside a ledger outside a counter differs by at most one per kill";
    }
}

TEST_F(StormTest, ALockIsNeverLostAndWhatItGuardsIsAlwaysRepaired) {
    struct Guarded {
        std::uint64_t first;
        std::uint64_t second;
    };

    const auto memory = new_ledger(3);
    auto& guarded = reinterpret_cast<volatile Guarded&>(memory[0]);
    const std::atomic_ref is_over(memory[2]);
    auto& mutex = segment_.mutexes()[0];
    mutex.init();
    run({.work =
             [&](Owner me) {
                 while (is_over.load() == 0) {
                     const LockResult result = mutex.lock(me);
                     CHECK(result == LockResult::Locked || result == LockResult::OwnerDied);
                     if (result == LockResult::OwnerDied) {
                         guarded.second = guarded.first;
                         mutex.repaired();
                     }
                     CHECK(guarded.first == guarded.second);
                     guarded.first = guarded.first + 1;
                     yield_sometimes(guarded.first);
                     guarded.second = guarded.second + 1;
                     mutex.unlock();
                     ++ledger_[me.lane];
                 }
             },
         .progress = {},
         .observe = {},
         .most_progress_between_kills = 20,
         .most_kills = kMostKills,
         .enough = [&] { is_over.store(1); }});
    EXPECT_EQ(kills_, kMostKills);
    EXPECT_FALSE(mutex.is_poisoned());
    EXPECT_GT(mutex.owner_deaths(), 0U);
    EXPECT_GE(guarded.first, in_ledger());
    EXPECT_LE(guarded.first, in_ledger() + kills_);
    std::printf("    %lu changes, %lu owners died\n", guarded.first, mutex.owner_deaths());
}

TEST_F(StormTest, ATxCellIsWholeForEverybodyAllTheTime) {
    using Value = std::array<std::uint64_t, 16>;
    const auto value_of = [](std::uint64_t number) {
        Value value;
        value.fill(number);
        return value;
    };
    const auto memory = new_ledger(1);
    const std::atomic_ref is_over(memory[0]);
    auto& cell = segment_.cells()[0];
    const Value zero = value_of(0);
    cell.init(&zero, sizeof(zero));
    std::uint64_t torn = 0;
    run({.work =
             [&](Owner me) {
                 while (is_over.load() == 0) {
                     Value value;
                     CHECK(cell.begin(me, &value, sizeof(value)) == LockResult::Locked);
                     CHECK(value == value_of(value[0]));
                     value = value_of(value[0] + 1);
                     yield_sometimes(value[0]);
                     cell.commit(&value, sizeof(value));
                     ++ledger_[me.lane];
                 }
             },
         .progress = {},
         .observe =
             [&] {
                 Value value{};
                 torn += cell.read(&value, sizeof(value)) && value == value_of(value[0]) ? 0U : 1U;
             },
         .most_progress_between_kills = 20,
         .most_kills = kMostKills,
         .enough = [&] { is_over.store(1); }});
    EXPECT_EQ(kills_, kMostKills);
    EXPECT_EQ(torn, 0U);
    EXPECT_GT(cell.mutex().owner_deaths(), 0U);
    Value value{};
    ASSERT_TRUE(cell.read(&value, sizeof(value)));
    EXPECT_GE(value[0], in_ledger());
    EXPECT_LE(value[0], in_ledger() + kills_);
    std::printf("    %lu changes, %lu owners died\n", value[0], cell.mutex().owner_deaths());
}

TEST_F(StormTest, EveryNameHasOneRowForEverybody) {
    constexpr std::uint32_t kNames = shm::kMaxMutexes;
    std::uint64_t all_kills = 0;
    for (int round = 0; round < 20; ++round) {
        auto& names = segment_.mutex_names();
        names.init(kNames);
        for (auto& lane : segment_.lanes()) {
            lane.word.store(0);
        }
        std::fill(ledger_.begin(), ledger_.end(), 0);
        const auto rows = new_ledger((kWorkers + 1) * kNames);
        StormPlan plan{
            .workers = kWorkers,
            .work =
                [&](Owner me) {
                    for (; ledger_[me.lane] < kNames; ++ledger_[me.lane]) {
                        const auto n = (ledger_[me.lane] * 7 + me.lane) % kNames;
                        const auto row = names.find_or_add("n" + std::to_string(n),
                                                           shm::NameKind::Mutex, 0, me, {});
                        // Full only while others hold rows for names that they are
                        // about to publish or give back.
                        if (row) {
                            rows[std::size_t{me.lane} * kNames + n] = *row + 1;
                        }
                        (void)::sched_yield();
                    }
                },
            .progress = [&](std::uint32_t lane) { return std::atomic_ref(ledger_[lane]).load(); },
            .observe = {},
            .most_progress_between_kills = 20};
        Storm storm(segment_, std::move(plan), static_cast<std::uint64_t>(round));
        storm.run();
        all_kills += storm.kills();
        std::map<std::string, std::uint64_t> published;
        for (const auto& entry : names.entries()) {
            ASSERT_TRUE(published.emplace(entry.name, entry.row + 1).second) << entry.name;
        }
        for (std::uint32_t n = 0; n < kNames; ++n) {
            const std::string name = "n" + std::to_string(n);
            ASSERT_TRUE(names.find_or_add(name, shm::NameKind::Mutex, 0, Owner{}, {}))
                << "a row is lost";
            for (std::uint32_t lane = 1; lane <= kWorkers; ++lane) {
                const std::uint64_t row = rows[lane * kNames + n];
                ASSERT_TRUE(row == 0 || row == published[name]) << name;
            }
        }
    }
    std::printf("EveryNameHasOneRowForEverybody: %lu kills\n", all_kills);
    EXPECT_GT(all_kills, 0U);
}

}  // namespace
}  // namespace topsman::torture
