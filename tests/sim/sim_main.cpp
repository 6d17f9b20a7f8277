// topsman-sim: runs seeds and prints the first broken property. SEED=n runs one seed, SEEDS=n that
// many from 1 on, STEPS=n turns with faults each, TRACE=1 prints every event and action,
// PROPERTY=name looks for that one only. Ends with 1 when a property is broken.

#include "tests/sim/simulation.hpp"

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace

int main() {
    const std::uint64_t steps = from_environment("STEPS", 500);
    const std::uint64_t only = from_environment("SEED", 0);
    const std::uint64_t first = only == 0 ? 1 : only;
    const std::uint64_t last = only == 0 ? from_environment("SEEDS", 100) : only;
    const char* wanted = std::getenv("PROPERTY");
    std::ostream* trace = std::getenv("TRACE") == nullptr ? nullptr : &std::cout;
    std::uint64_t events = 0;
    std::uint64_t others = 0;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        const topsman::sim::Outcome outcome = topsman::sim::run_seed(seed, steps, trace);
        events += outcome.events;
        if (!outcome.violation) {
            continue;
        }
        if (wanted != nullptr && outcome.violation->property != wanted) {
            ++others;
            continue;
        }
        std::printf("%s: %s (SEED=%llu STEPS=%llu, event %llu)\n",
                    outcome.violation->property.c_str(), outcome.violation->what.c_str(),
                    static_cast<unsigned long long>(seed), static_cast<unsigned long long>(steps),
                    static_cast<unsigned long long>(outcome.events));
        return 1;
    }
    std::printf("%llu seeds, %llu events, every property holds (%llu others broken)\n",
                static_cast<unsigned long long>(last) - first + 1,
                static_cast<unsigned long long>(events), static_cast<unsigned long long>(others));
    return 0;
}
