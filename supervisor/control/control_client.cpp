#include "supervisor/control/control_client.hpp"

#include "shm/base/unique_fd.hpp"
#include "supervisor/control/control_socket.hpp"
#include "supervisor/control/request.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <array>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/time.h>

namespace topsman::control {
namespace {

namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxAnswer = 1'048'576;
constexpr std::chrono::milliseconds kLookAround{100};

Error timed_out() {
    return plain_error("no answer from the master in time", std::errc::timed_out);
}

std::string user_name(uid_t uid) {
    const passwd* entry = ::getpwuid(uid);
    return entry != nullptr ? entry->pw_name : std::to_string(uid);
}

std::string group_name(gid_t gid) {
    const group* entry = ::getgrgid(gid);
    return entry != nullptr ? entry->gr_name : std::to_string(gid);
}

Error refused(const std::string& path, int number) {
    Error error = system_error("control socket " + path, number);

    struct stat there {};

    if (number != EACCES) {
        return error;
    }
    if (::stat(path.c_str(), &there) == 0) {
        std::array<char, 8> mode{};
        (void)std::snprintf(mode.data(), mode.size(), "%04o", there.st_mode & 07777U);
        error.message += " (it belongs to " + user_name(there.st_uid) + ":" +
                         group_name(there.st_gid) + " with mode " + mode.data() + ")";
    }
    return error;
}

/// A blocking socket whose connect(2) and send(2) give up after `timeout`: a hung master's queue of
/// connections may be full, and a non-blocking connect to it could not be waited for (unix(7)).
Result<UniqueFd> connect_to(const std::string& path, std::chrono::milliseconds timeout) {
    const auto address = unix_address(path);
    if (!address) {
        return address.error();
    }
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) {
        return system_error("control socket " + path);
    }
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(timeout).count();
    const timeval limit{.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000};
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
        return errno == EAGAIN ? timed_out() : refused(path, errno);
    }
    return fd;
}

Result<void> send_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
        if (n > 0) {
            text.remove_prefix(static_cast<std::size_t>(n));
        } else if (errno == EAGAIN) {
            return timed_out();
        } else if (errno != EINTR) {
            return system_error("control socket");
        }
    }
    return {};
}

/// Waits until there is something to read; calls `on_wait` in between.
class Reader {
  public:
    Reader(int fd, Clock::time_point deadline, const Waiting& on_wait)
        : fd_(fd), deadline_(deadline), began_(Clock::now()), on_wait_(on_wait) {}

    /// Bytes read; 0 at the end of the stream.
    Result<std::size_t> read(char* to, std::size_t size) {
        for (;;) {
            const auto now = Clock::now();
            if (now >= deadline_) {
                return timed_out();
            }
            const auto until = on_wait_ ? std::min(now + kLookAround, deadline_) : deadline_;
            const auto ms = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
            pollfd poll{.fd = fd_, .events = POLLIN, .revents = 0};
            const int rc =
                ::poll(&poll, 1, static_cast<int>(std::min<std::int64_t>(ms, 3'600'000)));
            if (rc < 0 && errno != EINTR) {
                return system_error("control socket");
            }
            if (rc == 0 && on_wait_) {
                on_wait_(
                    std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began_));
            }
            if (rc <= 0) {
                continue;
            }
            const ssize_t n = ::recv(fd_, to, size, MSG_DONTWAIT);
            if (n >= 0) {
                return static_cast<std::size_t>(n);
            }
            if (errno != EAGAIN && errno != EINTR) {
                return system_error("control socket");
            }
        }
    }

  private:
    int fd_;
    Clock::time_point deadline_;
    Clock::time_point began_;
    const Waiting& on_wait_;
};

Error cut_off() {
    return plain_error("the master closed the connection without an answer",
                       std::errc::connection_reset);
}

Result<std::string> read_body(Reader& reader) {
    http::response_parser<http::string_body> parser;
    parser.eager(true);
    parser.body_limit(kMaxAnswer);
    std::string pending;
    std::array<char, 4'096> chunk{};
    while (!parser.is_done()) {
        const auto n = reader.read(chunk.data(), chunk.size());
        if (!n) {
            return n.error().code == std::errc::connection_reset ? cut_off() : n.error();
        }
        if (*n == 0) {
            return cut_off();
        }
        pending.append(chunk.data(), *n);
        boost::system::error_code error;
        const std::size_t used = parser.put(boost::asio::buffer(pending), error);
        if (error && error != http::error::need_more) {
            return plain_error("the answer is not HTTP: " + error.message(),
                               std::errc::protocol_error);
        }
        pending.erase(0, used);
        if (pending.size() > kMaxAnswer) {
            return plain_error("the answer is too long", std::errc::protocol_error);
        }
    }
    return parser.get().body();
}

}  // namespace

Result<Response> post(const std::string& socket_path, const std::string& target,
                      const std::string& body, std::chrono::milliseconds timeout,
                      const Waiting& on_wait) {
    const auto deadline = Clock::now() + timeout;
    const auto fd = connect_to(socket_path, std::max(timeout, std::chrono::milliseconds(1)));
    if (!fd) {
        return fd.error();
    }
    const std::string request = "POST " + target +
                                " HTTP/1.1\r\nHost: topsman\r\nContent-Type: application/json\r\n"
                                "Connection: close\r\nContent-Length: " +
                                std::to_string(body.size()) + "\r\n\r\n" + body;
    // A server that has no room may answer and close before it has read all of this: its answer
    // counts, not the broken pipe.
    const auto sent = send_all(fd->get(), request);
    if (!sent && sent.error().code != std::errc::broken_pipe) {
        return sent.error();
    }
    Reader reader(fd->get(), deadline, on_wait);
    const auto answer = read_body(reader);
    if (!answer) {
        return answer.error();
    }
    return parse_response(*answer);
}

}  // namespace topsman::control
