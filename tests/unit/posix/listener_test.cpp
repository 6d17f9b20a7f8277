#include "supervisor/posix/listener.hpp"

#include "supervisor/posix/address.hpp"
#include "tests/unit/posix/support.hpp"

#include <gmock/gmock.h>

#include <fcntl.h>
#include <filesystem>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

config::Listener spec(const std::string& address) {
    config::Listener listener;
    listener.name = "http";
    listener.address = address;
    return listener;
}

Result<std::vector<BoundListener>> bind_fresh(const std::vector<config::Listener>& specs,
                                              std::uint32_t group = 1) {
    std::vector<UniqueFd> none;
    const auto owners = resolve_owners(specs);
    return owners ? bind_listeners(specs, none, group, {}, *owners) : owners.error();
}

/// A connection to `address`, or an invalid descriptor.
UniqueFd connect_to(const std::string& text) {
    const auto address = parse_address(text);
    UniqueFd fd(::socket(address->family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), address->get(), address->length) != 0) {
        fd.reset();
    }
    return fd;
}

int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    (void)::getsockopt(fd, level, name, &value, &size);
    return value;
}

TEST(AddressTest, ReadsAndWritesTheSameWords) {
    for (const char* text : {"0.0.0.0:80", "127.0.0.1:8080", "[::]:80", "[::1]:65535",
                             "[2001:db8::7]:1", "unix:/run/a b.sock"}) {
        const auto address = parse_address(text);
        ASSERT_TRUE(address) << address.error().message;
        EXPECT_EQ(to_string(*address), text);
    }
    EXPECT_EQ(to_string(*parse_address("localhost:80")), "127.0.0.1:80");
    EXPECT_EQ(to_string(*parse_address("[fe80::1%lo]:80")), "[fe80::1%lo]:80");
}

TEST(AddressTest, RefusesTheRestInASentence) {
    for (const char* text :
         {"", "80", ":80", "host:", "host:http", "host:65536", "1.2.3.4:-1", "1.2.3:80", "[::1:80",
          "::1:80", "[zz]:80", "unix:", "unix:a.sock", "example.org:80", "*:80"}) {
        EXPECT_FALSE(parse_address(text)) << text;
    }
    EXPECT_THAT(parse_address("example.org:80").error().message,
                HasSubstr("'example.org' is not a numeric address"));
    EXPECT_THAT(parse_address("unix:/" + std::string(200, 'x')).error().message,
                HasSubstr("longer than 107"));
}

TEST(ListenerTest, PortZeroIsResolved) {
    const auto listeners = bind_fresh({spec("127.0.0.1:0")});
    ASSERT_TRUE(listeners) << listeners.error().message;
    const BoundListener& listener = listeners->front();
    EXPECT_THAT(listener.address, StartsWith("127.0.0.1:"));
    EXPECT_NE(listener.address, "127.0.0.1:0");
    EXPECT_NE(listener.inode, 0U);
    EXPECT_TRUE(connect_to(listener.address));
    const int fd = listener.sockets.front().get();
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

TEST(ListenerTest, Ipv6IsAloneOnItsPort) {
    const auto v6 = bind_fresh({spec("[::]:0")});
    if (!v6 && v6.error().code.value() == EAFNOSUPPORT) {
        GTEST_SKIP() << "no IPv6 on this machine";
    }
    ASSERT_TRUE(v6) << v6.error().message;
    const auto port = parse_address(v6->front().address)->port();
    const auto v4 = bind_fresh({spec("0.0.0.0:" + std::to_string(port))});
    EXPECT_TRUE(v4) << "both can stand side by side: " << v4.error().message;
}

TEST(ListenerTest, APortInUseNamesWhoHasIt) {
    const auto first = bind_fresh({spec("127.0.0.1:0")});
    const auto second = bind_fresh({spec(first->front().address)});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, std::errc::address_in_use);
    EXPECT_THAT(second.error().message,
                StartsWith("listener http: bind " + first->front().address +
                           ": Address already in use: in use by unit_posix (pid "));
}

