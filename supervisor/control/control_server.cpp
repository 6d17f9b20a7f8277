#include "supervisor/control/control_server.hpp"

#include "supervisor/control/control_socket.hpp"
#include "supervisor/control/request.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <set>
#include <sys/stat.h>
#include <utility>

namespace topsman::control {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::local::stream_protocol;

// Every answer is small and every request is smaller: a pool's name and a number.
constexpr std::uint32_t kMaxHeader = 8 * 1'024;
constexpr std::size_t kMaxBody = 65'536;
// Clients above max_clients that are listened to just long enough to be told 503. Above those
// nobody is accepted: they wait in the kernel's queue.
constexpr std::size_t kExcessClients = 8;
// accept(2) failed for want of descriptors or memory: try again, not at once.
constexpr std::chrono::milliseconds kAcceptPause{250};

http::status status_of(const std::string& result) {
    if (result == "done") {
        return http::status::ok;
    }
    return result == "timed_out" ? http::status::gateway_timeout : http::status::conflict;
}

struct Peer {
    std::uint32_t uid = 0;
    std::uint32_t pid = 0;
};

Peer peer_of(int fd) noexcept {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        return {.uid = 0xffff'ffff, .pid = 0};
    }
    return {.uid = credentials.uid, .pid = static_cast<std::uint32_t>(credentials.pid)};
}

}  // namespace

namespace {
class Session;
}

struct ControlServer::Impl : std::enable_shared_from_this<ControlServer::Impl> {
    Impl(asio::io_context& io_context, Options o, Handlers h)
        : io(io_context),
          options(std::move(o)),
          handlers(std::move(h)),
          acceptor(io_context),
          pause(io_context) {}

    void accept_next();
    void accept_ready();
    void ended(const std::shared_ptr<Session>& session);
    void close_all();
    void unlink_own() const;

    asio::io_context& io;
    Options options;
    Handlers handlers;
    stream_protocol::acceptor acceptor;
    asio::steady_timer pause;
    std::set<std::shared_ptr<Session>> sessions;

    struct stat file {};  ///< the socket's own, to unlink no successor's

    bool waiting_for_room = false;
    bool shutting_down = false;
    std::function<void()> closed;
};

namespace {

using Server = ControlServer::Impl;

/// One client. Reads a request, has it answered, and again; or is told that there is no room. It is
/// in exactly one of these states, and `timer_` limits all but Pending.
class Session : public std::enable_shared_from_this<Session> {
  public:
    Session(Server& server, int fd, bool excess)
        : server_(server.weak_from_this()),
          read_timeout_(server.options.read_timeout),
          write_timeout_(server.options.write_timeout),
          socket_(server.io, stream_protocol(), fd),
          timer_(server.io),
          peer_(peer_of(fd)),
          excess_(excess) {}

    void read();
    void close();
    /// The server is going: whoever waits for an answer still gets it.
    void finish_up();
    /// The answer to request number `serial`; ignored when that one is no longer waited for.
    void answer_change(std::uint64_t serial, const Response& response);

  private:
    enum class State : std::uint8_t { Reading, Pending, Writing, Closed };

    void arm(std::chrono::milliseconds timeout);
    void on_read(beast::error_code error);
    void refuse_unreadable(beast::error_code error);
    void route(Server& server);
    void look(Server& server, std::string_view path, std::string_view query);
    void change(Server& server, std::string_view path, const std::string& body);
    void write(http::status status, std::string body);
    void refuse(http::status status, const std::string& reason);
    void on_written();

    std::weak_ptr<Server> server_;
    std::chrono::milliseconds read_timeout_;
    std::chrono::milliseconds write_timeout_;
    stream_protocol::socket socket_;
    asio::steady_timer timer_;
    Peer peer_;
    bool excess_;
    bool last_ = false;  ///< close after this answer
    State state_ = State::Reading;
    std::uint64_t serial_ = 0;
    beast::flat_buffer buffer_{kMaxHeader + kMaxBody};
    std::optional<http::request_parser<http::string_body>> parser_;
    http::response<http::string_body> response_;
};

/// What a Responder holds: makes sure that every request is answered once, and is answered.
class Debt {
  public:
    Debt(std::weak_ptr<Session> session, std::uint64_t serial)
        : session_(std::move(session)), serial_(serial) {}

    Debt(const Debt&) = delete;
    Debt& operator=(const Debt&) = delete;

    ~Debt() { pay({.result = "failed", .reason = "the master dropped the request", .lines = {}}); }

    void pay(const Response& response) {
        if (const auto session = std::exchange(session_, {}).lock()) {
            session->answer_change(serial_, response);
        }
    }

