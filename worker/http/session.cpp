#include "worker/http/session.hpp"

#include "worker/http/server.hpp"

#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/rfc7230.hpp>

#include <sys/socket.h>

namespace topsman::http {

namespace {

// How long the peer may take to notice that nothing more comes. Closing at once could reset the
// connection before the peer has read the last answer (RFC 9112, 9.6).
constexpr std::chrono::seconds kLeaveTimeout{2};

Method method_of(beast::http::verb verb) {
    switch (verb) {
        case beast::http::verb::get:
            return Method::Get;
        case beast::http::verb::head:
            return Method::Head;
        case beast::http::verb::post:
            return Method::Post;
        default:
            return Method::Other;
    }
}

unsigned status_of(const beast::error_code& error) {
    if (error == beast::http::error::header_limit || error == beast::http::error::buffer_overflow) {
        return 431;
    }
    return error == beast::http::error::body_limit ? 413 : 400;
}

}  // namespace

Session::Session(Server& server, Socket socket) : server_(server), socket_(std::move(socket)) {}

Session::~Session() {
    server_.session_ended();
}

void Session::start() {
    set_state(State::Idle);
    // A client that connects and says nothing is as late as one that never finishes its header.
    deadline_ = server_.now() + server_.options().header_timeout;
    parser_.emplace();
    parser_->header_limit(kHeaderLimit);
    parser_->body_limit(kBodyLimit);
    parser_->eager(true);
    read();
}

void Session::set_state(State state) {
    state_ = state;
    switch (state) {
        case State::Idle:
            deadline_ = server_.now() + server_.options().idle_timeout;
            break;
        case State::Reading:
        case State::Answering:
            deadline_ = server_.now() + server_.options().header_timeout;
            break;
        case State::Leaving:
            deadline_ = server_.now() + kLeaveTimeout;
            break;
    }
}

void Session::look_at_clock(Time now) {
    if (now < deadline_ || due_) {
        return;
    }
    if (state_ == State::Reading && out_.empty()) {
        if (refuse(408)) {
            read();
        }
        return;
    }
    close();
}

void Session::close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
}

void Session::read() {
    socket_.async_read_some(
        buffer_.prepare(buffer_.max_size() - buffer_.size()),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
            // An answer to a time-out may have been sent, and the leaving begun, meanwhile.
            if (self->state_ == State::Leaving || error) {
                self->state_ == State::Leaving && !error ? self->read_until_end() : self->close();
                return;
            }
            self->on_read(bytes);
        });
}

void Session::on_read(std::size_t bytes) {
    buffer_.commit(bytes);
    if (parse()) {
        read();
    }
}

bool Session::parse() {
    while (buffer_.size() > 0) {
        if (state_ == State::Idle) {
            set_state(State::Reading);
        }
        beast::error_code error;
        buffer_.consume(parser_->put(buffer_.data(), error));
        if (error && error != beast::http::error::need_more) {
            return refuse(status_of(error));
        }
        if (!parser_->is_done()) {
            continue_if_expected();
            if (error == beast::http::error::need_more) {
                return true;
            }
            continue;
        }
        if (!answer_request()) {
            return false;
        }
    }
    return true;
}

void Session::continue_if_expected() {
    if (told_to_continue_ || !parser_->is_header_done() ||
        !beast::iequals(parser_->get()[beast::http::field::expect], "100-continue")) {
        return;
    }
    told_to_continue_ = true;
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    // Nothing else is on its way: so few bytes fit, or the client goes on by itself.
    (void)::send(socket_.native_handle(), kContinue.data(), kContinue.size(),
                 MSG_DONTWAIT | MSG_NOSIGNAL);
}

void Session::begin_request() {
    in_flight_.emplace(server_.worker().in_flight());
    if (server_.is_timed()) {
        began_ = std::chrono::steady_clock::now();
    }
}

