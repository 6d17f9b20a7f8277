#pragma once

// Freezes one worker that does not know what a spare is: SIGSTOP at a moment when it has nothing to
// do, and a look at what it holds once it stands still. If it took a connection in between it goes
// on at once, and another moment is waited for, three times in all.

#include "supervisor/later.hpp"
#include "supervisor/posix/child.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace topsman::supervisor {

class FreezeWatch {
  public:
    enum class State : std::uint8_t { Again, Frozen, Failed };

    /// `listeners` are our own descriptors of the listeners that it has.
    FreezeWatch(boost::asio::io_context& io, const posix::Child& child, std::vector<int> listeners);

    /// Calls `then` when it is time to look.
    template <class Handler>
    void wait(Handler then) {
        later_.in(pause_, std::move(then));
    }

    /// Failed: it runs, and why is in reason().
    [[nodiscard]] State look();

    [[nodiscard]] const std::string& reason() const { return reason_; }

  private:
    using Clock = std::chrono::steady_clock;

    [[nodiscard]] State look_for_moment();
    [[nodiscard]] State look_at_stopped();
    State fail_try();
    void thaw() const;

    Later later_;
    const posix::Child& child_;
    std::vector<int> listeners_;
    std::chrono::microseconds pause_{0};
    Clock::time_point until_;  ///< the present try ends
    bool is_stopping_ = false;
    std::uint32_t tries_ = 0;
    std::string reason_;
};

}  // namespace topsman::supervisor
