#include "supervisor/posix/child_stack.hpp"

#include "tests/unit/posix/support.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>

namespace topsman::posix {
namespace {

TEST(ChildStackTest, IsWritableFromTheTopDown) {
    const auto stack = ChildStack::take();
    ASSERT_TRUE(stack);
    std::memset(static_cast<char*>(stack->top()) - ChildStack::kBytes, 1, ChildStack::kBytes);
}

TEST(ChildStackTest, AnOverflowEndsWhoeverMakesIt) {
    const auto stack = ChildStack::take();
    ASSERT_TRUE(stack);
    EXPECT_NE(test::in_child([&] {
                  auto* const lowest =
                      static_cast<volatile char*>(stack->top()) - ChildStack::kBytes;
                  lowest[-1] = 1;
                  return 0;
              }),
              0);
}

TEST(ChildStackTest, OneThatIsLetGoIsTheNextOnes) {
    std::optional first(ChildStack::take());
    ASSERT_TRUE(*first);
    void* const top = (*first)->top();
    const auto beside = ChildStack::take();
    ASSERT_TRUE(beside);
    EXPECT_NE(beside->top(), top) << "it is in use";
    first.reset();
    const auto next = ChildStack::take();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->top(), top);
    std::memset(static_cast<char*>(next->top()) - ChildStack::kBytes, 1, ChildStack::kBytes);
}

}  // namespace
}  // namespace topsman::posix
