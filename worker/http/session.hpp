#pragma once

// One connection: reads requests, answers them in order, and leaves politely.
//
//   Idle --first byte--> Reading --whole--> Answering --written--> Idle, or Leaving
//
// Every state but Answering-while-the-answer-is-not-due has a deadline, which the server looks at
// once a second: no timer is set or cancelled for a request.

#include "topsman/worker.hpp"
#include "worker/http/answer.hpp"
#include "worker/http/routes.hpp"

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_static_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/intrusive/list_hook.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace topsman::http {

namespace asio = boost::asio;
namespace beast = boost::beast;

class Server;

using ListHook =
    boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

class Session : public std::enable_shared_from_this<Session>, public ListHook {
  public:
    using Socket =
        asio::basic_stream_socket<asio::generic::stream_protocol, asio::io_context::executor_type>;
    using Time = std::chrono::steady_clock::time_point;

    Session(Server& server, Socket socket);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    void start();

    /// Ends what has taken too long.
    void look_at_clock(Time now);

    void close();

  private:
    enum class State { Idle, Reading, Answering, Leaving };

    static constexpr std::size_t kHeaderLimit = std::size_t{8} * 1024;
    static constexpr std::size_t kBodyLimit = std::size_t{64} * 1024;
    static constexpr std::size_t kReadAtOnce = std::size_t{16} * 1024;

    void set_state(State state);
    void read();
    void on_read(std::size_t bytes);
    /// Works on what has been read. False: the rest will be called back.
    [[nodiscard]] bool parse();
    void begin_request();
    /// Before it is sent: who has it finds it counted.
    void count_answer(unsigned status);
    [[nodiscard]] bool answer_request();
    [[nodiscard]] bool answer_now(const Answer& answer);
    [[nodiscard]] bool refuse(unsigned status);
    void answer_later(Later later);
    /// Sends the text; false: the rest will be written by and by.
    [[nodiscard]] bool send(std::string_view text);
    void write_rest(std::size_t from);
    /// After the last byte of an answer. False: the connection is not read any more.
    [[nodiscard]] bool answered();
    void continue_if_expected();
    void leave();
    void read_until_end();

    Server& server_;
    Socket socket_;
    State state_ = State::Idle;
    Time deadline_;
    std::chrono::steady_clock::time_point began_;  ///< the request
    bool closes_after_answer_ = false;
    bool peer_said_close_ = false;
    bool told_to_continue_ = false;
    std::optional<beast::http::request_parser<beast::http::string_body>> parser_;
    std::optional<InFlight> in_flight_;
    std::optional<asio::steady_timer> due_;
    std::string out_;
    beast::flat_static_buffer<kReadAtOnce> buffer_;
};

}  // namespace topsman::http
