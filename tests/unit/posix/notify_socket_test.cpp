#include "supervisor/posix/notify_socket.hpp"

#include "tests/unit/posix/support.hpp"

#include <gmock/gmock.h>

#include <array>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

using namespace std::chrono_literals;

TEST(NotifyMessageTest, ReadsWhatSdNotifySends) {
    const auto message =
        parse_notify("READY=1\nSTATUS=serving 3 requests\nEXTEND_TIMEOUT_USEC=1500000\nERRNO=2\n");
    EXPECT_TRUE(message.ready);
    EXPECT_FALSE(message.stopping);
    EXPECT_FALSE(message.watchdog);
    EXPECT_EQ(message.status, "serving 3 requests");
    EXPECT_EQ(message.extend_timeout, 1'500'000us);
    EXPECT_EQ(message.error_number, 2);
}

TEST(NotifyMessageTest, TellsABeatFromATrigger) {
    EXPECT_TRUE(parse_notify("WATCHDOG=1").watchdog);
    EXPECT_FALSE(parse_notify("WATCHDOG=1").watchdog_trigger);
    EXPECT_TRUE(parse_notify("WATCHDOG=trigger").watchdog_trigger);
    EXPECT_FALSE(parse_notify("WATCHDOG=trigger").watchdog);
    EXPECT_TRUE(parse_notify("STOPPING=1").stopping);
}

TEST(NotifyMessageTest, IgnoresWhatItDoesNotKnow) {
    const auto message = parse_notify(
        "MAINPID=1\nFDSTORE=1\nREADY=0\n\n=\nREADY\nERRNO=x\n"
        "EXTEND_TIMEOUT_USEC=-5\nWATCHDOG=2\n");
    EXPECT_FALSE(message.ready || message.stopping || message.watchdog || message.watchdog_trigger);
    EXPECT_FALSE(message.status || message.error_number || message.extend_timeout);
    EXPECT_FALSE(parse_notify("").ready);
    EXPECT_FALSE(parse_notify("EXTEND_TIMEOUT_USEC=99999999999999999999999").extend_timeout);
}

TEST(NotifyMessageTest, AStatusCannotDriveTheOperatorsTerminal) {
    EXPECT_EQ(parse_notify("STATUS=a\x1b[2Jb\x07").status, "a [2Jb ");
}

class NotifySocketTest : public testing::Test {
  protected:
    static int send_to(const std::string& path, const std::string& text, int attached = -1) {
        const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        sockaddr_un un{};
        un.sun_family = AF_UNIX;
        std::strncpy(un.sun_path, path.c_str(), sizeof un.sun_path - 1);
        iovec data{const_cast<char*>(text.data()), text.size()};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
        msghdr message{};
        message.msg_name = &un;
        message.msg_namelen = sizeof un;
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        if (attached >= 0) {
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            cmsghdr* header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int));
            std::memcpy(CMSG_DATA(header), &attached, sizeof attached);
        }
        return ::sendmsg(fd.get(), &message, MSG_DONTWAIT) < 0 ? errno : 0;
    }

    test::TempDir dir_;
};

TEST_F(NotifySocketTest, ReceivesEachDatagramAndThenNothing) {
    const auto socket = NotifySocket::bind(dir_.path("web.0"), std::nullopt);
    ASSERT_TRUE(socket) << socket.error().message;
    EXPECT_FALSE(socket->receive());
    ASSERT_EQ(send_to(socket->path(), "STATUS=warming up"), 0);
    ASSERT_EQ(send_to(socket->path(), "READY=1"), 0);
    EXPECT_TRUE(test::wait_readable(socket->fd()));
    EXPECT_EQ(socket->receive().value_or(NotifyMessage{}).status, "warming up");
    EXPECT_TRUE(socket->receive().value_or(NotifyMessage{}).ready);
    EXPECT_FALSE(socket->receive());
}

TEST_F(NotifySocketTest, AnEmptyDatagramIsAMessageThatSaysNothing) {
    const auto socket = NotifySocket::bind(dir_.path("s"), std::nullopt);
    ASSERT_EQ(send_to(socket->path(), ""), 0);
    ASSERT_EQ(send_to(socket->path(), "READY=1"), 0);
    EXPECT_TRUE(socket->receive());
    EXPECT_TRUE(socket->receive().value_or(NotifyMessage{}).ready);
}

TEST_F(NotifySocketTest, ADescriptorThatComesAlongIsClosed) {
    const auto socket = NotifySocket::bind(dir_.path("s"), std::nullopt);
    auto barrier = test::make_pipe();
    ASSERT_EQ(send_to(socket->path(), "BARRIER=1", barrier.write_end.get()), 0);
    barrier.write_end.reset();
    EXPECT_TRUE(socket->receive());
    EXPECT_EQ(test::read_text(barrier.read_end.get()), "") << "the end of file has come";
}