  private:
    std::weak_ptr<Session> session_;
    std::uint64_t serial_;
};

void Session::arm(std::chrono::milliseconds timeout) {
    timer_.expires_after(timeout);
    timer_.async_wait([weak = weak_from_this()](beast::error_code error) {
        const auto self = weak.lock();
        // A timer that was armed again after this wait had expired has a later expiry.
        if (self && !error && self->timer_.expiry() <= asio::steady_timer::clock_type::now()) {
            self->close();
        }
    });
}

void Session::read() {
    state_ = State::Reading;
    parser_.emplace();
    parser_->header_limit(kMaxHeader);
    parser_->body_limit(kMaxBody);
    arm(read_timeout_);
    http::async_read(socket_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, std::size_t) {
                         self->on_read(error);
                     });
}

void Session::on_read(beast::error_code error) {
    if (state_ != State::Reading) {
        return;
    }
    timer_.cancel();
    const auto server = server_.lock();
    if (error && error.category() == http::make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message) {
        refuse_unreadable(error);
    } else if (error || !server) {
        close();
    } else {
        route(*server);
    }
}

void Session::refuse_unreadable(beast::error_code error) {
    last_ = true;
    if (error == http::error::body_limit) {
        refuse(http::status::payload_too_large, "the body is larger than 64 KiB");
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
        refuse(http::status::request_header_fields_too_large, "the header is larger than 8 KiB");
    } else {
        refuse(http::status::bad_request, "this is not HTTP/1.1: " + error.message());
    }
}

void Session::route(Server& server) {
    const auto& request = parser_->get();
    last_ = !request.keep_alive() || excess_ || server.shutting_down;
    if (excess_) {
        refuse(http::status::service_unavailable,
               "too many clients of the control socket; try again");
        return;
    }
    const std::string_view target(request.target().data(), request.target().size());
    const std::size_t mark = std::min(target.find('?'), target.size());
    const std::string_view path = target.substr(0, mark);
    const std::string_view query = target.substr(std::min(mark + 1, target.size()));
    const bool is_look = path == "/v1/status" || path == "/v1/events";
    const bool is_change = verb_of(path).has_value();
    if (!is_look && !is_change) {
        refuse(http::status::not_found,
               "no such path: there are GET /v1/status /v1/events and POST /v1/reload /v1/rollback "
               "/v1/restart /v1/scale /v1/stop /v1/reset-failed");
    } else if (request.method() != (is_look ? http::verb::get : http::verb::post)) {
        response_ = {};
        response_.set(http::field::allow, is_look ? "GET" : "POST");
        refuse(http::status::method_not_allowed,
               is_look ? "this path is for GET" : "this path is for POST");
    } else if (is_look) {
        look(server, path, query);
    } else {
        change(server, path, request.body());
    }
}

void Session::look(Server& server, std::string_view path, std::string_view query) {
    if (path == "/v1/status") {
        write(http::status::ok, server.handlers.status_json());
        return;
    }
    const auto since = parse_since(query);
    if (!since) {
        refuse(http::status::bad_request, since.error().message);
        return;
    }
    write(http::status::ok, server.handlers.events_json(*since));
}

void Session::change(Server& server, std::string_view path, const std::string& body) {
    auto request = parse_change(path, body);
    if (!request) {
        refuse(http::status::bad_request, request.error().message);
        return;
    }
    request->peer_uid = peer_.uid;
    request->peer_pid = peer_.pid;
    state_ = State::Pending;
    ++serial_;
    // Both ends closed is POLLHUP, which wait_error sees; a client that has only shut down its
    // sending side still wants its answer.
    socket_.async_wait(
        stream_protocol::socket::wait_error,
        [weak = weak_from_this(), serial = serial_](beast::error_code error) {
            const auto self = weak.lock();
            if (self && !error && self->state_ == State::Pending && self->serial_ == serial) {
                self->close();
            }
        });
    const auto debt = std::make_shared<Debt>(weak_from_this(), serial_);
    server.handlers.change(std::move(*request),
                           [debt](const Response& response) { debt->pay(response); });
}

void Session::answer_change(std::uint64_t serial, const Response& response) {
    if (state_ != State::Pending || serial != serial_) {
        return;
    }
    beast::error_code ignored;
    socket_.cancel(ignored);
    write(status_of(response.result), to_json(response));
}

void Session::refuse(http::status status, const std::string& reason) {
    write(status, to_json({.result = "failed", .reason = reason, .lines = {}}));
}