TEST(ListenerTest, APrivilegedPortSaysWhatIsNeeded) {
    const int code = test::in_child([] {
        if (::geteuid() == 0 && ::setuid(65'534) != 0) {
            return 9;
        }
        const auto refused = bind_fresh({spec("127.0.0.1:81")});
        if (refused) {
            return 8;  // net.ipv4.ip_unprivileged_port_start is lower here
        }
        return refused.error().message ==
                       "listener http: bind 127.0.0.1:81: Permission denied (needs "
                       "CAP_NET_BIND_SERVICE or a port above 1023)"
                   ? 0
                   : 1;
    });
    if (code == 8) {
        GTEST_SKIP() << "every port is open to everybody on this machine";
    }
    EXPECT_EQ(code, 0);
}

TEST(ListenerTest, AnAddressOfAnotherMachineSaysSo) {
    EXPECT_THAT(bind_fresh({spec("192.0.2.1:0")}).error().message,
                HasSubstr("no interface of this machine has it"));
}

TEST(ListenerTest, BindsAllOrNone) {
    const test::TempDir dir;
    const auto taken = bind_fresh({spec("127.0.0.1:0")});
    const auto listeners =
        bind_fresh({spec("unix:" + dir.path("a.sock")), spec(taken->front().address)});
    ASSERT_FALSE(listeners);
    EXPECT_FALSE(std::filesystem::exists(dir.path("a.sock")));
}

TEST(ListenerTest, AReusePortGroupSharesOnePort) {
    config::Listener group = spec("127.0.0.1:0");
    group.accept = config::Accept::ReusePort;
    const auto listeners = bind_fresh({group}, 3);
    ASSERT_TRUE(listeners) << listeners.error().message;
    ASSERT_EQ(listeners->front().sockets.size(), 3U);
    for (const UniqueFd& fd : listeners->front().sockets) {
        EXPECT_EQ(to_string(*bound_address(fd.get())), listeners->front().address);
        EXPECT_EQ(option(fd.get(), SOL_SOCKET, SO_REUSEPORT), 1);
        EXPECT_EQ(option(fd.get(), SOL_SOCKET, SO_ACCEPTCONN), 1);
    }
}

TEST(ListenerTest, ASharedSocketCannotBeStolenWithReusePort) {
    const auto shared = bind_fresh({spec("127.0.0.1:0")});
    config::Listener thief = spec(shared->front().address);
    thief.accept = config::Accept::ReusePort;
    EXPECT_FALSE(bind_fresh({thief}, 1));
}

std::string port_of(const BoundListener& listener) {
    return listener.address.substr(listener.address.rfind(':'));
}

TEST(ListenerTest, OneAddressAndAllOfThemShareAPortForAsLongAsOneFollowsTheOther) {
    for (const auto& [first, second] :
         {std::pair("127.0.0.1", "0.0.0.0"), std::pair("0.0.0.0", "127.0.0.1"),
          std::pair("[::1]", "[::]")}) {
        auto before = bind_fresh({spec(std::string(first) + ":0")}).value();
        std::vector<UniqueFd> none;
        auto after = bind_beside({spec(second + port_of(before[0]))}, none, before);
        ASSERT_TRUE(after) << first << ": " << after.error().message;
        EXPECT_TRUE(connect_to(before[0].address));
        EXPECT_TRUE(connect_to(after->front().address));
        for (const auto* listener : {&before[0], &after->front()}) {
            EXPECT_EQ(option(listener->sockets[0].get(), SOL_SOCKET, SO_REUSEPORT), 0);
        }
        before.clear();
        EXPECT_TRUE(connect_to(after->front().address));
        EXPECT_FALSE(bind_fresh({spec(after->front().address)})) << "it is as if bound alone";
    }
}

TEST(ListenerTest, ASocketThatIsThereIsSharedNotBoundAgain) {
    const auto before = bind_fresh({spec("127.0.0.1:0")}).value();
    std::vector<UniqueFd> none;
    const auto after = bind_beside({spec(before[0].address)}, none, before);
    ASSERT_TRUE(after) << after.error().message;
    EXPECT_EQ(after->front().inode, before[0].inode);
    config::Listener group = spec(before[0].address);
    group.accept = config::Accept::ReusePort;
    const auto refused = bind_beside({group}, none, before);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("is shared in another way"));
}

