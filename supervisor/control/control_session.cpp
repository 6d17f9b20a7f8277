#include "supervisor/control/control_session.hpp"

#include "supervisor/control/request.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include <fcntl.h>
#include <sstream>
#include <utility>

namespace topsman::control {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::local::stream_protocol;

http::status status_of(const std::string& result) {
    // A plan that tells of changes is an answer like any other.
    if (result == "done" || result == "changes") {
        return http::status::ok;
    }
    return result == "timed_out" ? http::status::gateway_timeout : http::status::conflict;
}

ucred peer_of(int fd) noexcept {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        return {.pid = 0, .uid = 0xffff'ffff, .gid = 0xffff'ffff};
    }
    return credentials;
}

/// What a Responder holds: makes sure that every request is answered once, and is answered.
class Debt {
  public:
    Debt(std::weak_ptr<ControlSession> session, std::uint64_t serial)
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
    std::weak_ptr<ControlSession> session_;
    std::uint64_t serial_;
};

}  // namespace

ControlSession::ControlSession(asio::io_context& io, std::weak_ptr<Host> host,
                               const Timeouts& timeouts, UniqueFd fd, bool excess)
    : host_(std::move(host)),
      timeouts_(timeouts),
      peer_(peer_of(fd.get())),
      socket_(io, stream_protocol(), fd.release()),
      timer_(io),
      excess_(excess) {}

void ControlSession::arm(std::chrono::milliseconds timeout) {
    timer_.expires_after(timeout);
    timer_.async_wait([weak = weak_from_this()](beast::error_code error) {
        const auto self = weak.lock();
        // A timer that was armed again after this wait had expired has a later expiry.
        if (self && !error && self->timer_.expiry() <= asio::steady_timer::clock_type::now()) {
            self->close();
        }
    });
}

void ControlSession::read() {
    state_ = State::Reading;
    parser_.emplace();
    parser_->header_limit(kMaxHeader);
    parser_->body_limit(kMaxBody);
    arm(timeouts_.read);
    http::async_read(socket_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, std::size_t) {
                         self->on_read(error);
                     });
}

void ControlSession::on_read(beast::error_code error) {
    if (state_ != State::Reading) {
        return;
    }
    timer_.cancel();
    const auto host = host_.lock();
    if (error && error.category() == http::make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message) {
        refuse_unreadable(error);
    } else if (error || !host) {
        close();
    } else {
        route(*host);
    }
}

void ControlSession::refuse_unreadable(beast::error_code error) {
    last_ = true;
    if (error == http::error::body_limit) {
        refuse(http::status::payload_too_large, "the body is larger than 64 KiB");
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
        refuse(http::status::request_header_fields_too_large, "the header is larger than 8 KiB");
    } else {
        refuse(http::status::bad_request, "this is not HTTP/1.1: " + error.message());
    }
}

void ControlSession::route(Host& host) {
    const auto& request = parser_->get();
    last_ = !request.keep_alive() || excess_ || host.is_shutting_down();
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
               "no such path: there are GET /v1/status /v1/events and POST" + change_paths());
    } else if (request.method() != (is_look ? http::verb::get : http::verb::post)) {
        response_ = {};
        response_.set(http::field::allow, is_look ? "GET" : "POST");
        refuse(http::status::method_not_allowed,
               is_look ? "this path is for GET" : "this path is for POST");
    } else if (is_look) {
        look(host, path, query);
    } else {
        change(host, path, query, request.body());
    }
}

void ControlSession::look(Host& host, std::string_view path, std::string_view query) {
    if (path == "/v1/status") {
        write(http::status::ok, host.handlers().status_json());
        return;
    }
    const auto since = parse_since(query);
    if (!since) {
        refuse(http::status::bad_request, since.error().message);
        return;
    }
    write(http::status::ok, host.handlers().events_json(*since));
}

void ControlSession::change(Host& host, std::string_view path, std::string_view query,
                            const std::string& body) {
    auto request = parse_change(path, body, query);
    if (!request) {
        refuse(http::status::bad_request, request.error().message);
        return;
    }
    request->peer_uid = peer_.uid;
    request->peer_pid = static_cast<std::uint32_t>(peer_.pid);
    request->client = weak_from_this();
    if (request->verb == Request::Verb::Upgrade && request->wait) {
        request->connection =
            std::make_shared<const UniqueFd>(::fcntl(socket_.native_handle(), F_DUPFD_CLOEXEC, 3));
    }
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
    host.handlers().change(std::move(*request),
                           [debt](const Response& response) { debt->pay(response); });
}

void ControlSession::answer_change(std::uint64_t serial, const Response& response) {
    if (state_ != State::Pending || serial != serial_) {
        return;
    }
    beast::error_code ignored;
    socket_.cancel(ignored);
    write(status_of(response.result), to_json(response));
}

void ControlSession::refuse(http::status status, const std::string& reason) {
    write(status, to_json({.result = "failed", .reason = reason, .lines = {}}));
}

void ControlSession::write(http::status status, std::string body) {
    state_ = State::Writing;
    const auto host = host_.lock();
    last_ = last_ || !host || host->is_shutting_down();
    response_.result(status);
    response_.version(11);
    response_.set(http::field::content_type, "application/json");
    response_.keep_alive(!last_);
    response_.body() = std::move(body) + "\n";
    response_.prepare_payload();
    arm(timeouts_.write);
    http::async_write(socket_, response_,
                      [self = shared_from_this()](beast::error_code error, std::size_t) {
                          if (self->state_ != State::Writing) {
                              return;
                          }
                          self->last_ = self->last_ || error;
                          self->on_written();
                      });
}

void ControlSession::on_written() {
    timer_.cancel();
    response_ = {};
    const auto host = host_.lock();
    if (last_ || !host || host->is_shutting_down()) {
        close();
    } else {
        read();
    }
}

void ControlSession::close() {
    if (state_ == State::Closed) {
        return;
    }
    state_ = State::Closed;
    timer_.cancel();
    beast::error_code ignored;
    socket_.shutdown(stream_protocol::socket::shutdown_send, ignored);
    socket_.close(ignored);
    if (const auto host = host_.lock()) {
        host->ended(shared_from_this());
    }
}

bool ControlSession::is_idle() const {
    return state_ == State::Reading && !excess_ && buffer_.size() == 0 && !parser_->got_some();
}

bool ControlSession::is_amid_words() const {
    return state_ == State::Writing || (state_ == State::Reading && !excess_ && !is_idle());
}

void answer_inherited(UniqueFd connection, const Response& response) {
    http::response<http::string_body> answer(status_of(response.result), 11);
    answer.set(http::field::content_type, "application/json");
    answer.keep_alive(false);
    answer.body() = to_json(response) + "\n";
    answer.prepare_payload();
    std::ostringstream words;
    words << answer;
    const std::string text = words.str();
    // A few hundred bytes, to one who waits for them: there is room.
    (void)::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void ControlSession::finish_up() {
    last_ = true;
    if (state_ == State::Reading) {
        close();
    }
}

}  // namespace topsman::control
