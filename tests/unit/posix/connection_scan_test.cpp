// Children that hold connections, or do not, looked at from outside and stopped.

#include "supervisor/posix/connection_scan.hpp"

#include "tests/unit/posix/support.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

using Found = ConnectionScan::Answer;

UniqueFd listen_at(const sockaddr* address, socklen_t size) {
    UniqueFd fd(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(fd.get(), address, size), 0);
    EXPECT_EQ(::listen(fd.get(), 16), 0);
    return fd;
}

UniqueFd listen_at_tcp() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return listen_at(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

UniqueFd connect_to(int listener) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    UniqueFd fd(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
    return fd;
}

class ConnectionScanTest : public testing::Test {
  protected:
    /// A child in a session of its own that does `work`, says so, and waits to be killed.
    template <class Work>
    void start(Work work) {
        const test::Pipe done = test::make_pipe();
        const pid_t pid = ::fork();
        if (pid == 0) {
            (void)::setsid();
            work();
            (void)!::write(done.write_end.get(), "\n", 1);
            for (;;) {
                (void)::pause();
            }
        }
        child_.emplace(pid, UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))));
        EXPECT_EQ(test::read_text(done.read_end.get(), "\n"), "\n");
    }

    ~ConnectionScanTest() override {
        if (child_) {
            (void)child_->signal_group(SIGKILL);
            (void)child_->signal(SIGKILL);
            (void)test::wait_end(*child_);
        }
    }

    [[nodiscard]] ConnectionScan look(int listener) const {
        return scan_connections(*child_, {listener});
    }

    std::optional<Child> child_;
};

TEST_F(ConnectionScanTest, WhoHasOnlyTheListenerHoldsNothing) {
    const UniqueFd listener = listen_at_tcp();
    const UniqueFd client = connect_to(listener.get());  // it waits in the queue
    start([] {});
    EXPECT_EQ(look(listener.get()).answer, Found::Free);
}

TEST_F(ConnectionScanTest, WhoHasAcceptedHoldsAConnection) {
    const UniqueFd listener = listen_at_tcp();
    const UniqueFd client = connect_to(listener.get());
    start([&] { (void)::accept(listener.get(), nullptr, nullptr); });
    EXPECT_EQ(look(listener.get()).answer, Found::Holds);
}

TEST_F(ConnectionScanTest, AConnectionToAnotherServerIsNoneOfAClient) {
    const UniqueFd listener = listen_at_tcp();
    const UniqueFd database = listen_at_tcp();
    start([&] { (void)connect_to(database.get()).release(); });
    EXPECT_EQ(look(listener.get()).answer, Found::Free);
    EXPECT_EQ(look(database.get()).answer, Found::Free) << "it is the client there";
}

TEST_F(ConnectionScanTest, UnixConnectionsCount) {
    const test::TempDir folder;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = folder.path() + "/a.sock";
    (void)path.copy(address.sun_path, sizeof address.sun_path - 1);
    const UniqueFd listener =
        listen_at(reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const UniqueFd client = connect_to(listener.get());
    start([&] { (void)::accept(listener.get(), nullptr, nullptr); });
    EXPECT_EQ(look(listener.get()).answer, Found::Holds);
}

TEST_F(ConnectionScanTest, AProcessThatHasChildrenIsLeftAlone) {
    const UniqueFd listener = listen_at_tcp();
    start([] {
        if (::fork() == 0) {
            for (;;) {
                (void)::pause();
            }
        }
    });
    const ConnectionScan scan = look(listener.get());
    EXPECT_EQ(scan.answer, Found::Never);
    EXPECT_EQ(scan.reason, "it has 2 processes, which may watch each other");
}

TEST_F(ConnectionScanTest, StoppedIsWhoHasStoppedAsAWhole) {
    start([] {});
    const auto pid = static_cast<std::uint32_t>(child_->pid());
    EXPECT_FALSE(has_stopped(pid));
    ASSERT_TRUE(child_->signal_group(SIGSTOP));
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT), 0);
    EXPECT_TRUE(has_stopped(pid));
    ASSERT_TRUE(child_->signal_group(SIGCONT));
}

TEST_F(ConnectionScanTest, TheDeadHoldNothing) {
    const UniqueFd listener = listen_at_tcp();
    start([] {});
    ASSERT_TRUE(child_->signal_group(SIGKILL));
    (void)test::wait_end(*child_);
    EXPECT_EQ(look(listener.get()).answer, Found::Gone);
    EXPECT_FALSE(has_stopped(static_cast<std::uint32_t>(child_->pid())));
    child_.reset();
}

}  // namespace
}  // namespace topsman::posix
