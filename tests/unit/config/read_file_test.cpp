#include "config/read_file.hpp"

#include "loading.hpp"

#include <gmock/gmock.h>

#include <sys/stat.h>
#include <unistd.h>

namespace topsman::config {
namespace {

using testing::HasSubstr;

TEST(ReadFile, GivesTheWholeText) {
    const TempFolder folder;
    const std::string text(200'000, 'x');
    EXPECT_EQ(read_file(folder.write("a", text), 200'000).value(), text);
    EXPECT_EQ(read_file(folder.write("b", ""), 10).value(), "");
}

TEST(ReadFile, RefusesWhatIsTooLarge) {
    const TempFolder folder;
    EXPECT_THAT(read_file(folder.write("a", std::string(2'049, 'x')), 2'048).error().message,
                HasSubstr("larger than 2 KiB"));
}

TEST(ReadFile, NeverWaitsForAFifo) {
    const TempFolder folder;
    ASSERT_EQ(::mkfifo(folder.path("fifo").c_str(), 0600), 0);
    EXPECT_THAT(read_file(folder.path("fifo"), 10).error().message,
                HasSubstr("not a regular file"));
    EXPECT_THAT(read_file("/dev/zero", 10).error().message, HasSubstr("not a regular file"));
}

TEST(ReadFile, SaysWhyItCannot) {
    const TempFolder folder;
    EXPECT_THAT(read_file(folder.path(""), 10).error().message, HasSubstr("is a directory"));
    EXPECT_THAT(read_file(folder.path("none"), 10).error().message, HasSubstr("No such file"));
}

TEST(ReadFile, SaysThatItMayNot) {
    const TempFolder folder;
    const std::string path = folder.write("a", "x");
    ASSERT_EQ(::chmod(path.c_str(), 0), 0);
    // Root may read everything, so root is nobody for a moment.
    const uid_t self = ::geteuid();
    ASSERT_TRUE(self != 0 || ::seteuid(65'534) == 0);
    const auto text = read_file(path, 10);
    ASSERT_EQ(::seteuid(self), 0);
    EXPECT_THAT(text.error().message, HasSubstr("Permission denied"));
}

}  // namespace
}  // namespace topsman::config
