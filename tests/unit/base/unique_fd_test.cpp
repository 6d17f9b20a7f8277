#include "shm/base/unique_fd.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>

namespace {

using topsman::UniqueFd;

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

UniqueFd open_null() {
    return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

TEST(UniqueFdTest, ClosesWhatItOwns) {
    int number = -1;
    {
        const UniqueFd fd = open_null();
        ASSERT_TRUE(fd);
        number = fd.get();
        EXPECT_TRUE(is_open(number));
    }
    EXPECT_FALSE(is_open(number));
}

TEST(UniqueFdTest, MovingPassesTheOwnershipOn) {
    UniqueFd first = open_null();
    const int number = first.get();
    const UniqueFd second = std::move(first);
    EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): a moved-from handle is empty
    EXPECT_EQ(second.get(), number);
    EXPECT_TRUE(is_open(number));
}

TEST(UniqueFdTest, ReleasedIsNotClosed) {
    UniqueFd fd = open_null();
    const UniqueFd released(fd.release());
    EXPECT_FALSE(fd);
    EXPECT_TRUE(is_open(released.get()));
}

TEST(UniqueFdTest, ResetClosesTheOldOne) {
    UniqueFd fd = open_null();
    const int old = fd.get();
    fd.reset();
    EXPECT_FALSE(is_open(old));
    EXPECT_FALSE(fd);
}

TEST(UniqueFdTest, MoveAssigningToItselfKeepsTheDescriptor) {
    UniqueFd fd = open_null();
    UniqueFd& same = fd;
    fd = std::move(same);
    EXPECT_TRUE(is_open(fd.get()));
}

}  // namespace
