#include "supervisor/listener_set.hpp"

#include "shm/limits.hpp"
#include "supervisor/posix/accept_queue.hpp"
#include "supervisor/posix/address.hpp"
#include "tests/unit/temp_dir.hpp"

#include <gmock/gmock.h>

#include <optional>
#include <sys/socket.h>
#include <sys/stat.h>

namespace topsman::supervisor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Wanted = std::vector<config::Listener>;

config::Listener spec(const std::string& name, const std::string& address = "127.0.0.1:0") {
    config::Listener listener;
    listener.name = name;
    listener.address = address;
    return listener;
}

class ListenerSetTest : public testing::Test {
  protected:
    static ListenerSet make(const Wanted& wanted) {
        std::vector<UniqueFd> none;
        return {posix::bind_listeners(wanted, none, 1).value(), {}, {}};
    }

    std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const posix::BoundListener& listener : set_.all()) {
            names.push_back(listener.spec.name + (listener.in_force ? "" : " (leaving)"));
        }
        return names;
    }

    /// Where the first one listens, with its port.
    std::string place() const { return set_.all().front().address; }

    static bool nobody(const posix::BoundListener& /*listener*/) { return false; }

    ListenerSet set_ = make({spec("a")});
};

TEST_F(ListenerSetTest, WhatIsNewIsBoundBeforeWhatIsOldGoes) {
    const Wanted wanted{spec("b")};
    ASSERT_TRUE(set_.prepare(wanted));
    EXPECT_THAT(names(), ElementsAre("a", "b (leaving)"));
    EXPECT_THAT(set_.put_in_force(wanted), IsEmpty());
    EXPECT_THAT(names(), ElementsAre("a (leaving)", "b"));
    EXPECT_THAT(set_.close_others([](const auto&) { return true; }), IsEmpty());
    const auto closed = set_.close_others(nobody);
    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed[0].name, "a");
    EXPECT_EQ(closed[0].waiting, 0U);
    EXPECT_THAT(names(), ElementsAre("b"));
}

TEST_F(ListenerSetTest, AllOrNothing) {
    const auto done = set_.prepare({spec("b"), spec("c", "192.0.2.1:80")});
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("listener c: bind 192.0.2.1:80"));
    EXPECT_THAT(names(), ElementsAre("a"));
}

TEST_F(ListenerSetTest, WhatIsTriedIsLetGoAndWhatIsTakenIsSaidAsWhenItIsBound) {
    std::optional other(make({spec("taken")}));
    const std::string address = other->all().front().address;
    const Wanted wanted{spec("a"), spec("b", address), spec("c", place())};
    const auto tried = set_.try_to_prepare(wanted);
    ASSERT_FALSE(tried);
    EXPECT_THAT(tried.error().message, HasSubstr("listener b: bind 127.0.0.1:"));
    EXPECT_EQ(tried.error().message, set_.prepare(wanted).error().message);
    other.reset();
    EXPECT_TRUE(set_.try_to_prepare(wanted));
    EXPECT_THAT(names(), ElementsAre("a"));
    other.emplace(make({spec("it was let go", address)}));
}

TEST_F(ListenerSetTest, EachHasItsRowAsLongAsItIsOpen) {
    const Wanted three{spec("a"), spec("b"), spec("c")};
    ASSERT_TRUE(set_.prepare(three));
    (void)set_.put_in_force(three);
    const Wanted two{spec("a"), spec("c")};
    (void)set_.put_in_force(two);
    (void)set_.close_others(nobody);
    EXPECT_EQ(set_.all()[1].row, 2U) << "c has not moved";
    ASSERT_TRUE(set_.prepare({spec("d")}));
    EXPECT_EQ(set_.all()[2].row, 1U);
    set_.keep_rows({{set_.all()[2].inode, 7}, {set_.all()[0].inode, 7}, {1, 3}});
    EXPECT_EQ(set_.all()[0].row, 7U) << "one of the two that a record gives the same";
    EXPECT_NE(set_.all()[1].row, set_.all()[2].row);
}

