#include "supervisor/posix/program.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace topsman::posix {
namespace {

namespace fs = std::filesystem;

Program as_called(std::string name) {
    std::array<char*, 2> words{name.data(), nullptr};
    return this_program(1, words.data());
}

const fs::path kItself = fs::read_symlink("/proc/self/exe");

TEST(ProgramTest, IsWhatItWasCalledAsButAbsolute) {
    EXPECT_EQ(as_called(kItself).path, kItself);
    EXPECT_EQ(as_called(fs::relative(kItself)).path, kItself);
    EXPECT_EQ(as_called(kItself).words, std::vector<std::string>{kItself});
}

// What the link leads to later may be a newer one: that is what links are for.
TEST(ProgramTest, ALinkIsNotFollowed) {
    std::string directory = (fs::temp_directory_path() / "program-XXXXXX").string();
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    const fs::path link = fs::path(directory) / "current";
    fs::create_symlink(kItself, link);
    EXPECT_EQ(as_called(link).path, link);
    fs::remove_all(directory);
}

TEST(ProgramTest, IsFoundInThePath) {
    const std::string before = std::getenv("PATH");
    ASSERT_EQ(::setenv("PATH", ("/nowhere:" + kItself.parent_path().string()).c_str(), 1), 0);
    EXPECT_EQ(as_called(kItself.filename()).path, kItself);
    ASSERT_EQ(::setenv("PATH", before.c_str(), 1), 0);
}

TEST(ProgramTest, AnotherNameLeadsNowhereElse) {
    EXPECT_EQ(as_called("/bin/sh").path, kItself);
    EXPECT_EQ(as_called("").path, kItself);
    EXPECT_EQ(this_program(0, nullptr).path, kItself);
}

}  // namespace
}  // namespace topsman::posix
