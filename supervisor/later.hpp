#pragma once

// One call, some time from now, from the io_context. The next in() replaces it, and none outlives
// the object.

#include <boost/asio/steady_timer.hpp>

namespace topsman::supervisor {

class Later {
  public:
    explicit Later(boost::asio::io_context& io) : timer_(io) {}

    template <class Handler>
    void in(boost::asio::steady_timer::duration pause, Handler then) {
        timer_.expires_after(pause);
        timer_.async_wait([then](const boost::system::error_code& error) {
            if (!error) {
                then();
            }
        });
    }

  private:
    boost::asio::steady_timer timer_;
};

}  // namespace topsman::supervisor
