#include "supervisor/control/commands.hpp"
#include "tests/unit/control/control_test_helper.hpp"

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <iostream>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

namespace topsman::control {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using namespace std::chrono_literals;

TEST(StatusCommandTest, ShowsTheCluster) {
    HandMadeCluster cluster;
    cluster.set_tables(1, 0, 0);
    cluster.add_pool(0, "web", 4, 4);
    Printed printed;
    EXPECT_EQ(status(cluster.target(), printed.plain(), {}), 0);
    EXPECT_THAT(printed.out.str(), StartsWith(cluster.name() + ": master running, pid "));
    EXPECT_THAT(printed.out.str(), HasSubstr("web: 4 of 4 workers ready"));
}

TEST(StatusCommandTest, WithoutARecordTheSegmentIsFoundByName) {
    HandMadeCluster cluster;
    const Setting elsewhere("XDG_RUNTIME_DIR", "/nonexistent");
    Printed printed;
    EXPECT_EQ(status(cluster.target(), printed.plain(), {}), 0);
    EXPECT_THAT(printed.out.str(), StartsWith(cluster.name()));
    EXPECT_EQ(status({.name = {}, .file = cluster.file()}, printed.plain(), {}), 3);
}

TEST(StatusCommandTest, ADeadMasterIsStillShown) {
    HandMadeCluster cluster;
    cluster.set_master(1, 1);
    Printed printed;
    EXPECT_EQ(status({.name = {}, .file = cluster.file()}, printed.json(), {}), 0);
    EXPECT_EQ(boost::json::parse(printed.out.str()).at("master").at("state"), "dead");
}

TEST(StatusCommandTest, NothingThereIsASentence) {
    Printed printed;
    EXPECT_EQ(status({.name = "no-such-cluster", .file = {}}, printed.plain(), {}), 3);
    EXPECT_THAT(printed.err.str(), HasSubstr("no-such-cluster"));
    EXPECT_EQ(printed.out.str(), "");
    EXPECT_EQ(counters({.name = "no-such-cluster", .file = {}}, printed.json()), 3);
    EXPECT_THAT(printed.out.str(), StartsWith("{\"error\":"));
}

TEST(WatchTest, InAPipeItPrintsABlockForEachLook) {
    HandMadeCluster cluster;
    Printed printed;
    StatusOptions options;
    options.watch = true;
    options.interval = 1ms;
    options.count = 3;
    EXPECT_EQ(status(cluster.target(), printed.plain(), options), 0);
    const std::string text = printed.out.str();
    std::size_t blocks = 0;
    for (std::size_t at = 0; (at = text.find(": master running", at)) != std::string::npos; ++at) {
        ++blocks;
    }
    EXPECT_EQ(blocks, 3U);
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(WatchTest, JsonIsOneLineForEachLook) {
    HandMadeCluster cluster;
    Printed printed;
    StatusOptions options;
    options.watch = true;
    options.interval = 1ms;
    options.count = 2;
    EXPECT_EQ(status(cluster.target(), printed.json(), options), 0);
    const std::string text = printed.out.str();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

/// A terminal of 90 x 24, and what is on its other side.
struct Terminal {
    UniqueFd ours;
    UniqueFd theirs;

    Terminal() {
        int master = -1;
        int slave = -1;
        const winsize size{.ws_row = 24, .ws_col = 90, .ws_xpixel = 0, .ws_ypixel = 0};
        EXPECT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
        ours.reset(master);
        theirs.reset(slave);
    }

    [[nodiscard]] tcflag_t modes() const {
        termios state{};
        EXPECT_EQ(::tcgetattr(theirs.get(), &state), 0);
        return state.c_lflag;
    }
};

/// Watches on the terminal in a child, types `keys` as soon as there is a frame; the exit code.
int watch_in_child(const HandMadeCluster& cluster, const Terminal& terminal, std::string_view keys,
                   std::string& shown) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        (void)::dup2(terminal.theirs.get(), STDIN_FILENO);
        (void)::dup2(terminal.theirs.get(), STDOUT_FILENO);
        StatusOptions options;
        options.watch = true;
        options.interval = 1h;
        const Output output{.out = std::cout,
                            .err = std::cerr,
                            .json = false,
                            .color = false,
                            .columns = 90,
                            .show_waiting = false};
        ::_exit(status(cluster.target(), output, options));
    }
    std::array<char, 4'096> chunk{};
    const auto read_until = [&](const char* mark) {
        pollfd poll{.fd = terminal.ours.get(), .events = POLLIN, .revents = 0};
        while (shown.find(mark) == std::string::npos && ::poll(&poll, 1, 30'000) == 1) {
            const ssize_t n = ::read(terminal.ours.get(), chunk.data(), chunk.size());
            shown.append(chunk.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        }
    };
    read_until("\x1b[J");
    EXPECT_EQ(::write(terminal.ours.get(), keys.data(), keys.size()),
              static_cast<ssize_t>(keys.size()));
    read_until("\x1b[?1049l");
    int how = 0;
    EXPECT_EQ(::waitpid(pid, &how, 0), pid);
    return WIFEXITED(how) ? WEXITSTATUS(how) : -1;
}

TEST(WatchTest, OnATerminalItEndsWithQAndLeavesItAsItWas) {
    HandMadeCluster cluster;
    const Terminal terminal;
    const tcflag_t before = terminal.modes();
    std::string shown;
    EXPECT_EQ(watch_in_child(cluster, terminal, "xq", shown), 0);
    EXPECT_THAT(shown, HasSubstr(cluster.name() + ": master running"));
    EXPECT_THAT(shown, HasSubstr("\x1b[?25l"));
    EXPECT_THAT(shown, HasSubstr("\x1b[?25h")) << "the cursor is back";
    EXPECT_EQ(terminal.modes(), before);
}

}  // namespace
}  // namespace topsman::control
