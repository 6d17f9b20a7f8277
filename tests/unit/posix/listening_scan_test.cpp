// One child for each way to wait for a connection, looked at from outside.

#include "supervisor/posix/listening_scan.hpp"

#include "tests/unit/posix/support.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace topsman::posix {
namespace {

using Answer = ListeningScan::Answer;

UniqueFd listening_socket() {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd.get(), 16), 0);
    return fd;
}

std::uint64_t inode_of(int fd) {
    struct stat info {};

    EXPECT_EQ(::fstat(fd, &info), 0);
    return info.st_ino;
}

int epoll_with(int fd, std::uint32_t events) {
    const int set = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = events;
    (void)::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    return set;
}

void wait_in_epoll(int set) {
    epoll_event event{};
    (void)::epoll_wait(set, &event, 1, -1);
}

class ListeningScanTest : public testing::Test {
  protected:
    /// A child in a session of its own that does `wait` and never comes back from it.
    template <class Wait>
    void start(Wait wait) {
        child_ = ::fork();
        if (child_ == 0) {
            (void)::setsid();
            wait();
            ::_exit(0);
        }
    }

    ~ListeningScanTest() override {
        if (child_ > 0) {
            (void)::kill(-child_, SIGKILL);
            (void)::kill(child_, SIGKILL);
            (void)test::wait_child(child_);
        }
    }

    [[nodiscard]] ListeningScan look(const std::vector<std::uint64_t>& inodes) const {
        return scan_listening(static_cast<std::uint32_t>(child_), inodes);
    }

    /// It gets there some time after the fork; the deadline is for one that never does.
    [[nodiscard]] bool comes_to_wait() const {
        const auto end = std::chrono::steady_clock::now() + test::kSafetyNet;
        while (std::chrono::steady_clock::now() < end) {
            if (look({inode_of(socket_.get())}).answer == Answer::Waits) {
                return true;
            }
            std::this_thread::yield();
        }
        return false;
    }

    /// Until its thread sleeps in some call, whatever it is.
    void until_it_sleeps() const {
        const auto end = std::chrono::steady_clock::now() + test::kSafetyNet;
        std::string text;
        while (std::chrono::steady_clock::now() < end &&
               !text.starts_with(std::to_string(SYS_pause) + " ")) {
            const UniqueFd fd(
                ::open(("/proc/" + std::to_string(child_) + "/syscall").c_str(), O_RDONLY));
            text = test::read_text(fd.get());
        }
    }

    UniqueFd socket_ = listening_socket();
    pid_t child_ = 0;
};

TEST_F(ListeningScanTest, EpollOnIt) {
    start([&] { wait_in_epoll(epoll_with(socket_.get(), EPOLLIN | EPOLLET)); });
    EXPECT_TRUE(comes_to_wait());
    const UniqueFd other = listening_socket();
    EXPECT_EQ(look({inode_of(other.get())}).answer, Answer::NotYet) << "not on that one";
    EXPECT_EQ(look({inode_of(socket_.get()), inode_of(other.get())}).answer, Answer::NotYet)
        << "on one of two";
}

TEST_F(ListeningScanTest, EpollOnADuplicate) {
    start([&] { wait_in_epoll(epoll_with(::dup(socket_.get()), EPOLLIN)); });
    EXPECT_TRUE(comes_to_wait());
}

TEST_F(ListeningScanTest, ASetThatNobodyWaitsOnIsNotEnough) {
    start([&] {
        (void)epoll_with(socket_.get(), EPOLLIN);
        (void)::pause();
    });
    until_it_sleeps();
    EXPECT_EQ(look({inode_of(socket_.get())}).answer, Answer::NotYet);
}

TEST_F(ListeningScanTest, ASetWithoutItsReadingIsNotEnough) {
    start([&] { wait_in_epoll(epoll_with(socket_.get(), EPOLLOUT)); });
    const auto again = [&] { return look({inode_of(socket_.get())}).answer; };
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(again(), Answer::NotYet);
    }
}

TEST_F(ListeningScanTest, ADescriptorThatWasMerelyInheritedIsNotEnough) {
    start([] { (void)::pause(); });
    until_it_sleeps();
    EXPECT_EQ(look({inode_of(socket_.get())}).answer, Answer::NotYet);
}

TEST_F(ListeningScanTest, Accept) {
    start([&] { (void)::accept(socket_.get(), nullptr, nullptr); });
    EXPECT_TRUE(comes_to_wait());
}

TEST_F(ListeningScanTest, AThreadInAccept) {
    start([&] {
        std::thread([&] { (void)::accept4(socket_.get(), nullptr, nullptr, 0); }).detach();
        (void)::pause();
    });
    EXPECT_TRUE(comes_to_wait());
}

TEST_F(ListeningScanTest, AChildProcessInAccept) {
    start([&] {
        if (::fork() == 0) {
            (void)::accept(socket_.get(), nullptr, nullptr);
        }
        (void)::pause();
    });
    EXPECT_TRUE(comes_to_wait());
}

TEST_F(ListeningScanTest, Poll) {
    start([&] {
        pollfd items[2] = {{STDIN_FILENO, 0, 0}, {socket_.get(), POLLIN, 0}};
        items[0].fd = -1;
        (void)::poll(items, 2, -1);
    });
    EXPECT_TRUE(comes_to_wait());
}

TEST_F(ListeningScanTest, Select) {
    start([&] {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(socket_.get(), &set);
        (void)::select(socket_.get() + 1, &set, nullptr, nullptr, nullptr);
    });
    EXPECT_TRUE(comes_to_wait());
}

TEST_F(ListeningScanTest, WhatMayNotBeReadIsSaidAndNotGuessed) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root: looks at another user's process";
    }
    start([&] { (void)::accept(socket_.get(), nullptr, nullptr); });
    ASSERT_TRUE(comes_to_wait());
    const int code = test::in_child([&] {
        if (::setuid(65'534) != 0) {
            return 9;
        }
        const ListeningScan scan = look({inode_of(socket_.get())});
        return scan.answer == Answer::CannotTell &&
                       scan.reason.find("CAP_SYS_PTRACE") != std::string::npos
                   ? 0
                   : 1;
    });
    EXPECT_EQ(code, 0);
}

TEST_F(ListeningScanTest, WhoHasWhatItWasGivenMayYetBeSeen) {
    start([] { (void)::pause(); });
    until_it_sleeps();
    EXPECT_EQ(why_unseen(static_cast<std::uint32_t>(child_), {inode_of(socket_.get())}), "");
}

TEST_F(ListeningScanTest, WhoHasClosedItWillNeverBeSeen) {
    start([&] {
        (void)::close(socket_.get());
        (void)::pause();
    });
    until_it_sleeps();
    EXPECT_EQ(why_unseen(static_cast<std::uint32_t>(child_), {inode_of(socket_.get())}),
              "it has closed a listener that it was given");
}

TEST_F(ListeningScanTest, WhoListensOnASocketOfItsOwnMayNeverBeSeen) {
    start([] {
        const UniqueFd own = listening_socket();
        (void)::pause();
    });
    until_it_sleeps();
    EXPECT_EQ(why_unseen(static_cast<std::uint32_t>(child_), {inode_of(socket_.get())}),
              "it listens on a socket of its own");
}

TEST_F(ListeningScanTest, WhoIsGoneWaitsForNothing) {
    EXPECT_EQ(scan_listening(4'000'000, {inode_of(socket_.get())}).answer, Answer::NotYet);
}

}  // namespace
}  // namespace topsman::posix
