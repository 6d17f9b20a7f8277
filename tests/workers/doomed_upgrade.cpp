// topsman, but for this file: a program that fails when it goes on in a master's place. How far it
// gets, and what happens there, says the file that UPGRADE_FAILS names: "read:abort". "stop" is no
// failure: it stops there by a signal, until somebody lets it go on.

#include "shm/base/check.hpp"
#include "supervisor/upgrade_stage.hpp"

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>

namespace topsman::supervisor {

namespace {

constexpr std::array<std::string_view, 5> kStages{"begun", "read", "opened", "made", "ready"};

// NOLINTNEXTLINE(misc-no-recursion): that is how a stack is used up
std::uint64_t use_up_the_stack(std::uint64_t depth) {
    std::array<volatile char, 4'096> page{};
    page[depth % page.size()] = 1;
    return depth == 0 ? 0 : use_up_the_stack(depth - 1) + static_cast<std::uint64_t>(page[0]);
}

void fail(std::string_view how) {
    if (how == "abort") {
        std::abort();
    }
    if (how == "segv") {
        (void)std::raise(SIGSEGV);
    }
    if (how == "overflow") {
        (void)use_up_the_stack(std::uint64_t{1} << 40U);
    }
    if (how == "throw") {
        throw std::runtime_error("nobody catches me");
    }
    if (how == "check") {
        CHECK(how.empty());
    }
    if (how == "stop") {
        (void)std::raise(SIGSTOP);
    }
    if (how == "exit") {
        std::exit(3);
    }
    if (how == "thread") {
        std::thread([] { std::abort(); }).join();
    }
    while (how == "hang") {
        (void)::pause();
    }
}

}  // namespace

void reached(UpgradeStage stage) {
    const char* path = std::getenv("UPGRADE_FAILS");
    std::string text;
    std::getline(std::ifstream(path == nullptr ? "" : path), text);
    const std::size_t colon = std::min(text.find(':'), text.size());
    if (text.substr(0, colon) == kStages.at(static_cast<std::size_t>(stage))) {
        fail(text.substr(std::min(colon + 1, text.size())));
    }
}

}  // namespace topsman::supervisor