void Session::count_answer(unsigned status) {
    server_.count_answer(status);
    if (server_.is_timed()) {
        server_.count_time(std::chrono::duration_cast<std::chrono::microseconds>(
            std::chrono::steady_clock::now() - began_));
    }
}

bool Session::answer_request() {
    const auto& request = parser_->get();
    begin_request();
    peer_said_close_ = !request.keep_alive();
    closes_after_answer_ = peer_said_close_ || server_.is_draining();
    set_state(State::Answering);
    const std::string_view target(request.target().data(), request.target().size());
    if (request.method() == beast::http::verb::get && target == "/" && request.version() == 11) {
        count_answer(200);
        return send(server_.greeting(!closes_after_answer_)) && answered();
    }
    auto answer = server_.routes().answer(method_of(request.method()), target);
    if (auto* later = std::get_if<Later>(&answer)) {
        answer_later(std::move(*later));
        return false;
    }
    return answer_now(std::get<Answer>(answer));
}

bool Session::answer_now(const Answer& answer) {
    closes_after_answer_ = closes_after_answer_ || server_.is_draining();
    // HTTP/1.0 keeps a connection only if both say so; it is closed here instead.
    const bool is_old = parser_->is_header_done() && parser_->get().version() < 11;
    closes_after_answer_ = closes_after_answer_ || is_old;
    out_.clear();
    const bool is_head =
        parser_->is_header_done() && parser_->get().method() == beast::http::verb::head;
    write_answer(out_, answer, {!closes_after_answer_, is_head});
    count_answer(answer.status);
    return send(out_) && answered();
}

bool Session::refuse(unsigned status) {
    begin_request();
    closes_after_answer_ = true;
    peer_said_close_ = false;
    set_state(State::Answering);
    return answer_now({status, "the request cannot be understood or is too large or too slow\n"});
}

void Session::answer_later(Later later) {
    due_.emplace(socket_.get_executor(), later.wait);
    due_->async_wait([self = shared_from_this(), answer = std::move(later.answer)](
                         const boost::system::error_code& /*never cancelled*/) {
        self->due_.reset();
        self->set_state(State::Answering);
        if (self->answer_now(answer) && self->parse()) {
            self->read();
        }
    });
}

bool Session::send(std::string_view text) {
    // Tried at once: an answer nearly always fits, and an asynchronous write is a turn of the loop.
    const ssize_t sent =
        ::send(socket_.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    server_.count_bytes(sent > 0 ? static_cast<std::size_t>(sent) : 0);
    if (sent == static_cast<ssize_t>(text.size())) {
        return true;
    }
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        in_flight_.reset();
        close();
        return false;
    }
    if (text.data() != out_.data()) {
        out_ = text;
    }
    write_rest(sent > 0 ? static_cast<std::size_t>(sent) : 0);
    return false;
}

void Session::write_rest(std::size_t from) {
    asio::async_write(
        socket_, asio::buffer(out_) + from,
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
            self->server_.count_bytes(bytes);
            if (error) {
                self->in_flight_.reset();
                self->close();
                return;
            }
            if (self->answered() && self->parse()) {
                self->read();
            }
        });
}

bool Session::answered() {
    in_flight_.reset();
    out_.clear();
    if (closes_after_answer_) {
        peer_said_close_ ? close() : leave();
        return false;
    }
    parser_.emplace();
    parser_->header_limit(kHeaderLimit);
    parser_->body_limit(kBodyLimit);
    parser_->eager(true);
    told_to_continue_ = false;
    set_state(State::Idle);
    return true;
}

void Session::leave() {
    set_state(State::Leaving);
    boost::system::error_code error;
    socket_.shutdown(Socket::shutdown_send, error);
    if (error) {
        close();
        return;
    }
    read_until_end();
}

void Session::read_until_end() {
    buffer_.clear();
    socket_.async_read_some(
        buffer_.prepare(buffer_.max_size()),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
            error ? self->close() : self->read_until_end();
        });
}

}  // namespace topsman::http
