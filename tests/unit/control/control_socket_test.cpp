#include "supervisor/control/control_socket.hpp"

#include "tests/unit/control/control_test_helper.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sys/stat.h>

namespace topsman::control {
namespace {

mode_t mode_of(const std::string& path) {
    struct stat file {};

    EXPECT_EQ(::lstat(path.c_str(), &file), 0);
    return file.st_mode & 07777U;
}

TEST(ControlSocketTest, HasTheModeThatIsAskedForWhateverTheUmask) {
    const TempDir dir;
    const std::string path = dir.path() + "/s";
    for (const mode_t mask : {mode_t{0}, mode_t{0777}}) {
        const mode_t old = ::umask(mask);
        const auto fd = listen_unix(path, 0660, "");
        (void)::umask(old);
        ASSERT_TRUE(fd) << fd.error().message;
        EXPECT_EQ(mode_of(path), 0660U);
    }
}

TEST(ControlSocketTest, ALeftSocketIsReplacedAndAFileIsNot) {
    const TempDir dir;
    const std::string path = dir.path() + "/s";
    ASSERT_TRUE(listen_unix(path, 0600, ""));
    ASSERT_TRUE(listen_unix(path, 0600, "")) << "the first one is closed, its file is left";
    const std::string file = dir.path() + "/f";
    std::ofstream(file) << "precious";
    const auto refused = listen_unix(file, 0600, "");
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("something else"), std::string::npos);
    EXPECT_EQ(mode_of(file) & 0600U, 0600U) << "it is still there";
}

TEST(ControlSocketTest, EveryErrorNamesThePath) {
    const TempDir dir;
    const std::string missing = dir.path() + "/no/such/s";
    EXPECT_NE(listen_unix(missing, 0600, "").error().message.find(missing), std::string::npos);
    const std::string too_long = dir.path() + "/" + std::string(120, 'x');
    const auto error = listen_unix(too_long, 0600, "").error();
    EXPECT_EQ(error.code, std::errc::filename_too_long);
    EXPECT_NE(error.message.find("107"), std::string::npos);
    EXPECT_NE(listen_unix(dir.path() + "/s", 0600, "no-such-group")
                  .error()
                  .message.find("no group no-such-group"),
              std::string::npos);
}

TEST(ControlSocketTest, TheGroupMayBeANumber) {
    const TempDir dir;
    EXPECT_TRUE(listen_unix(dir.path() + "/s", 0660, std::to_string(::getegid())));
}

TEST(ControlSocketTest, TheLongestPathWorks) {
    const TempDir dir;
    const std::string path = dir.path() + "/" + std::string(107 - dir.path().size() - 1, 'x');
    ASSERT_EQ(path.size(), 107U);
    EXPECT_TRUE(listen_unix(path, 0600, ""));
}

}  // namespace
}  // namespace topsman::control