TEST(UnixListenerTest, TakesAnotherModeAndOwnerWhileItIsInUse) {
    const test::TempDir dir;
    config::Listener unix_socket = spec("unix:" + dir.path("a.sock"));
    unix_socket.mode = 0600;
    auto listeners = bind_fresh({unix_socket}).value();

    struct stat status {};

    unix_socket.mode = 0666;
    ASSERT_TRUE(retune(listeners[0], unix_socket));
    ASSERT_EQ(::stat(dir.path("a.sock").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0666U);
    unix_socket.mode.reset();
    ASSERT_TRUE(retune(listeners[0], unix_socket));
    const mode_t mask = ::umask(0);
    (void)::umask(mask);
    ASSERT_EQ(::stat(dir.path("a.sock").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0777U & ~mask) << "as a new one";
    unix_socket.owner = "nobody-of-that-name";
    const auto refused = resolve_owners({unix_socket});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, StartsWith("listener http: "));
}

TEST(UnixListenerTest, HasTheModeThatWasAskedFor) {
    const test::TempDir dir;
    config::Listener listener = spec("unix:" + dir.path("a.sock"));
    listener.mode = 0660;
    const mode_t before = ::umask(077);
    const auto listeners = bind_fresh({listener});
    (void)::umask(before);
    ASSERT_TRUE(listeners) << listeners.error().message;

    struct stat status {};

    ASSERT_EQ(::stat(dir.path("a.sock").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0660U);
    EXPECT_TRUE(connect_to(listener.address));
    remove_socket_files(*listeners);
    EXPECT_FALSE(std::filesystem::exists(dir.path("a.sock")));
}

TEST(UnixListenerTest, IsOwnedByWhoWasAskedFor) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    const test::TempDir dir;
    config::Listener listener = spec("unix:" + dir.path("a.sock"));
    listener.owner = "nobody:adm";
    ASSERT_TRUE(bind_fresh({listener}));

    struct stat status {};

    ASSERT_EQ(::stat(dir.path("a.sock").c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, resolve_user("nobody", "")->uid);
    EXPECT_EQ(status.st_gid, resolve_user("nobody", "adm")->gid);
}

TEST(UnixListenerTest, AnUnknownOwnerLeavesNothingBehind) {
    const test::TempDir dir;
    config::Listener listener = spec("unix:" + dir.path("a.sock"));
    listener.owner = "no-such-user-here";
    const auto refused = bind_fresh({listener});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "listener http: user no-such-user-here: no such user");
    EXPECT_FALSE(std::filesystem::exists(dir.path("a.sock")));
}

TEST(UnixListenerTest, ReplacesTheSocketOfADeadProcess) {
    const test::TempDir dir;
    const std::string address = "unix:" + dir.path("a.sock");
    ASSERT_EQ(test::in_child([&] { return bind_fresh({spec(address)}) ? 0 : 1; }), 0);
    ASSERT_TRUE(std::filesystem::exists(dir.path("a.sock")));
    EXPECT_FALSE(connect_to(address));
    const auto listeners = bind_fresh({spec(address)});
    ASSERT_TRUE(listeners) << listeners.error().message;
    EXPECT_TRUE(connect_to(address));
}

TEST(UnixListenerTest, TheSocketOfALivingProcessIsAnErrorThatNamesIt) {
    const test::TempDir dir;
    const std::string address = "unix:" + dir.path("a.sock");
    const auto first = bind_fresh({spec(address)});
    const auto second = bind_fresh({spec(address)});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().message, "listener http: bind " + address +
                                          ": in use by unit_posix (pid " +
                                          std::to_string(::getpid()) + ")");
    EXPECT_TRUE(connect_to(address)) << "and it goes on";
}

TEST(UnixListenerTest, AFileThatIsNoSocketIsNotTouched) {
    const test::TempDir dir;
    const auto listeners = bind_fresh({spec("unix:" + dir.file("data", "precious"))});
    ASSERT_FALSE(listeners);
    EXPECT_THAT(listeners.error().message, HasSubstr("a file that is not a socket"));
    EXPECT_TRUE(std::filesystem::exists(dir.path("data")));
}

TEST(UnixListenerTest, AnothersSocketFileIsNotRemovedAtTheEnd) {
    const test::TempDir dir;
    const std::string address = "unix:" + dir.path("a.sock");
    const auto first = bind_fresh({spec(address)});
    std::filesystem::rename(dir.path("a.sock"), dir.path("moved.sock"));
    const auto second = bind_fresh({spec(address)});
    ASSERT_TRUE(second);
    remove_socket_files(*first);
    EXPECT_TRUE(connect_to(address));
}

class InheritedSocketsTest : public testing::Test {
  protected:
    /// In a child whose descriptors 3 and 4 are sockets as systemd gives them.
    template <class Body>
    int in_activated(const std::vector<std::string>& addresses, Body body) {
        return test::in_child([&] {
            std::vector<config::Listener> specs;
            specs.reserve(addresses.size());
            for (const std::string& address : addresses) {
                specs.push_back(spec(address));
            }
            auto bound = bind_fresh(specs);
            std::vector<int> moved;
            for (const BoundListener& listener : *bound) {
                moved.push_back(::fcntl(listener.sockets.front().get(), F_DUPFD, 100));
            }
            std::vector<std::string> real;
            int target = 3;
            for (std::size_t i = 0; i < moved.size(); ++i) {
                (void)::dup2(moved[i], target++);
                (void)::close(moved[i]);
                real.push_back((*bound)[i].address);
            }
            (void)::setenv("LISTEN_FDS", std::to_string(moved.size()).c_str(), 1);
            (void)::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
            // The originals are closed where they were not overwritten.
            for (BoundListener& listener : *bound) {
                for (UniqueFd& fd : listener.sockets) {
                    if (fd.get() < target) {
                        (void)fd.release();
                    }
                    fd.reset();
                }
            }
            return body(real);
        });
    }
};

