#include "tests/sim/simulation.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace topsman::sim {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// SEED=n runs that one alone, SEEDS=n more of them, STEPS=n longer ones.
TEST(Simulation, EveryPropertyHoldsForEverySeed) {
    const std::uint64_t steps = from_environment("STEPS", 500);
    const std::uint64_t only = from_environment("SEED", 0);
    const std::uint64_t first = only == 0 ? 1 : only;
    const std::uint64_t last = only == 0 ? from_environment("SEEDS", 60) : only;
    std::uint64_t events = 0;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        const Outcome outcome = run_seed(seed, steps);
        ASSERT_FALSE(outcome.violation)
            << outcome.violation->property << ": " << outcome.violation->what
            << "\nagain, with every event: SEED=" << seed << " STEPS=" << steps
            << " TRACE=1 build/dev/bin/topsman-sim";
        events += outcome.events;
    }
    EXPECT_GT(events, (last - first + 1) * 10);
    RecordProperty("events", std::to_string(events));
}

TEST(Simulation, AnotherSeedIsAnotherRun) {
    EXPECT_NE(Simulation(1).run(50).trace, Simulation(2).run(50).trace);
}

}  // namespace
}  // namespace topsman::sim