void Session::write(http::status status, std::string body) {
    state_ = State::Writing;
    const auto server = server_.lock();
    last_ = last_ || !server || server->shutting_down;
    response_.result(status);
    response_.version(11);
    response_.set(http::field::content_type, "application/json");
    response_.keep_alive(!last_);
    response_.body() = std::move(body) + "\n";
    response_.prepare_payload();
    arm(write_timeout_);
    http::async_write(socket_, response_,
                      [self = shared_from_this()](beast::error_code error, std::size_t) {
                          if (self->state_ != State::Writing) {
                              return;
                          }
                          self->last_ = self->last_ || error;
                          self->on_written();
                      });
}

void Session::on_written() {
    timer_.cancel();
    response_ = {};
    const auto server = server_.lock();
    if (last_ || !server || server->shutting_down) {
        close();
    } else {
        read();
    }
}

void Session::close() {
    if (state_ == State::Closed) {
        return;
    }
    state_ = State::Closed;
    timer_.cancel();
    beast::error_code ignored;
    socket_.shutdown(stream_protocol::socket::shutdown_send, ignored);
    socket_.close(ignored);
    if (const auto server = server_.lock()) {
        server->ended(shared_from_this());
    }
}

void Session::finish_up() {
    last_ = true;
    if (state_ == State::Reading) {
        close();
    }
}

}  // namespace

void ControlServer::Impl::accept_next() {
    if (shutting_down || waiting_for_room) {
        return;
    }
    acceptor.async_wait(stream_protocol::acceptor::wait_read,
                        [weak = weak_from_this()](beast::error_code error) {
                            const auto self = weak.lock();
                            if (self && !error) {
                                self->accept_ready();
                            }
                        });
}

void ControlServer::Impl::accept_ready() {
    if (shutting_down) {
        return;
    }
    if (sessions.size() >= options.max_clients + kExcessClients) {
        waiting_for_room = true;
        return;
    }
    // accept4(2) by hand: Asio's own does not set SOCK_CLOEXEC, and a worker that is being spawned
    // would inherit the connection.
    UniqueFd fd(
        ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
        const bool excess = sessions.size() >= options.max_clients;
        const auto session = std::make_shared<Session>(*this, fd.release(), excess);
        sessions.insert(session);
        session->read();
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        pause.expires_after(kAcceptPause);
        pause.async_wait([weak = weak_from_this()](beast::error_code error) {
            const auto self = weak.lock();
            if (self && !error) {
                self->accept_next();
            }
        });
        return;
    }
    accept_next();
}

void ControlServer::Impl::ended(const std::shared_ptr<Session>& session) {
    sessions.erase(session);
    if (std::exchange(waiting_for_room, false)) {
        accept_next();
    }
    if (shutting_down && sessions.empty() && closed) {
        asio::post(io, std::exchange(closed, nullptr));
    }
}

void ControlServer::Impl::close_all() {
    shutting_down = true;
    closed = nullptr;
    pause.cancel();
    beast::error_code ignored;
    acceptor.close(ignored);
    for (const auto& session : std::exchange(sessions, {})) {
        session->close();
    }
    unlink_own();
}

void ControlServer::Impl::unlink_own() const {
    struct stat there {};

    if (::lstat(options.path.c_str(), &there) == 0 && there.st_dev == file.st_dev &&
        there.st_ino == file.st_ino) {
        (void)::unlink(options.path.c_str());
    }
}

Result<std::unique_ptr<ControlServer>> ControlServer::listen(asio::io_context& io,
                                                             const Options& options,
                                                             Handlers handlers) {
    auto fd = listen_unix(options.path, options.mode, options.group);
    if (!fd) {
        return fd.error();
    }
    auto impl = std::make_shared<Impl>(io, options, std::move(handlers));
    (void)::lstat(options.path.c_str(), &impl->file);
    beast::error_code error;
    impl->acceptor.assign(stream_protocol(), fd->get(), error);
    if (error) {
        return plain_error("control socket " + options.path + ": " + error.message());
    }
    (void)fd->release();
    impl->accept_next();
    return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

ControlServer::ControlServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

ControlServer::~ControlServer() {
    impl_->close_all();
}

void ControlServer::shut_down(std::function<void()> closed) {
    impl_->shutting_down = true;
    beast::error_code ignored;
    impl_->acceptor.close(ignored);
    impl_->closed = std::move(closed);
    const auto sessions = impl_->sessions;
    for (const auto& session : sessions) {
        session->finish_up();
    }
    if (impl_->sessions.empty() && impl_->closed) {
        asio::post(impl_->io, std::exchange(impl_->closed, nullptr));
    }
}

}  // namespace topsman::control
