#include "supervisor/posix/cpu_mask.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace topsman::posix {
namespace {

TEST(CpuMaskTest, AutoDealsTheUsableCpusOutBySlot) {
    const std::vector<std::uint32_t> usable = usable_cpus();
    const config::CpuAffinity automatic{true, {}};
    for (std::uint32_t slot = 0; slot < 2 * usable.size(); ++slot) {
        const std::uint32_t expected = usable[slot % usable.size()];
        EXPECT_EQ(cpu_mask(automatic, slot), cpu_mask({false, {expected}}, 0)) << slot;
    }
    EXPECT_TRUE(cpu_mask({}, 3).empty()) << "nothing was asked for";
}

TEST(CpuMaskTest, HasABitForEachCpu) {
    EXPECT_EQ(cpu_mask({false, {0, 2}}, 7), std::vector<unsigned long>{5});
    EXPECT_EQ(cpu_mask({false, {1, 64}}, 0), (std::vector<unsigned long>{2, 1}));
}

}  // namespace
}  // namespace topsman::posix