TEST_F(InheritedSocketsTest, AreUsedInsteadOfBinding) {
    EXPECT_EQ(in_activated({"127.0.0.1:0", "127.0.0.1:0"},
                           [](const std::vector<std::string>& addresses) {
                               auto given = take_inherited_sockets();
                               if (given.size() != 2 || ::getenv("LISTEN_FDS") != nullptr ||
                                   (::fcntl(3, F_GETFD) & FD_CLOEXEC) == 0) {
                                   return 1;
                               }
                               std::vector<UniqueFd> sockets;
                               for (InheritedSocket& socket : given) {
                                   sockets.push_back(std::move(socket.fd));
                               }
                               auto listeners = bind_listeners({spec(addresses[1])}, sockets, 1);
                               if (!listeners || !listeners->front().from_systemd ||
                                   listeners->front().sockets.front().get() != 4) {
                                   return 2;
                               }
                               return sockets.size() == 1 && sockets.front().get() == 3 ? 0 : 3;
                           }),
              0);
}

TEST_F(InheritedSocketsTest, HaveTheNamesThatTheyWereGiven) {
    const auto names = [](const char* text) {
        return [text](const std::vector<std::string>&) {
            (void)::setenv("LISTEN_FDNAMES", text, 1);
            const auto given = take_inherited_sockets();
            const bool is_right = given.size() == 2 && given[0].name == "a" &&
                                  given[1].name == (std::string_view(text) == "a" ? "" : "b.c");
            return is_right && ::getenv("LISTEN_FDNAMES") == nullptr ? 0 : 1;
        };
    };
    for (const char* text : {"a:b.c", "a", "a:b.c:d"}) {
        EXPECT_EQ(in_activated({"127.0.0.1:0", "127.0.0.1:0"}, names(text)), 0) << text;
    }
}

TEST_F(InheritedSocketsTest, ThoseOfAnotherProcessAreNotTaken) {
    EXPECT_EQ(in_activated({"127.0.0.1:0"},
                           [](const std::vector<std::string>&) {
                               (void)::setenv("LISTEN_PID", "1", 1);
                               return take_inherited_sockets().empty() &&
                                              ::getenv("LISTEN_FDS") == nullptr
                                          ? 0
                                          : 1;
                           }),
              0);
}

TEST(ListenerFlagsTest, ABlockingSocketIsRepaired) {
    const auto listeners = bind_fresh({spec("127.0.0.1:0")});
    const BoundListener& listener = listeners->front();
    EXPECT_FALSE(repair_flags(listener));
    ASSERT_EQ(::fcntl(listener.sockets.front().get(), F_SETFL, 0), 0);
    EXPECT_TRUE(repair_flags(listener));
    EXPECT_NE(::fcntl(listener.sockets.front().get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_FALSE(repair_flags(listener));
}

TEST(ListenerQueuesTest, CountWhatWaitsToBeAccepted) {
    const test::TempDir dir;
    config::Listener tcp = spec("127.0.0.1:0");
    tcp.backlog = 17;
    config::Listener unix_socket = spec("unix:" + dir.path("a.sock"));
    unix_socket.backlog = 19;
    const auto listeners = bind_fresh({tcp, unix_socket});
    ASSERT_TRUE(listeners);
    std::vector<UniqueFd> clients;
    for (const BoundListener& listener : *listeners) {
        for (int i = 0; i < 3; ++i) {
            clients.push_back(connect_to(listener.address));
            ASSERT_TRUE(clients.back());
        }
    }
    const auto queues = listener_queues();
    ASSERT_TRUE(queues.contains(listeners->at(0).inode));
    EXPECT_EQ(queues.at(listeners->at(0).inode).waiting, 3U);
    EXPECT_EQ(queues.at(listeners->at(0).inode).limit, 17U);
    ASSERT_TRUE(queues.contains(listeners->at(1).inode));
    EXPECT_EQ(queues.at(listeners->at(1).inode).waiting, 3U);
    EXPECT_EQ(queues.at(listeners->at(1).inode).limit, 19U);
}

TEST(ListenerQueuesTest, SeeIpv6AndManySockets) {
    std::vector<config::Listener> specs(200, spec("127.0.0.1:0"));
    specs.push_back(spec("[::1]:0"));
    const auto listeners = bind_fresh(specs);
    if (!listeners && listeners.error().code.value() == EAFNOSUPPORT) {
        GTEST_SKIP() << "no IPv6 on this machine";
    }
    ASSERT_TRUE(listeners) << listeners.error().message;
    const auto queues = listener_queues();
    for (const BoundListener& listener : *listeners) {
        EXPECT_TRUE(queues.contains(listener.inode)) << listener.address;
    }
}

}  // namespace
}  // namespace topsman::posix
