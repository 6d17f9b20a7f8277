#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

namespace topsman::supervisor {

/// Asio's wait on a descriptor that somebody else owns.
class FdWatch {
  public:
    FdWatch(boost::asio::io_context& io, int fd) : descriptor_(io, fd) {}

    ~FdWatch() { (void)descriptor_.release(); }

    FdWatch(const FdWatch&) = delete;
    FdWatch& operator=(const FdWatch&) = delete;

    template <class Handler>
    void wait(Handler handler) {
        descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                               [handler](const boost::system::error_code& error) {
                                   if (!error) {
                                       handler();
                                   }
                               });
    }

  private:
    boost::asio::posix::stream_descriptor descriptor_;
};

}  // namespace topsman::supervisor
