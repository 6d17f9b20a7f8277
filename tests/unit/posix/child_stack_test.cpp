#include "supervisor/posix/child_stack.hpp"

#include "tests/unit/posix/support.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace topsman::posix {
namespace {

TEST(ChildStackTest, IsWritableFromTheTopDown) {
    const auto stack = ChildStack::map();
    ASSERT_TRUE(stack);
    std::memset(static_cast<char*>(stack->top()) - ChildStack::kBytes, 1, ChildStack::kBytes);
}

TEST(ChildStackTest, AnOverflowEndsWhoeverMakesIt) {
    const auto stack = ChildStack::map();
    ASSERT_TRUE(stack);
    EXPECT_NE(test::in_child([&] {
                  auto* const lowest =
                      static_cast<volatile char*>(stack->top()) - ChildStack::kBytes;
                  lowest[-1] = 1;
                  return 0;
              }),
              0);
}

}  // namespace
}  // namespace topsman::posix