TEST_F(NotifySocketTest, IsOursAloneAndGoesAwayWithItsObject) {
    {
        const auto socket = NotifySocket::bind(dir_.path("s"), std::nullopt);
        ASSERT_TRUE(socket);

        struct stat status {};

        ASSERT_EQ(::stat(dir_.path("s").c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 0777U, 0600U);
    }
    EXPECT_FALSE(std::filesystem::exists(dir_.path("s")));
}

TEST_F(NotifySocketTest, ReplacesWhatADeadMasterLeft) {
    (void)dir_.file("s", "left");
    EXPECT_TRUE(NotifySocket::bind(dir_.path("s"), std::nullopt));
}

TEST_F(NotifySocketTest, AMovedSocketKeepsItsPath) {
    auto first = NotifySocket::bind(dir_.path("first"), std::nullopt);
    auto second = NotifySocket::bind(dir_.path("second"), std::nullopt);
    *first = std::move(*second);
    EXPECT_EQ(first->path(), dir_.path("second"));
    EXPECT_EQ(send_to(first->path(), "READY=1"), 0);
    EXPECT_TRUE(first->receive());
}

TEST_F(NotifySocketTest, IsOwnedByTheWorkersUser) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    const auto socket = NotifySocket::bind(dir_.path("s"), std::pair{33U, 34U});
    ASSERT_TRUE(socket);

    struct stat status {};

    ASSERT_EQ(::stat(dir_.path("s").c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, 33U);
    EXPECT_EQ(status.st_gid, 34U);
}

TEST_F(NotifySocketTest, APathThatIsTooLongIsAnErrorThatSaysSo) {
    const auto socket = NotifySocket::bind(dir_.path(std::string(200, 'x')), std::nullopt);
    ASSERT_FALSE(socket);
    EXPECT_THAT(socket.error().message, testing::HasSubstr("longer than 107 characters"));
}

class ServiceManagerTest : public testing::Test {
  protected:
    ~ServiceManagerTest() override {
        for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
            (void)::unsetenv(name);
        }
    }

    test::TempDir dir_;
};

TEST_F(ServiceManagerTest, IsToldAndItsVariablesAreTakenAway) {
    const auto systemd = NotifySocket::bind(dir_.path("notify"), std::nullopt);
    (void)::setenv("NOTIFY_SOCKET", systemd->path().c_str(), 1);
    (void)::setenv("WATCHDOG_USEC", "2000000", 1);
    (void)::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
    const auto manager = ServiceManager::from_environment();
    EXPECT_TRUE(manager.present());
    EXPECT_EQ(manager.watchdog(), 2s);
    EXPECT_EQ(::getenv("NOTIFY_SOCKET"), nullptr);
    EXPECT_EQ(::getenv("WATCHDOG_USEC"), nullptr);
    EXPECT_EQ(::getenv("WATCHDOG_PID"), nullptr);
    manager.notify("READY=1\nSTATUS=4 workers");
    const auto message = systemd->receive();
    ASSERT_TRUE(message);
    EXPECT_TRUE(message->ready);
    EXPECT_EQ(message->status, "4 workers");
}

TEST_F(ServiceManagerTest, AWatchdogForAnotherProcessIsNotOurs) {
    (void)::setenv("WATCHDOG_USEC", "2000000", 1);
    (void)::setenv("WATCHDOG_PID", "1", 1);
    EXPECT_FALSE(ServiceManager::from_environment().watchdog());
}

TEST_F(ServiceManagerTest, NobodyThereIsNoError) {
    const auto nobody = ServiceManager::from_environment();
    EXPECT_FALSE(nobody.present());
    EXPECT_FALSE(nobody.notify("READY=1"));
    EXPECT_FALSE(nobody.store("name", STDIN_FILENO));
    (void)::setenv("NOTIFY_SOCKET", dir_.path("gone").c_str(), 1);
    EXPECT_FALSE(ServiceManager::from_environment().notify("READY=1"));
}

TEST_F(ServiceManagerTest, GetsADescriptorAndItsName) {
    const auto systemd = NotifySocket::bind(dir_.path("notify"), std::nullopt);
    (void)::setenv("NOTIFY_SOCKET", systemd->path().c_str(), 1);
    ASSERT_TRUE(ServiceManager::from_environment().store("topsman.http.1", systemd->fd()));
    std::array<char, 256> text{};
    iovec data{text.data(), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ASSERT_GT(::recvmsg(systemd->fd(), &message, 0), 0);
    EXPECT_STREQ(text.data(), "FDSTORE=1\nFDNAME=topsman.http.1");
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    ASSERT_NE(header, nullptr);
    int number = -1;
    std::memcpy(&number, CMSG_DATA(header), sizeof number);
    const UniqueFd got(number);

    struct stat sent {};

    struct stat received {};

    EXPECT_EQ(::fstat(systemd->fd(), &sent), 0);
    EXPECT_EQ(::fstat(got.get(), &received), 0);
    EXPECT_EQ(received.st_ino, sent.st_ino);
}

TEST_F(ServiceManagerTest, AServiceManagerThatDoesNotReadIsNotWaitedFor) {
    const auto systemd = NotifySocket::bind(dir_.path("notify"), std::nullopt);
    (void)::setenv("NOTIFY_SOCKET", systemd->path().c_str(), 1);
    const auto manager = ServiceManager::from_environment();
    for (int i = 0; i < 5'000; ++i) {
        manager.notify("WATCHDOG=1");
    }
    EXPECT_TRUE(systemd->receive());
}

}  // namespace
}  // namespace topsman::posix
