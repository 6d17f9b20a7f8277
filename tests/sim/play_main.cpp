// topsman-play FILE: acts a scenario out in the simulated world and prints what happens, a JSON
// object a line. Ends with 1 when a deed cannot be done, or what it waits for never happens.

#include "tests/sim/play.hpp"

#include <cstdio>
#include <iostream>

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: topsman-play FILE.scenario\n", stderr);
        return 2;
    }
    const auto scenario = topsman::sim::read_scenario(argv[1]);
    if (!scenario) {
        std::fprintf(stderr, "topsman-play: %s\n", scenario.error().message.c_str());
        return 2;
    }
    if (const auto played = topsman::sim::Play(*scenario, std::cout).run(); !played) {
        std::fprintf(stderr, "topsman-play: %s: %s\n", argv[1], played.error().message.c_str());
        return 1;
    }
    return 0;
}
