#include "supervisor/posix/sealed_text.hpp"

#include <gtest/gtest.h>

#include <array>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

TEST(SealedTextTest, WhatIsSealedIsReadAsOftenAsAskedFor) {
    const std::string text = std::string(100'000, 'x') + std::string("\0end", 4);
    const auto fd = seal_text("test", text);
    ASSERT_TRUE(fd) << fd.error().message;
    EXPECT_EQ(read_sealed_text(fd->get()).value(), text);
    EXPECT_EQ(read_sealed_text(fd->get()).value(), text);
    EXPECT_NE(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(SealedTextTest, NobodyCanChangeIt) {
    const auto fd = seal_text("test", "text");
    ASSERT_TRUE(fd);
    EXPECT_LT(::pwrite(fd->get(), "T", 1, 0), 0);
    EXPECT_NE(::ftruncate(fd->get(), 0), 0);
    EXPECT_EQ(::mmap(nullptr, 1, PROT_WRITE, MAP_SHARED, fd->get(), 0), MAP_FAILED);
    EXPECT_EQ(read_sealed_text(fd->get()).value(), "text");
}

TEST(SealedTextTest, AnythingElseIsRefusedWithOneSentence) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const UniqueFd reader(ends[0]);
    const UniqueFd writer(ends[1]);
    const UniqueFd open_memory(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    for (const int fd : {-1, 1'000'000, reader.get(), open_memory.get(), file.get()}) {
        const auto text = read_sealed_text(fd);
        ASSERT_FALSE(text) << fd;
        EXPECT_EQ(text.error().message, "handed-over state: descriptor " + std::to_string(fd) +
                                            " is not what a master of topsman hands over");
    }
}

}  // namespace
}  // namespace topsman::posix
