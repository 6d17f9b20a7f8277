#pragma once

// Looks at one starting worker from outside until it waits for connections: after 1, 2, 4 ... 100
// ms, less often the longer it takes, and never again once it does. Two looks in a row, 10 ms
// apart, must see it.

#include "supervisor/later.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace topsman::supervisor {

class ListeningWatch {
  public:
    /// `sockets` are our own descriptors of the listeners that it was given.
    ListeningWatch(boost::asio::io_context& io, std::uint32_t pid, const std::vector<int>& sockets);

    /// Calls `then` when it is time to look.
    template <class Handler>
    void wait(Handler then) {
        later_.in(pause_, std::move(then));
    }

    /// True: it waits for connections.
    [[nodiscard]] bool look();

    /// Why it cannot be told; given once.
    [[nodiscard]] std::optional<std::string> trouble();

    [[nodiscard]] bool had_trouble() const { return !trouble_.empty(); }

  private:
    Later later_;
    std::uint32_t pid_;
    std::vector<std::uint64_t> inodes_;
    std::chrono::milliseconds pause_{1};
    std::chrono::milliseconds waited_{0};
    std::chrono::milliseconds doubt_;  ///< when it is asked why nothing is seen
    bool seen_ = false;                ///< by the last look
    bool told_ = false;
    std::string trouble_;
};

}  // namespace topsman::supervisor
