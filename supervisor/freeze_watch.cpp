#include "supervisor/freeze_watch.hpp"

#include "supervisor/posix/connection_scan.hpp"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <csignal>
#include <utility>

namespace topsman::supervisor {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// A stop takes as long as the longest system call that cannot be interrupted, usually nothing.
constexpr microseconds kStopPause{200};
// Between two looks at a worker that is busy: about as long as a short request.
constexpr milliseconds kBusyPause{5};
// After a try that failed, so that it does not fail for the same reason.
constexpr milliseconds kTryPause{50};
constexpr milliseconds kLongestTry{1'000};
constexpr std::uint32_t kMostTries = 3;

}  // namespace

FreezeWatch::FreezeWatch(boost::asio::io_context& io, const posix::Child& child,
                         std::vector<int> listeners)
    : later_(io),
      child_(child),
      listeners_(std::move(listeners)),
      until_(Clock::now() + kLongestTry) {}

FreezeWatch::State FreezeWatch::look() {
    return is_stopping_ ? look_at_stopped() : look_for_moment();
}

// Stopping one that holds a connection would only make its client wait.
FreezeWatch::State FreezeWatch::look_for_moment() {
    const posix::ConnectionScan scan = posix::scan_connections(child_, listeners_);
    switch (scan.answer) {
        case posix::ConnectionScan::Answer::Never:
            reason_ = scan.reason;
            return State::Failed;
        case posix::ConnectionScan::Answer::Gone:
            pause_ = kLongestTry;  // its end is on its way
            return State::Again;
        case posix::ConnectionScan::Answer::Holds:
            pause_ = kBusyPause;
            return Clock::now() < until_ ? State::Again : fail_try();
        case posix::ConnectionScan::Answer::Free:
            break;
    }
    if (Result<void> sent = child_.signal_group(SIGSTOP); !sent) {
        reason_ = sent.error().message;
        return State::Failed;
    }
    is_stopping_ = true;
    pause_ = kStopPause;
    return State::Again;
}

FreezeWatch::State FreezeWatch::look_at_stopped() {
    if (!posix::has_stopped(static_cast<std::uint32_t>(child_.pid()))) {
        pause_ = std::min<microseconds>(pause_ * 2, kBusyPause);
        return Clock::now() < until_ ? State::Again : fail_try();
    }
    const posix::ConnectionScan scan = posix::scan_connections(child_, listeners_);
    switch (scan.answer) {
        case posix::ConnectionScan::Answer::Free:
            return State::Frozen;
        case posix::ConnectionScan::Answer::Never:
            thaw();
            reason_ = scan.reason;
            return State::Failed;
        case posix::ConnectionScan::Answer::Holds:
        case posix::ConnectionScan::Answer::Gone:
            break;
    }
    return fail_try();
}

FreezeWatch::State FreezeWatch::fail_try() {
    thaw();
    is_stopping_ = false;
    pause_ = kTryPause;
    until_ = Clock::now() + kLongestTry;
    if (++tries_ < kMostTries) {
        return State::Again;
    }
    reason_ = "spares: cannot freeze under this load";
    return State::Failed;
}

void FreezeWatch::thaw() const {
    if (is_stopping_) {
        (void)child_.signal_group(SIGCONT);
    }
}

}  // namespace topsman::supervisor
