#include "supervisor/fd_watch.hpp"

#include "shm/base/unique_fd.hpp"

#include <gtest/gtest.h>

#include <sys/eventfd.h>
#include <unistd.h>

namespace topsman::supervisor {
namespace {

TEST(FdWatchTest, WaitsAndLeavesTheDescriptorToItsOwner) {
    boost::asio::io_context io;
    const UniqueFd event(::eventfd(1, EFD_CLOEXEC));
    int times = 0;
    {
        FdWatch watch(io, event.get());
        ASSERT_TRUE(watch.is_watching());
        watch.wait([&] { ++times; });
        EXPECT_EQ(io.run(), 1U);
    }
    EXPECT_EQ(times, 1);
    std::uint64_t value = 0;
    EXPECT_EQ(::read(event.get(), &value, sizeof value), 8) << "still open";
}

TEST(FdWatchTest, WhatEpollRefusesIsAnErrorAndNoException) {
    boost::asio::io_context io;
    const UniqueFd event(::eventfd(1, EFD_CLOEXEC));
    const FdWatch first(io, event.get());
    FdWatch watch(io, event.get());
    const Result<void> watching = watch.is_watching();
    ASSERT_FALSE(watching);
    EXPECT_EQ(watching.error().code, std::errc::file_exists);
    bool called = false;
    watch.wait([&] { called = true; });
    EXPECT_LE(io.run(), 1U);
    EXPECT_FALSE(called);
}

}  // namespace
}  // namespace topsman::supervisor
