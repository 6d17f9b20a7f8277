// Which stored socket is whose, and what the service manager is told.

#include "supervisor/fd_store.hpp"

#include <gmock/gmock.h>

#include <array>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace topsman::supervisor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

config::Listener listener(const std::string& name, const std::string& address) {
    config::Listener spec;
    spec.name = name;
    spec.address = address;
    return spec;
}

std::uint64_t inode_of(const UniqueFd& fd) {
    struct stat status {};

    EXPECT_EQ(::fstat(fd.get(), &status), 0);
    return status.st_ino;
}

posix::BoundListener bound(const config::Listener& spec) {
    std::vector<UniqueFd> none;
    auto made = posix::bind_listeners({spec}, none, 1);
    EXPECT_TRUE(made) << made.error().message;
    return std::move(made->front());
}

/// As it comes back out of the store.
posix::InheritedSocket stored(const std::string& name, const posix::BoundListener& of) {
    const UniqueFd& fd = of.sockets.front();
    return {UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)),
            "topsman." + name + "." + std::to_string(inode_of(fd))};
}

std::vector<posix::InheritedSocket> list(posix::InheritedSocket one) {
    std::vector<posix::InheritedSocket> sockets;
    sockets.push_back(std::move(one));
    return sockets;
}

std::vector<std::string> owners(const StoredSockets& stored) {
    std::vector<std::string> names;
    for (const auto& [key, sockets] : stored.sockets) {
        names.push_back(key.first);
    }
    return names;
}

TEST(StoredSocketsTest, AreKnownByTheirAddressWhateverTheListenerIsCalledNow) {
    const posix::BoundListener http = bound(listener("http", "127.0.0.1:0"));
    auto given = list(stored("http", http));
    const StoredSockets taken =
        take_stored(given, {listener("other", "127.0.0.1:1"), listener("renamed", http.address)});
    EXPECT_THAT(owners(taken), ElementsAre("renamed"));
    EXPECT_THAT(taken.names, ElementsAre(testing::Pair(
                                 http.inode, "topsman.http." + std::to_string(http.inode))));
    EXPECT_THAT(given, IsEmpty());
    EXPECT_THAT(taken.others, IsEmpty());
}

TEST(StoredSocketsTest, WhoseListenerHasAnyPortAreKnownByName) {
    const posix::BoundListener http = bound(listener("http", "127.0.0.1:0"));
    auto given = list(stored("http", http));
    const StoredSockets taken =
        take_stored(given, {listener("other", "127.0.0.1:0"), listener("http", "127.0.0.1:0")});
    EXPECT_THAT(owners(taken), ElementsAre("http"));
}

TEST(StoredSocketsTest, OfAnotherKindAreNobodys) {
    const posix::BoundListener http = bound(listener("http", "127.0.0.1:0"));
    auto given = list(stored("http", http));
    config::Listener group = listener("http", http.address);
    group.accept = config::Accept::ReusePort;
    const StoredSockets taken = take_stored(given, {group});
    EXPECT_THAT(owners(taken), IsEmpty());
    EXPECT_EQ(taken.others.size(), 1U);
    EXPECT_EQ(taken.names.size(), 1U) << "it is removed";
}

TEST(StoredSocketsTest, ThatNobodyHasAnyMoreListenNoMore) {
    const posix::BoundListener http = bound(listener("http", "127.0.0.1:0"));
    auto given = list(stored("http", http));
    StoredSockets taken = take_stored(given, {});
    taken.close_others();
    EXPECT_EQ(bound(listener("next", http.address)).address, http.address)
        << "although the store still has it";
}

TEST(StoredSocketsTest, OfASocketUnitStayWhereTheyWere) {
    const posix::BoundListener http = bound(listener("http", "127.0.0.1:0"));
    auto given = list(stored("http", http));
    given[0].name = "topsman@shop.socket";
    const StoredSockets taken = take_stored(given, {listener("http", http.address)});
    EXPECT_THAT(owners(taken), IsEmpty());
    EXPECT_THAT(taken.names, IsEmpty());
    EXPECT_EQ(given.size(), 1U);
}

TEST(StoredSocketsTest, AUnixSocketWithoutItsFileIsNobodys) {
    const std::string path = "/tmp/topsman-fd-store-" + std::to_string(::getpid());
    const posix::BoundListener local = bound(listener("local", "unix:" + path));
    for (const bool is_there : {true, false}) {
        auto given = list(stored("local", local));
        EXPECT_EQ(take_stored(given, {local.spec}).sockets.size(), is_there ? 1U : 0U);
        (void)::unlink(path.c_str());
    }
}

class FdStoreTest : public testing::Test {
  protected:
    FdStoreTest() {
        sockaddr_un un{};
        un.sun_family = AF_UNIX;
        (void)path_.copy(un.sun_path, sizeof un.sun_path - 1);
        EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&un), sizeof un), 0);
    }

    ~FdStoreTest() override { (void)::unlink(path_.c_str()); }

    std::vector<std::string> messages() {
        std::vector<std::string> all;
        std::array<char, 512> text{};
        ssize_t size = 0;
        while ((size = ::recv(socket_.get(), text.data(), text.size(), MSG_DONTWAIT)) > 0) {
            all.emplace_back(text.data(), static_cast<std::size_t>(size));
        }
        return all;
    }

    const std::string path_ = "/tmp/topsman-manager-" + std::to_string(::getpid());
    const UniqueFd socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    const posix::ServiceManager manager_ = posix::ServiceManager::at(path_, std::nullopt);
};

TEST_F(FdStoreTest, EachSocketIsStoredOnceAndRemovedByItsName) {
    FdStore store{StoredNames{}};
    std::vector<posix::BoundListener> listeners;
    listeners.push_back(bound(listener("http", "127.0.0.1:0")));
    store.follow(listeners, manager_);
    const std::string name = "topsman.http." + std::to_string(listeners[0].inode);
    EXPECT_THAT(messages(), ElementsAre("FDSTORE=1\nFDNAME=" + name));
    EXPECT_THAT(store.names(), ElementsAre(name));
    listeners[0].spec.name = "renamed";
    store.follow(listeners, manager_);
    EXPECT_THAT(messages(), IsEmpty());

    FdStore next(stored_names(store.names()));
    next.follow(listeners, manager_);
    EXPECT_THAT(messages(), IsEmpty()) << "another program in its place knows that";
    next.follow({}, manager_);
    EXPECT_THAT(messages(), ElementsAre("FDSTOREREMOVE=1\nFDNAME=" + name));
    EXPECT_THAT(next.names(), IsEmpty());
}

TEST_F(FdStoreTest, WhatTheManagerHasBoundItselfIsNotStored) {
    FdStore store{StoredNames{}};
    std::vector<posix::BoundListener> listeners;
    listeners.push_back(bound(listener("http", "127.0.0.1:0")));
    listeners[0].from_systemd = true;
    store.follow(listeners, manager_);
    EXPECT_THAT(messages(), IsEmpty());
}

TEST_F(FdStoreTest, WhatTheManagerDoesNotTakeNowIsTriedAgain) {
    FdStore store{StoredNames{}};
    std::vector<posix::BoundListener> listeners;
    listeners.push_back(bound(listener("http", "127.0.0.1:0")));
    while (manager_.notify("STATUS=busy")) {
    }
    store.follow(listeners, manager_);
    EXPECT_THAT(store.names(), IsEmpty());
    (void)messages();
    store.follow(listeners, manager_);
    EXPECT_THAT(messages(), ElementsAre(StartsWith("FDSTORE=1\n")));
}

}  // namespace
}  // namespace topsman::supervisor
