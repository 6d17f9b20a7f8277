#pragma once

// What a test of two victims says, and how many pairs of their instructions it takes.

#include "expect.hpp"
#include "two_victims.hpp"

#include <cstdlib>
#include <string_view>
#include <utility>

namespace topsman::torture {

inline constexpr std::uint64_t kPairPoints = 400;
inline constexpr std::uint64_t kPairPointsOfANight = 40'000;

/// `./dev torture` asks for the night's.
inline std::uint64_t pair_points() {
    const char* how = std::getenv("TOPSMAN_TORTURE");
    return how != nullptr && std::string_view(how) == "night" ? kPairPointsOfANight : kPairPoints;
}

/// Wherever the two die: nothing is lost, nothing is stuck.
inline void expect_both_survive(Pair& pair) {
    const Report report = torture_both(pair, pair_points());
    EXPECT_GT(report.instructions, 0U);
    EXPECT_GT(report.verifications, kPairPoints / 8) << "at other points one was done already";
    EXPECT_EQ(report.failures, 0U) << report.first_failure;
}

/// A control: see expect_is_caught().
inline void expect_both_are_caught(Pair& pair) {
    const Report report = torture_both(pair, kPairPoints);
    EXPECT_GT(report.failures, 0U) << pair.name() << " survived";
    std::printf("    caught: %s\n", report.first_failure.c_str());
}

template <class Object, class... Arguments>
void expect_two_victims_harm_nobody(Arguments&&... arguments) {
    SKIP_WITHOUT_PTRACE();
    Object pair(std::forward<Arguments>(arguments)...);
    expect_both_survive(pair);
}

}  // namespace topsman::torture
