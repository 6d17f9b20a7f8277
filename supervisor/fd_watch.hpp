#pragma once

#include "shm/base/result.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

namespace topsman::supervisor {

/// Asio's wait on a descriptor that somebody else owns.
class FdWatch {
  public:
    /// Look at is_watching(): epoll refuses descriptors above fs.epoll.max_user_watches.
    FdWatch(boost::asio::io_context& io, int fd) : descriptor_(io) {
        (void)descriptor_.assign(fd, error_);
    }

    ~FdWatch() { (void)descriptor_.release(); }

    FdWatch(const FdWatch&) = delete;
    FdWatch& operator=(const FdWatch&) = delete;

    /// Or why it is not: then no wait() ever ends.
    [[nodiscard]] Result<void> is_watching() const {
        if (error_) {
            return system_error("epoll_ctl", error_.value());
        }
        return {};
    }

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
    boost::system::error_code error_;
    boost::asio::posix::stream_descriptor descriptor_;
};

}  // namespace topsman::supervisor
