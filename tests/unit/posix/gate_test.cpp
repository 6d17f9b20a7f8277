#include "supervisor/posix/gate.hpp"

#include "supervisor/posix/address.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

BoundListener bound(const std::string& text) {
    config::Listener spec;
    spec.name = "http";
    spec.address = text;
    std::vector<UniqueFd> none;
    return std::move(bind_listeners({spec}, none, 2).value().front());
}

/// A connection that is under way.
UniqueFd knock(const std::string& text) {
    const auto address = parse_address(text);
    UniqueFd fd(::socket(address->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), address->get(), address->length) != 0 && errno != EINPROGRESS) {
        fd.reset();
    }
    return fd;
}

bool is_made(const UniqueFd& fd, int within_ms) {
    pollfd entry{fd.get(), POLLOUT, 0};
    return ::poll(&entry, 1, within_ms) == 1 && (entry.revents & (POLLERR | POLLHUP)) == 0;
}

TEST(GateTest, NobodyGetsInWhoIsNotInAlready) {
    for (const char* address : {"127.0.0.1:0", "[::1]:0"}) {
        BoundListener listener = bound(address);
        const UniqueFd before = knock(listener.address);
        ASSERT_TRUE(is_made(before, 10'000));
        ASSERT_TRUE(close_gate(listener));
        EXPECT_TRUE(listener.gate_closed);
        const UniqueFd after = knock(listener.address);
        EXPECT_FALSE(is_made(after, 0)) << "on one machine a handshake is done in connect()";
        EXPECT_EQ(behind_gate(listener).waiting, 1U);
        const UniqueFd taken(::accept(listener.sockets[0].get(), nullptr, nullptr));
        EXPECT_TRUE(taken);
        EXPECT_EQ(behind_gate(listener).waiting, 0U);
        EXPECT_EQ(behind_gate(listener).arriving, 0U);
        EXPECT_EQ(::write(before.get(), "x", 1), 1);
        char byte = 0;
        EXPECT_EQ(::read(taken.get(), &byte, 1), 1) << "what is made already is not touched";
    }
}

TEST(GateTest, WhoFoundItClosedGetsInWhenItIsOpened) {
    BoundListener listener = bound("127.0.0.1:0");
    ASSERT_TRUE(close_gate(listener));
    const UniqueFd patient = knock(listener.address);
    ASSERT_FALSE(is_made(patient, 0));
    open_gate(listener);
    EXPECT_FALSE(listener.gate_closed);
    EXPECT_TRUE(is_made(knock(listener.address), 10'000));
    EXPECT_TRUE(is_made(patient, 30'000)) << "the kernel tries again";
}

TEST(GateTest, AGroupOfSocketsIsClosedAsAWhole) {
    config::Listener spec;
    spec.address = "127.0.0.1:0";
    spec.accept = config::Accept::ReusePort;
    std::vector<UniqueFd> none;
    auto group = bind_listeners({spec}, none, 4).value();
    ASSERT_TRUE(close_gate(group[0]));
    for (int i = 0; i < 20; ++i) {
        EXPECT_FALSE(is_made(knock(group[0].address), 0));
    }
}

TEST(GateTest, AUnixSocketIsOutOfReachAndComesBack) {
    const auto dir = std::filesystem::temp_directory_path() / ("gate" + std::to_string(::getpid()));
    std::filesystem::create_directory(dir);
    const std::string path = dir / "web.sock";
    BoundListener listener = bound("unix:" + path);
    const UniqueFd before = knock(listener.address);
    ASSERT_TRUE(before);
    ASSERT_TRUE(close_gate(listener));
    EXPECT_FALSE(knock(listener.address));
    EXPECT_EQ(behind_gate(listener).waiting, 1U);
    open_gate(listener);
    EXPECT_TRUE(knock(listener.address));
    ASSERT_TRUE(close_gate(listener));
    remove_gate(listener);
    EXPECT_TRUE(std::filesystem::is_empty(dir)) << "closed for good";
    std::filesystem::remove_all(dir);
}

TEST(GateTest, SystemdsSocketStaysOpen) {
    BoundListener listener = bound("127.0.0.1:0");
    listener.from_systemd = true;
    ASSERT_TRUE(close_gate(listener));
    EXPECT_FALSE(listener.gate_closed);
    EXPECT_TRUE(is_made(knock(listener.address), 10'000));
}

}  // namespace
}  // namespace topsman::posix
