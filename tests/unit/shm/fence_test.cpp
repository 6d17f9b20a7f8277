#include "shm/fence.hpp"

#include "shm_test_helper.hpp"

#include <atomic>
#include <thread>

namespace topsman::shm {
namespace {

struct Words {
    std::atomic<std::uint32_t> arrived;
    alignas(128) std::atomic<std::uint32_t> sent;
    alignas(128) std::atomic<std::uint32_t> sleeps;
    alignas(128) std::atomic<std::uint32_t> sender_saw;
};

constexpr std::uint32_t kFenceRounds = 50'000;

/// Both go on at the same moment, as far as that can be had.
void meet(Words& words, std::uint32_t meeting, std::uint32_t pause = 0) {
    words.arrived.fetch_add(1);
    for (std::uint32_t looks = 0; words.arrived.load() < 2 * meeting; ++looks) {
        if (looks > 1'000) {
            std::this_thread::yield();
        }
    }
    // Who came last is ahead by the time that the news takes: other rounds, other leads.
    for (std::uint32_t i = 0; i < pause; ++i) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
}

/// In each round one stores `sent` and looks at `sleeps`, the other the other way round: they must
/// not both look too early. In a forked child, which need not say so itself.
TEST(FenceTest, OneOfTwoWhoStoreAndLookSeesTheOther) {
    join_fences();
    auto& words = shared<Words>();
    const int status = in_child([&words] {
        std::jthread sender([&words] {
            for (std::uint32_t round = 1; round <= kFenceRounds; ++round) {
                meet(words, 2 * round - 1, round % 64);
                words.sent.store(round, std::memory_order_release);
                light_fence();
                words.sender_saw.store(words.sleeps.load(std::memory_order_acquire));
                meet(words, 2 * round);
            }
        });
        std::uint32_t both_blind = 0;
        for (std::uint32_t round = 1; round <= kFenceRounds; ++round) {
            meet(words, 2 * round - 1, round / 64 % 64);
            words.sleeps.store(round, std::memory_order_release);
            heavy_fence();
            const bool is_seen = words.sent.load(std::memory_order_acquire) == round;
            meet(words, 2 * round);
            both_blind += !is_seen && words.sender_saw.load() != round ? 1U : 0U;
        }
        EXPECT_EQ(both_blind, 0U);
    });
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace topsman::shm
