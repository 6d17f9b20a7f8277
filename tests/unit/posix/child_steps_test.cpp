#include "supervisor/posix/child_steps.hpp"

#include "shm/lane.hpp"
#include "tests/unit/posix/launch_fixture.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <sys/mman.h>

namespace topsman::posix {
namespace {

class ChildStepsTest : public test::LaunchFixture {};

TEST(ChildStepsObjectTest, RefersToNoFunctionOutsideOfItself) {
    // Whatever it called would be somebody's who may keep notes in the thread that both share.
    FILE* const output = ::popen("nm --undefined-only --demangle " TOPSMAN_CHILD_STEPS_OBJECT, "r");
    ASSERT_NE(output, nullptr);
    std::string undefined;
    std::array<char, 256> line;
    while (std::fgets(line.data(), line.size(), output) != nullptr) {
        undefined += line.data();
    }
    ASSERT_EQ(::pclose(output), 0) << "nm and the object were to be there";
    EXPECT_EQ(undefined, "");
}

TEST_F(ChildStepsTest, TheChildClaimsItsLaneFirst) {
    const shm::LaneWord starting{shm::LanePhase::Starting, 7, 3};
    const shm::LaneWord started{shm::LanePhase::Started, 7, 0};
    // Shared, as the segment is.
    auto* word = static_cast<std::atomic<std::uint64_t>*>(
        ::mmap(nullptr, 4'096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(word, MAP_FAILED);
    word->store(starting.pack());
    setup_.lane_word = word;
    setup_.lane_expected = starting.pack();
    setup_.lane_started = started.pack();
    (void)run();
    const auto seen = shm::LaneWord::unpack(word->load());
    EXPECT_EQ(seen.phase, shm::LanePhase::Started);
    EXPECT_EQ(seen.generation, 7U);
    EXPECT_EQ(seen.value, static_cast<std::uint32_t>(pid_));
}

}  // namespace
}  // namespace topsman::posix
