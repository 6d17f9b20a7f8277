#pragma once

#include "harness.hpp"
#include "stepper.hpp"

#include <gtest/gtest.h>

namespace topsman::torture {

#define SKIP_WITHOUT_PTRACE()                                                                  \
    if (!can_step()) {                                                                         \
        GTEST_SKIP() << "needs ptrace(2) of children on x86-64: single-steps another process"; \
    }                                                                                          \
    static_assert(true)

/// Whatever is killed when: nothing is lost, nothing is stuck.
inline void expect_survives(Operation& operation) {
    const Report report = torture(operation);
    EXPECT_GT(report.instructions, 0U);
    EXPECT_GT(report.verifications, report.instructions);
    EXPECT_EQ(report.failures, 0U) << report.first_failure;
}

/// A control: the harness must catch what is known to be broken, else it proves nothing.
inline void expect_is_caught(Operation& operation, std::uint64_t points = 150) {
    const Report report = torture_briefly(operation, points);
    EXPECT_GT(report.failures, 0U) << operation.name() << " survived";
    std::printf("    caught: %s\n", report.first_failure.c_str());
}

}  // namespace topsman::torture
