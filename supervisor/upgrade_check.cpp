#include "supervisor/upgrade_check.hpp"

#include "supervisor/handover.hpp"
#include "supervisor/kept_generations.hpp"
#include "supervisor/posix/environment.hpp"
#include "supervisor/posix/execution.hpp"
#include "supervisor/posix/sealed_text.hpp"
#include "supervisor/resume.hpp"
#include "supervisor/version.hpp"

#include <array>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

namespace topsman::supervisor {

namespace {

// What it answers, followed by its version: another program that happens to end with 0 proves
// nothing.
constexpr std::string_view kReady = "can go on: topsman ";
constexpr int kStateNumber = 3;  // where the launcher puts the first descriptor
// Nobody waits for it but the operator: a name service may be slow, a machine busy.
constexpr std::chrono::seconds kMostCheck{10};
constexpr std::size_t kMostWords = 4'096;

std::string line_of(std::string text) {
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    for (char& c : text) {
        c = c == '\n' ? ' ' : c;
    }
    return text;
}

}  // namespace

int check_handover() {
    const auto passed = posix::take_passed();
    const Result<ReadHandover> read =
        passed ? examine_handover(passed->state)
               : Result<ReadHandover>(
                     plain_error("--upgrade-check is what a running master asks a newer "
                                 "topsman: see topsman upgrade --help"));
    if (!read) {
        std::fprintf(stderr, "%s\n", read.error().message.c_str());
        return 1;
    }
    std::printf("%s%s\n", std::string(kReady).c_str(), kVersion);
    return 0;
}

UpgradeCheck::UpgradeCheck(boost::asio::io_context& io) : io_(io), timer_(io) {}

UpgradeCheck::~UpgradeCheck() {
    watch_.reset();
    if (!child_) {
        return;
    }
    // Not waited for: whoever reaps the orphans finds it.
    (void)child_->signal_group(SIGKILL);
    (void)child_->reap();
}

Result<void> UpgradeCheck::start(const std::string& program, int state, int lock_fd, Done done) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
        return system_error("pipe for the check");
    }
    output_.reset(ends[0]);
    const UniqueFd writer(ends[1]);
    posix::ChildSetup setup;
    setup.command = {program, kUpgradeCheck};
    setup.environment = posix::environment_passing(kStateNumber, -1);
    setup.listeners = {state};
    setup.stdout_fd = writer.get();
    setup.lock_fd = lock_fd;
    auto launched = posix::launch(std::move(setup));
    if (!launched) {
        return launched.error();
    }
    program_ = program;
    done_ = std::move(done);
    child_.emplace(std::move(launched->child));
    report_.emplace(std::move(launched->report));
    watch_.emplace(io_, child_->pidfd());
    if (auto watching = watch_->is_watching(); !watching) {
        return watching;
    }
    timer_.expires_after(kMostCheck);
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (!error) {
            end(false);
        }
    });
    wait();
    return {};
}

void UpgradeCheck::wait() {
    watch_->wait([this] { end(true); });
}

bool UpgradeCheck::owns(pid_t pid) const {
    return child_ && child_->pid() == pid;
}

std::string UpgradeCheck::words() const {
    std::string text(kMostWords, '\0');
    const ssize_t n = ::read(output_.get(), text.data(), text.size());
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
}

void UpgradeCheck::end(bool in_time) {
    if (!done_) {
        return;
    }
    const auto ended = child_->peek();
    if (in_time && !ended) {
        wait();
        return;
    }
    const Done done = std::exchange(done_, nullptr);
    timer_.cancel();
    const std::string who = program_ + " " + kUpgradeCheck + ": ";
    if (!ended) {
        done(plain_error(who + "not done within 10s", std::errc::timed_out));
        return;
    }
    const auto failure = report_->read();
    const std::string said = words();
    (void)child_->reap();
    child_.reset();
    if (failure) {
        done(plain_error(failure->sentence));
    } else if (ended->kind != core::ExitReport::Kind::Exited || ended->value != 0) {
        done(plain_error(said.empty() ? who + posix::describe(*ended) : who + line_of(said)));
    } else if (!said.starts_with(kReady)) {
        done(plain_error(who + "it did not answer as topsman does"));
    } else {
        done(line_of(said.substr(kReady.size())));
    }
}

}  // namespace topsman::supervisor
