#include "supervisor/posix/launcher.hpp"
#include "tests/unit/posix/support.hpp"

#include <gmock/gmock.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

using testing::Contains;

TEST(IdentityTest, AnAccountHasAGroupAHomeAndAShell) {
    const auto root = resolve_user("root", "");
    ASSERT_TRUE(root);
    EXPECT_EQ(root->uid, 0U);
    EXPECT_EQ(root->gid, 0U);
    EXPECT_EQ(root->home, "/root");
    EXPECT_EQ(root->name, "root");
    EXPECT_FALSE(root->shell.empty());
    EXPECT_THAT(root->groups, Contains(0U));
}

TEST(IdentityTest, TheGroupCanBeSaidApart) {
    const auto identity = resolve_user("root", "adm");
    ASSERT_TRUE(identity);
    EXPECT_EQ(identity->gid, 4U);
    EXPECT_THAT(identity->groups, Contains(4U));
    EXPECT_EQ(resolve_user("root", "4")->gid, 4U);
}

TEST(IdentityTest, NumbersNeedNoAccount) {
    const auto identity = resolve_user("54321", "");
    ASSERT_TRUE(identity);
    EXPECT_EQ(identity->uid, 54'321U);
    EXPECT_EQ(identity->gid, 54'321U);
    EXPECT_TRUE(identity->name.empty());
}

TEST(IdentityTest, NobodySaidIsOurselves) {
    const auto identity = resolve_user("", "");
    ASSERT_TRUE(identity);
    EXPECT_EQ(identity->uid, ::geteuid());
}

TEST(IdentityTest, UnknownNamesAreErrorsThatNameThem) {
    EXPECT_EQ(resolve_user("no-such-user", "").error().message, "user no-such-user: no such user");
    EXPECT_EQ(resolve_user("root", "no-such-group").error().message,
              "group no-such-group: no such group");
    EXPECT_FALSE(resolve_user("4294967295", "")) << "to the kernel that is: leave it as it is";
    EXPECT_FALSE(resolve_user("-1", ""));
}

TEST(LimitTest, KeysAreTheKernelsNamesInLowerCase) {
    EXPECT_EQ(limit_number("nofile"), RLIMIT_NOFILE);
    EXPECT_EQ(limit_number("memory"), RLIMIT_AS);
    EXPECT_EQ(limit_number("core"), RLIMIT_CORE);
    EXPECT_FALSE(limit_number("NOFILE"));
    EXPECT_FALSE(limit_number("files"));
    EXPECT_EQ(limit_name(RLIMIT_NOFILE), "nofile");
    EXPECT_EQ(limit_name(RLIMIT_AS), "memory");
}

TEST(StandardDescriptorsTest, ClosedOnesAreOpenedOnDevNull) {
    EXPECT_EQ(test::in_child([] {
                  (void)::close(0);
                  (void)::close(2);
                  ensure_standard_descriptors();
                  return ::fcntl(0, F_GETFD) == 0 && ::fcntl(2, F_GETFD) == 0 ? 0 : 1;
              }),
              0);
}

}  // namespace
}  // namespace topsman::posix
