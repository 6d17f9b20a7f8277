#include "shm/base/result.hpp"

#include <gtest/gtest.h>

namespace {

using topsman::plain_error;
using topsman::Result;
using topsman::system_error;

Result<int> half(int number) {
    if (number % 2 != 0) {
        return plain_error("odd");
    }
    return number / 2;
}

Result<int> quarter(int number) {
    const Result<int> first = half(number);
    if (!first) {
        return first.error();
    }
    return half(*first);
}

TEST(ResultTest, AValueIsAValue) {
    EXPECT_EQ(*quarter(8), 2);
}

TEST(ResultTest, AnErrorTravelsWithItsSentence) {
    const auto result = quarter(6);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, "odd");
    EXPECT_EQ(result.error().code, std::errc::invalid_argument);
}

TEST(ResultTest, ASystemErrorHasTheKernelsWords) {
    const auto error = system_error("bind 0.0.0.0:80", EACCES);
    EXPECT_EQ(error.message, "bind 0.0.0.0:80: Permission denied");
    EXPECT_EQ(error.code, std::errc::permission_denied);
}

TEST(ResultTest, AskingForAValueThatIsNotThereThrowsTheSentence) {
    try {
        (void)half(1).value();
        FAIL() << "did not throw";
    } catch (const std::system_error& error) {
        EXPECT_NE(std::string(error.what()).find("odd"), std::string::npos);
    }
}

}  // namespace
