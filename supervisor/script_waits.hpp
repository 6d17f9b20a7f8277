#pragma once

// Scripts that wait for the results of their jobs. The master asks for them in its own lane, and
// answers when there is one; it cannot sleep in its lane's word, so while somebody waits it looks,
// often at first. A script that goes away does not wait any more; what it has submitted is executed
// all the same.

#include "supervisor/own_lane.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace topsman::supervisor {

class ScriptWaits {
  public:
    ScriptWaits(boost::asio::io_context& io, const shm::Segment& segment)
        : timer_(io), segment_(segment) {}

    /// Answers now if it cannot be submitted, else with the result.
    void submit(const control::Request& request, const control::Responder& respond);

    /// Answers all who wait with this reason: the jobs go on without them.
    void give_up(const std::string& why);

  private:
    struct Wait {
        AskedJob job;
        std::weak_ptr<const void> client;
        control::Responder respond;
    };

    void look_later();
    void look();

    boost::asio::steady_timer timer_;
    const shm::Segment& segment_;
    std::vector<Wait> waits_;
    std::chrono::milliseconds pause_{};
};

}  // namespace topsman::supervisor
