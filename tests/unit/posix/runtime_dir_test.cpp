#include "supervisor/runtime_dir.hpp"

#include "supervisor/posix/process_info.hpp"
#include "tests/unit/posix/support.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RuntimeDirTest : public testing::Test {
  protected:
    RuntimeDirTest() {
        (void)::setenv("RUNTIME_DIRECTORY", dir_.path().c_str(), 1);
        (void)::setenv("XDG_RUNTIME_DIR", dir_.path("none").c_str(), 1);
    }

    ~RuntimeDirTest() override {
        (void)::unsetenv("RUNTIME_DIRECTORY");
        (void)::unsetenv("XDG_RUNTIME_DIR");
    }

    ClusterRecord record(const std::string& cluster, bool alive = true) {
        const auto pid = static_cast<std::uint32_t>(::getpid());
        const std::uint64_t ticks = posix::process_info(pid)->start_ticks;
        return {cluster,
                pid,
                alive ? ticks : ticks + 1,
                dir_.path(cluster + ".yaml"),
                dir_.path(cluster + ".sock"),
                "topsman." + cluster,
                ""};
    }

    void write(const ClusterRecord& what) { ASSERT_TRUE(write_record(dir_.path(), what)); }

    posix::test::TempDir dir_;
};

TEST_F(RuntimeDirTest, IsTheOneThatSystemdGives) {
    EXPECT_EQ(own_runtime_dir().value(), dir_.path());
    (void)::setenv("RUNTIME_DIRECTORY", (dir_.path() + ":/run/other").c_str(), 1);
    EXPECT_EQ(own_runtime_dir().value(), dir_.path());
}

TEST_F(RuntimeDirTest, OfAnOrdinaryUserIsPrivateAndItsOwn) {
    const int code = posix::test::in_child([&] {
        (void)::unsetenv("RUNTIME_DIRECTORY");
        (void)::setenv("XDG_RUNTIME_DIR", dir_.path().c_str(), 1);
        if (::geteuid() == 0 &&
            (::chmod(dir_.path().c_str(), 0777) != 0 || ::setuid(65'534) != 0)) {
            return 9;
        }
        const auto own = own_runtime_dir();
        struct stat status {};
        return own && *own == dir_.path("topsman") && ::stat(own->c_str(), &status) == 0 &&
                       (status.st_mode & 0777U) == 0700U
                   ? 0
                   : 1;
    });
    EXPECT_EQ(code, 0);
}

TEST_F(RuntimeDirTest, AFolderThatSomebodyElseMadeInTmpIsRefused) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root: makes a folder of another user";
    }
    const int code = posix::test::in_child([&] {
        (void)::unsetenv("RUNTIME_DIRECTORY");
        (void)::setenv("XDG_RUNTIME_DIR", dir_.path().c_str(), 1);
        (void)::chmod(dir_.path().c_str(), 0777);
        std::filesystem::create_directory(dir_.path("topsman"));
        if (::setuid(65'534) != 0) {
            return 9;
        }
        const auto own = own_runtime_dir();
        return !own && own.error().message.find("belongs to user 0") != std::string::npos ? 0 : 1;
    });
    EXPECT_EQ(code, 0);
}

TEST_F(RuntimeDirTest, OneThatCannotBeWrittenIsNamed) {
    (void)::setenv("RUNTIME_DIRECTORY", dir_.path("no/such").c_str(), 1);
    EXPECT_THAT(own_runtime_dir().error().message,
                HasSubstr("runtime directory " + dir_.path("no/such") + ": No such file"));
    (void)::setenv("RUNTIME_DIRECTORY", "/proc", 1);
    EXPECT_FALSE(write_record("/proc", record("shop")));
}

TEST_F(RuntimeDirTest, CommandsLookInTheSystemsAndTheUsersOwn) {
    EXPECT_THAT(searched_runtime_dirs(), ElementsAre(dir_.path())) << "where it is given";
    (void)::unsetenv("RUNTIME_DIRECTORY");
    EXPECT_THAT(searched_runtime_dirs(), ElementsAre("/run/topsman", dir_.path("none/topsman")));
    (void)::unsetenv("XDG_RUNTIME_DIR");
    EXPECT_EQ(searched_runtime_dirs().back(), "/tmp/topsman-" + std::to_string(::geteuid()));
}

TEST_F(RuntimeDirTest, ARecordComesBackAsItWasWritten) {
    const auto written = record("shop");
    write(written);
    const auto read = read_record(dir_.path("shop.json"));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->cluster, "shop");
    EXPECT_EQ(read->pid, written.pid);
    EXPECT_EQ(read->start_ticks, written.start_ticks);
    EXPECT_EQ(read->file, written.file);
    EXPECT_EQ(read->socket, written.socket);
    EXPECT_EQ(read->segment, written.segment);
    EXPECT_FALSE(std::filesystem::exists(dir_.path("shop.json.new")));
    remove_record(dir_.path(), "shop");
    EXPECT_FALSE(std::filesystem::exists(dir_.path("shop.json")));
}

TEST_F(RuntimeDirTest, WhatIsNoRecordIsAnError) {
    for (const char* text : {"", "{", "[]", "{}", R"({"cluster":7,"pid":"x"})",
                             R"({"cluster":"shop","pid":-1})", "\xff\xff"}) {
        EXPECT_FALSE(read_record(dir_.file("x.json", text))) << text;
    }
    EXPECT_FALSE(read_record(dir_.file("deep.json", std::string(16'000, '['))));
}

TEST_F(RuntimeDirTest, TheOnlyClusterNeedsNoName) {
    EXPECT_EQ(find_cluster({}, {}).error().code, std::errc::no_such_process);
    write(record("shop"));
    EXPECT_EQ(find_cluster({}, {}).value().cluster, "shop");
    EXPECT_EQ(find_cluster("shop", {}).value().cluster, "shop");
    EXPECT_EQ(find_cluster({}, dir_.path("./shop.yaml")).value().cluster, "shop");
    EXPECT_EQ(find_cluster("other", {}).error().message, "no cluster named other is running here");
    EXPECT_THAT(find_cluster({}, dir_.path("other.yaml")).error().message,
                HasSubstr("with the file " + dir_.path("other.yaml")));
}

TEST_F(RuntimeDirTest, OfSeveralOneHasToBeNamed) {
    write(record("shop"));
    write(record("blog"));
    const auto either = find_cluster({}, {});
    ASSERT_FALSE(either);
    EXPECT_THAT(either.error().message, HasSubstr("shop ("));
    EXPECT_THAT(either.error().message, HasSubstr("blog ("));
    EXPECT_THAT(either.error().message, HasSubstr("-n CLUSTER"));
    EXPECT_EQ(find_cluster("blog", {}).value().cluster, "blog");
}

TEST_F(RuntimeDirTest, ADeadOneIsFoundButIsNotInTheWayOfALivingOne) {
    write(record("crashed", false));
    EXPECT_EQ(find_cluster({}, {}).value().cluster, "crashed");
    write(record("shop"));
    EXPECT_EQ(find_cluster({}, {}).value().cluster, "shop");
    EXPECT_EQ(find_cluster("crashed", {}).value().cluster, "crashed");
}

TEST_F(RuntimeDirTest, ABrokenRecordHidesNoOther) {
    (void)dir_.file("broken.json", "{");
    write(record("shop"));
    EXPECT_EQ(find_cluster({}, {}).value().cluster, "shop");
}

}  // namespace
}  // namespace topsman
