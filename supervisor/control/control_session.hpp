#pragma once

// One client of the control socket. Only the server includes this.

#include "shm/base/unique_fd.hpp"
#include "shm/queue_shape.hpp"
#include "supervisor/control/control_server.hpp"

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>

namespace topsman::control {

/// One client. Reads a request, has it answered, and again; or is told that there is no room. It is
/// in exactly one of these states, and `timer_` limits all but Pending.
class ControlSession : public std::enable_shared_from_this<ControlSession> {
  public:
    /// Its server.
    class Host {
      public:
        virtual ~Host() = default;
        [[nodiscard]] virtual const ControlServer::Handlers& handlers() const = 0;
        [[nodiscard]] virtual bool is_shutting_down() const = 0;
        /// It is closed; forget it.
        virtual void ended(const std::shared_ptr<ControlSession>& session) = 0;
    };

    struct Timeouts {
        std::chrono::milliseconds read;   ///< for a whole request; also idle
        std::chrono::milliseconds write;  ///< for a whole answer
    };

    /// `excess`: one for whom there is no room; it is told so.
    ControlSession(boost::asio::io_context& io, std::weak_ptr<Host> host, const Timeouts& timeouts,
                   UniqueFd fd, bool excess);

    void read();
    void close();
    /// It has asked nothing yet, or nothing after its last answer.
    [[nodiscard]] bool is_idle() const;
    /// Its request is half read, or its answer half written.
    [[nodiscard]] bool is_amid_words() const;

    [[nodiscard]] int descriptor() { return socket_.native_handle(); }

    /// The server is going: whoever waits for an answer still gets it.
    void finish_up();
    /// The answer to request number `serial`; ignored when that one is no longer waited for.
    void answer_change(std::uint64_t serial, const Response& response);

  private:
    // Every answer is small, and every request but a submit, whose body is a job.
    static constexpr std::uint32_t kMaxHeader = 8 * 1'024;
    static constexpr std::size_t kMaxBody = 65'536;
    static_assert(kMaxBody >= shm::kMaxItemBytes);

    enum class State : std::uint8_t { Reading, Pending, Writing, Closed };

    void arm(std::chrono::milliseconds timeout);
    void on_read(boost::beast::error_code error);
    void refuse_unreadable(boost::beast::error_code error);
    void route(Host& host);
    void look(Host& host, std::string_view path, std::string_view query);
    void change(Host& host, std::string_view path, std::string_view query, const std::string& body);
    void write(boost::beast::http::status status, std::string body);
    void refuse(boost::beast::http::status status, const std::string& reason);
    void on_written();

    std::weak_ptr<Host> host_;
    Timeouts timeouts_;
    ucred peer_;  // before the socket: asked of the bare descriptor
    boost::asio::local::stream_protocol::socket socket_;
    boost::asio::steady_timer timer_;
    bool excess_;
    bool last_ = false;  ///< close after this answer
    State state_ = State::Reading;
    std::uint64_t serial_ = 0;
    boost::beast::flat_buffer buffer_{kMaxHeader + kMaxBody};
    std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
    boost::beast::http::response<boost::beast::http::string_body> response_;
};

}  // namespace topsman::control
