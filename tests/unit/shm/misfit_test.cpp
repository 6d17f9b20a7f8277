// What is found under a segment's name and is not a segment of ours: each gets one clear sentence,
// from the master (adopt) and from a looker (open_read_only), and never a crash or a hang.

#include "shm/header.hpp"
#include "shm/segment.hpp"
#include "shm_test_helper.hpp"

#include <gmock/gmock.h>

#include <cstddef>
#include <fcntl.h>
#include <fstream>
#include <random>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::shm {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t kNobody = 65'534;

class MisfitTest : public testing::Test {
  protected:
    void SetUp() override { (void)Segment::create(name_.options()).value(); }

    template <class T>
    void patch(std::size_t offset, const T& value) const {
        std::fstream file(name_.path(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(offset));
        file.write(reinterpret_cast<const char*>(&value), sizeof(value));
        ASSERT_TRUE(file.flush());
    }

    void expect_misfit(const std::string& why) const {
        for (const auto& result :
             {Segment::adopt(name_.options()), Segment::open_read_only(name_.get())}) {
            ASSERT_FALSE(result);
            EXPECT_EQ(result.error().message, "segment " + name_.get() + ": " + why);
            EXPECT_EQ(result.error().code, std::errc::invalid_argument);
        }
    }

    void expect_denied(const std::string& why) const {
        const auto adopted = Segment::adopt(name_.options());
        ASSERT_FALSE(adopted);
        EXPECT_EQ(adopted.error().code, std::errc::permission_denied);
        EXPECT_EQ(adopted.error().message,
                  "segment " + name_.get() + ": " + name_.path() + " " + why);
    }

    TestName name_;
};

TEST_F(MisfitTest, OfAnotherVersion) {
    patch(offsetof(Header, layout_version), std::uint32_t{99});
    expect_misfit("it has layout version 99, this topsman has " + std::to_string(kLayoutVersion));
}

TEST_F(MisfitTest, OfAnotherBuild) {
    patch(offsetof(Header, abi_hash), std::uint64_t{1});
    expect_misfit("it was made by a topsman that was built differently");
}

TEST_F(MisfitTest, OfAnotherBoot) {
    patch(offsetof(Header, boot_id), 'z');
    const auto adopted = Segment::adopt(name_.options());
    ASSERT_FALSE(adopted);
    EXPECT_EQ(adopted.error().message,
              "segment " + name_.get() + ": it is from before the last boot");
    EXPECT_TRUE(Segment::open_read_only(name_.get())) << "whoever only looks may";
}

TEST_F(MisfitTest, OfAnotherPidNamespace) {
    patch(offsetof(Header, pid_namespace), std::uint64_t{1});
    expect_misfit("it belongs to another pid namespace (another container?)");
}

TEST_F(MisfitTest, OfAMasterThatDiedWhileItMadeIt) {
    patch(offsetof(Header, magic), std::uint64_t{0});
    expect_misfit("not a topsman segment, or one whose maker died before it was whole");
}

TEST_F(MisfitTest, Truncated) {
    ASSERT_EQ(::truncate(name_.path().c_str(), 8'192), 0);
    const auto adopted = Segment::adopt(name_.options());
    ASSERT_FALSE(adopted);
    EXPECT_THAT(adopted.error().message,
                HasSubstr("truncated: it has 8,192 bytes, its header says "));
    ASSERT_EQ(::truncate(name_.path().c_str(), 100), 0);
    expect_misfit("truncated: it has 100 bytes");
    ASSERT_EQ(::truncate(name_.path().c_str(), 0), 0);
    expect_misfit("truncated: it has 0 bytes");
}

TEST_F(MisfitTest, RandomBytes) {
    std::mt19937_64 random(7);
    std::string bytes(100'000, '\0');
    std::generate(bytes.begin(), bytes.end(), [&random] { return static_cast<char>(random()); });
    std::ofstream(name_.path(), std::ios::binary | std::ios::trunc) << bytes;
    expect_misfit("not a topsman segment, or one whose maker died before it was whole");
}

TEST_F(MisfitTest, WithADirectoryThatPointsOutside) {
    patch(offsetof(Header, directory), ~std::uint64_t{127});
    expect_misfit("its directory is corrupt");
}

TEST_F(MisfitTest, WithMoreLanesThanItsSizeHasRoomFor) {
    patch(offsetof(Header, lanes), std::uint32_t{1'000});
    expect_misfit("its directory is corrupt");
}

TEST_F(MisfitTest, WithAnotherNumberOfLanes) {
    const auto adopted = Segment::adopt(name_.options(16));
    ASSERT_FALSE(adopted);
    EXPECT_EQ(adopted.error().message,
              "segment " + name_.get() + ": it has 8 lanes, not 16 (segment.lanes)");
    EXPECT_EQ(Segment::open_read_only(name_.get()).value().epoch(), 1U)
        << "a master that did not take it has not changed it";
}

TEST_F(MisfitTest, WritableByOthers) {
    ASSERT_EQ(::chmod(name_.path().c_str(), 0622), 0);
    expect_denied("of uid " + std::to_string(::geteuid()) + " may be written by others");
}

TEST_F(MisfitTest, ASymbolicLink) {
    ASSERT_EQ(::rename(name_.path().c_str(), (name_.path() + ".stale").c_str()), 0);
    ASSERT_EQ(::symlink((name_.path() + ".stale").c_str(), name_.path().c_str()), 0);
    expect_denied("is not a file");
}

TEST_F(MisfitTest, AFifoHangsNobody) {
    ASSERT_EQ(::unlink(name_.path().c_str()), 0);
    ASSERT_EQ(::mkfifo(name_.path().c_str(), 0600), 0);
    expect_denied("is not a file");
    EXPECT_FALSE(Segment::open_read_only(name_.get()));
}

TEST_F(MisfitTest, ADirectory) {
    ASSERT_EQ(::unlink(name_.path().c_str()), 0);
    ASSERT_EQ(::mkdir(name_.path().c_str(), 0700), 0);
    expect_denied("is not a file");
}

TEST_F(MisfitTest, OfAnotherUserWhoseNameIsSaid) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root: gives a file to another user";
    }
    ASSERT_EQ(::chown(name_.path().c_str(), kNobody, kNobody), 0);
    expect_denied("belongs to uid 65534, not to us (uid 0)");
}

TEST_F(MisfitTest, OfAnotherUserWhoLetsNobodyIn) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root: becomes another user";
    }
    EXPECT_EQ(in_child([this] {
                  ASSERT_EQ(::setuid(kNobody), 0);
                  expect_denied("belongs to uid 0: Permission denied");
                  EXPECT_FALSE(Segment::open_read_only(name_.get()));
              }),
              0);
}

/// A /dev/shm of one megabyte, for this process alone. As an ordinary user in a user namespace,
/// where it stays itself: the kernel makes no files for an unmapped user (user_namespaces(7)).
bool mount_small_shm() {
    const auto itself = [](std::uint32_t id) {
        return std::to_string(id) + " " + std::to_string(id) + " 1";
    };
    const std::string user = itself(::geteuid());
    const std::string group = itself(::getegid());
    if (::unshare(CLONE_NEWNS) != 0) {
        if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
            return false;
        }
        std::ofstream("/proc/self/setgroups") << "deny";
        std::ofstream("/proc/self/uid_map") << user;
        std::ofstream("/proc/self/gid_map") << group;
    }
    return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=1m,mode=1777") == 0;
}

TEST(NoSpaceTest, AFullDevShmIsASentenceAndLeavesNothingBehind) {
    constexpr int kCannotMount = 77;
    const int status = in_child([] {
        if (!mount_small_shm()) {
            ::_exit(kCannotMount);
        }
        const TestName name;
        const auto segment = Segment::create(name.options(kDefaultLanes));
        ASSERT_FALSE(segment);
        EXPECT_EQ(segment.error().code, std::errc::no_space_on_device);
        EXPECT_THAT(segment.error().message,
                    testing::MatchesRegex("segment .*: /dev/shm: No space left on device: "
                                          "[0-9]+ bytes are needed, [0-9]+ are available "
                                          "\\(in a container see its --shm-size\\)"));
        EXPECT_NE(::access(name.path().c_str(), F_OK), 0);
    });
    if (WIFEXITED(status) && WEXITSTATUS(status) == kCannotMount) {
        GTEST_SKIP() << "needs root or user namespaces: mounts a small /dev/shm";
    }
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace topsman::shm
