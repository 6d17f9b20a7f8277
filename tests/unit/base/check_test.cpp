#include "shm/base/check.hpp"

#include <gtest/gtest.h>

namespace {

TEST(CheckTest, AnythingTruePasses) {
    CHECK(2 + 2 == 4);
}

TEST(CheckDeathTest, AFailureSaysWhereAndAborts) {
    EXPECT_EXIT(CHECK(2 + 2 == 5), testing::KilledBySignal(SIGABRT),
                "CHECK failed at .*check_test.cpp:[0-9]+: 2 \\+ 2 == 5");
}

}  // namespace