TEST_F(ListenerSetTest, TheSameAddressIsTheSameSocketWhateverItsName) {
    const Wanted wanted{spec("b", place())};
    ASSERT_TRUE(set_.prepare(wanted));
    (void)set_.put_in_force(wanted);
    EXPECT_EQ(set_.all()[0].inode, set_.all()[1].inode);
    EXPECT_TRUE(set_.is_in_force(set_.all()[0])) << "under its new name";
    ASSERT_TRUE(set_.close_gate(set_.all()[0]));
    EXPECT_FALSE(set_.all()[0].gate_closed) << "it would be closed for both";
    (void)set_.close_others(nobody);
    EXPECT_THAT(names(), ElementsAre("b"));
    EXPECT_TRUE(posix::is_listener_of(set_.all()[0].sockets[0].get(), place()));
}

TEST_F(ListenerSetTest, OneThatComesBackIsOpenedAgain) {
    (void)set_.put_in_force({});
    ASSERT_TRUE(set_.close_gate(set_.all()[0]));
    ASSERT_TRUE(set_.all()[0].gate_closed);
    const Wanted wanted{spec("a")};
    ASSERT_TRUE(set_.prepare(wanted));
    EXPECT_THAT(set_.put_in_force(wanted), IsEmpty());
    EXPECT_FALSE(set_.all()[0].gate_closed);
    EXPECT_EQ(set_.all().size(), 1U);
}

TEST(ListenerSetUnixTest, OneThatComesBackOrIsRenamedHasItsNewModeAndBacklog) {
    const topsman::test::TempDir dir;
    config::Listener unix_socket = spec("a", "unix:" + dir.path("a.sock"));
    unix_socket.mode = 0600;
    std::vector<UniqueFd> none;
    ListenerSet set{posix::bind_listeners({unix_socket}, none, 1).value(), {}, {}};
    const auto mode = [&dir] {
        struct stat status {};
        EXPECT_EQ(::stat(dir.path("a.sock").c_str(), &status), 0);
        return status.st_mode & 0777U;
    };
    ASSERT_EQ(mode(), 0600U);
    (void)set.put_in_force({});
    ASSERT_TRUE(set.close_gate(set.all()[0])) << "the file has another name now";

    unix_socket.mode = 0640;
    ASSERT_TRUE(set.prepare({unix_socket}));
    EXPECT_THAT(set.put_in_force({unix_socket}), IsEmpty());
    EXPECT_EQ(mode(), 0640U);

    unix_socket.name = "b";
    unix_socket.mode = 0600;
    unix_socket.backlog = 9;
    ASSERT_TRUE(set.prepare({unix_socket}));
    EXPECT_THAT(set.put_in_force({unix_socket}), IsEmpty());
    EXPECT_EQ(mode(), 0600U);
    EXPECT_EQ(posix::listener_queues().at(set.all()[1].inode).limit, 9U);
}

TEST_F(ListenerSetTest, WhoWasNotTakenIsCounted) {
    const auto address = posix::parse_address(place());
    const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(client.get(), address->get(), address->length), 0);
    (void)set_.put_in_force({});
    const auto closed = set_.close_others(nobody);
    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed[0].waiting, 1U);
}

TEST_F(ListenerSetTest, BacklogIsTheQueuesLimitAtOnce) {
    config::Listener changed = spec("a");
    changed.backlog = 7;
    EXPECT_THAT(set_.put_in_force({changed}), IsEmpty());
    EXPECT_EQ(posix::listener_queues().at(set_.all()[0].inode).limit, 7U);
}

TEST_F(ListenerSetTest, WhatSystemdGaveIsKeptForWhoWantsItLater) {
    set_.all()[0].from_systemd = true;
    const std::string address = place();
    (void)set_.put_in_force({});
    (void)set_.close_others(nobody);
    EXPECT_TRUE(set_.all().empty());
    ASSERT_TRUE(set_.prepare({spec("b", address)})) << "else its port would be in use";
    EXPECT_TRUE(set_.all()[0].from_systemd);
}

TEST_F(ListenerSetTest, WhatCannotBeHeldIsRefusedInASentence) {
    Wanted many;
    for (std::uint32_t i = 0; i < shm::kMaxListeners; ++i) {
        many.push_back(spec("x" + std::to_string(i)));
    }
    const auto done = set_.prepare(many);
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("64 are new and 1 are there"));
    EXPECT_EQ(set_.all().size(), 1U);
}

}  // namespace
}  // namespace topsman::supervisor
