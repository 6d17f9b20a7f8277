#pragma once

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"
#include "topsman/worker.hpp"

#include <functional>
#include <memory>
#include <string_view>

namespace boost::asio {
class io_context;
}

namespace topsman {

/// Takes connections from a listener that several workers share, fairly.
///
/// What: with one socket for all workers the kernel's usual wake-up order gives nearly all
/// connections to one of them. This acceptor takes one connection, goes to the end of the queue of
/// waiting workers, and does not queue at all while it has requests in flight and another worker
/// is idle. So idle workers take turns and a busy one gets nothing that an idle one could take.
/// Returns: open() and over() an acceptor that does nothing until start().
/// Errors: the listener was not inherited; epoll_create1(2) or epoll_ctl(2) refused.
/// When accept(2) fails for want of descriptors or memory the acceptor pauses for 100 ms at a time.
/// Threads: one io_context, run by one thread; all calls from that thread.
/// Kill safety: a connection belongs to the socket until it was accepted; a worker killed before
/// that loses none. Count requests with Worker::in_flight(): that is how the acceptor knows that
/// the worker is busy.
///
/// @code
/// #include <topsman/acceptor.hpp>
///
/// #include <boost/asio/io_context.hpp>
/// #include <boost/asio/ip/tcp.hpp>
/// #include <boost/asio/read.hpp>
/// #include <boost/asio/write.hpp>
/// #include <sys/socket.h>
///
/// namespace asio = boost::asio;
///
/// int main() {
///     asio::io_context loop;
///     topsman::Worker worker = topsman::Worker::attach().value();
///     topsman::UniqueFd own(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
///     ::listen(own.get(), 16);  // under topsman: Acceptor::open(loop, worker, "http")
///     auto acceptor = topsman::Acceptor::over(loop, worker, std::move(own)).value();
///     acceptor.start([&](topsman::UniqueFd connection) {
///         asio::ip::tcp::socket client(loop, asio::ip::tcp::v4(), connection.release());
///         asio::write(client, asio::buffer("hello\n", 6));
///         acceptor.stop();
///     });
///     worker.ready();
///     asio::ip::tcp::socket client(loop);
///     client.connect({asio::ip::make_address("127.0.0.1"), acceptor.port()});
///     loop.run();  // ends when the acceptor has stopped
///     char text[6];
///     return asio::read(client, asio::buffer(text)) == 6 ? 0 : 1;
/// }
/// @endcode
class Acceptor {
  public:
    /// Gets each connection: non-blocking, close-on-exec.
    using OnConnection = std::function<void(UniqueFd connection)>;

    /// Over the inherited listener of that name.
    [[nodiscard]] static Result<Acceptor> open(boost::asio::io_context& loop, Worker worker,
                                               std::string_view listener);

    /// Over a listening socket of the program's own.
    [[nodiscard]] static Result<Acceptor> over(boost::asio::io_context& loop, Worker worker,
                                               UniqueFd socket);

    Acceptor(Acceptor&&) noexcept = default;
    Acceptor& operator=(Acceptor&& other) noexcept;  ///< swaps
    ~Acceptor();                                     ///< stops

    /// A spare waits here until it has a seat: see Worker::is_spare().
    void start(OnConnection on_connection);

    /// Takes no more connections. A socket of the program's own is closed, and what waited in its
    /// queue is handed out before; an inherited one lives on with the other workers.
    void stop();

    /// The port it listens at; 0 for other than IP sockets.
    [[nodiscard]] std::uint16_t port() const noexcept;

  private:
    class Impl;
    explicit Acceptor(std::shared_ptr<Impl> impl) noexcept;

    std::shared_ptr<Impl> impl_;
};

}  // namespace topsman
