// Clients of an HTTP server that count each answer and each failure, at the highest rate or at a
// given one. None of them tries again: what fails is a failure.
//
// `bench_client HOST PORT CONNECTIONS [--close] [--rate N]`: without --close each connection is
// kept until the server says otherwise. Says "going" when every connection has had its first
// answer, asks until its standard input ends, takes the answers that it still waits for, and prints
// JSON: answers, failed (by what happened), latencies in microseconds. With --rate they are counted
// from when the request was due, not from when it could be sent.

#include "shm/base/check.hpp"
#include "shm/base/unique_fd.hpp"
#include "stamp.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace topsman::bench {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kPatience = 20 * kSecond;  // then it is a failure

struct Wish {
    sockaddr_in server{};
    std::size_t connections = 1;
    bool is_kept = true;
    double rate = 0;  // requests a second, of all connections; 0: as fast as answers come
};

struct Answer {
    bool is_good = false;
    bool closes = false;
};

/// Nothing as long as some of it is missing.
std::optional<Answer> parse(std::string_view text) {
    const std::size_t head = text.find("\r\n\r\n");
    if (head == std::string_view::npos) {
        return std::nullopt;
    }
    std::string lower(text.substr(0, head + 2));
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    std::size_t length = 0;
    constexpr std::string_view kLength = "\r\ncontent-length:";
    if (const auto at = lower.find(kLength); at != std::string::npos) {
        length = std::strtoul(lower.c_str() + at + kLength.size(), nullptr, 10);
    }
    if (text.size() < head + 4 + length) {
        return std::nullopt;
    }
    return Answer{lower.starts_with("http/1.1 200 "),
                  lower.find("\r\nconnection: close") != std::string::npos};
}

struct Connection {
    enum class State { Closed, Connecting, Waiting, Idle };

    UniqueFd fd;
    State state = State::Closed;
    std::string text;         // of the answer that it waits for
    std::int64_t due_ns = 0;  // the next request, or the one under way
    bool is_going = false;    // has had an answer

    [[nodiscard]] bool is_under_way() const {
        return state == State::Connecting || state == State::Waiting;
    }
};

class Clients {
  public:
    explicit Clients(const Wish& wish) : wish_(wish), connections_(wish.connections) {
        const std::int64_t now = now_ns();
        for (std::size_t i = 0; i < connections_.size(); ++i) {
            connections_[i].due_ns = now + gap_ns_ * static_cast<std::int64_t>(i) /
                                               static_cast<std::int64_t>(connections_.size());
        }
        watch(STDIN_FILENO, kInput, EPOLLIN);
    }

    void run() {
        const std::int64_t began = now_ns();
        while (!is_ending_ || is_any_under_way()) {
            ask_who_is_due();
            wait();
        }
        seconds_ = double(now_ns() - began) / double(kSecond);
    }

    void print() {
        boost::json::object failed;
        for (const auto& [what, count] : failed_) {
            failed[what] = count;
        }
        std::sort(latencies_us_.begin(), latencies_us_.end());
        const auto part = [this](double share) {
            const double last = double(latencies_us_.size()) - 1;
            return latencies_us_.empty() ? 0U
                                         : latencies_us_[static_cast<std::size_t>(share * last)];
        };
        const boost::json::object all{{"answers", latencies_us_.size()},
                                      {"failed", failed},
                                      {"seconds", seconds_},
                                      {"p50_us", part(0.5)},
                                      {"p99_us", part(0.99)},
                                      {"max_us", part(1)}};
        std::puts(boost::json::serialize(all).c_str());
    }

  private:
    static constexpr std::uint64_t kInput = ~std::uint64_t{0};

    void watch(int fd, std::uint64_t key, std::uint32_t events) const {
        epoll_event event{};
        event.events = events;
        event.data.u64 = key;
        CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
    }

    [[nodiscard]] bool is_any_under_way() const {
        return std::any_of(connections_.begin(), connections_.end(),
                           [](const Connection& each) { return each.is_under_way(); });
    }

    void ask_who_is_due() {
        const std::int64_t now = now_ns();
        for (Connection& connection : connections_) {
            if (connection.is_under_way()) {
                if (now - connection.due_ns > kPatience) {
                    fail(connection, "timed out");
                }
            } else if (!is_ending_ && connection.due_ns <= now) {
                if (gap_ns_ == 0) {
                    connection.due_ns = now;
                }
                connection.state == Connection::State::Idle ? send(connection) : open(connection);
            }
        }
    }

    void wait() {
        // Who has been answered may ask again at once.
        std::int64_t until = is_ending_ ? now_ns() + kSecond : now_ns() + kPatience;
        for (const Connection& connection : connections_) {
            if (!is_ending_ && !connection.is_under_way()) {
                until = std::min(until, connection.due_ns);
            }
        }
        const std::int64_t left = std::max<std::int64_t>(0, until - now_ns());
        const timespec limit{left / kSecond, left % kSecond};
        std::array<epoll_event, 64> events;
        const int count =
            ::epoll_pwait2(epoll_.get(), events.data(), int{events.size()}, &limit, nullptr);
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            if (event.data.u64 == kInput) {
                is_ending_ = true;
                CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, STDIN_FILENO, nullptr) == 0);
            } else {
                on_event(connections_[event.data.u64], event.events);
            }
        }
    }

    void on_event(Connection& connection, std::uint32_t events) {
        if (connection.state == Connection::State::Connecting) {
            int error = 0;
            socklen_t size = sizeof error;
            (void)::getsockopt(connection.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
            if (error != 0) {
                fail(connection, std::strerror(error));
            } else if ((events & EPOLLOUT) != 0) {
                send(connection);
            }
        }
        if (connection.state == Connection::State::Waiting ||
            connection.state == Connection::State::Idle) {
            read(connection);
        }
    }

    void open(Connection& connection) {
        connection.fd.reset(
            ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
        CHECK(connection.fd);
        const int on = 1;
        (void)::setsockopt(connection.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connection.state = Connection::State::Connecting;
        const auto* const server = reinterpret_cast<const sockaddr*>(&wish_.server);
        const int done = ::connect(connection.fd.get(), server, sizeof wish_.server);
        if (done != 0 && errno != EINPROGRESS) {
            fail(connection, std::strerror(errno));
            return;
        }
        watch(connection.fd.get(), static_cast<std::uint64_t>(&connection - connections_.data()),
              EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }

    void send(Connection& connection) {
        const ssize_t sent =
            ::send(connection.fd.get(), request_.data(), request_.size(), MSG_NOSIGNAL);
        if (sent != static_cast<ssize_t>(request_.size())) {
            fail(connection, sent < 0 ? std::strerror(errno) : "sent in part");
            return;
        }
        connection.state = Connection::State::Waiting;
    }

    void read(Connection& connection) {
        std::array<char, 4096> bytes;
        ssize_t got = 0;
        while ((got = ::recv(connection.fd.get(), bytes.data(), bytes.size(), 0)) > 0) {
            connection.text.append(bytes.data(), static_cast<std::size_t>(got));
        }
        const bool has_ended = got == 0;
        const int error = got < 0 && errno != EAGAIN ? errno : 0;
        if (connection.state == Connection::State::Idle) {
            if (has_ended || error != 0) {
                close(connection);  // nobody had asked
            }
            return;
        }
        if (const auto answer = parse(connection.text)) {
            on_answer(connection, *answer, has_ended);
        } else if (has_ended) {
            fail(connection, connection.text.empty() ? "closed unanswered" : "cut");
        } else if (error != 0) {
            fail(connection, std::strerror(error));
        }
    }

    void on_answer(Connection& connection, const Answer& answer, bool has_ended) {
        latencies_us_.push_back(
            static_cast<std::uint32_t>((now_ns() - connection.due_ns) / (kSecond / 1'000'000)));
        if (!answer.is_good) {
            ++failed_["not 200"];
        }
        if (!std::exchange(connection.is_going, true) && ++going_ == connections_.size()) {
            std::puts("going");
            (void)std::fflush(stdout);
        }
        connection.text.clear();
        connection.state = Connection::State::Idle;
        if (has_ended || answer.closes || !wish_.is_kept) {
            close(connection);
        }
        plan_next(connection);
    }

    void fail(Connection& connection, const std::string& what) {
        ++failed_[what];
        close(connection);
        plan_next(connection);
    }

    static void close(Connection& connection) {
        connection.text.clear();
        connection.fd.reset();
        connection.state = Connection::State::Closed;
    }

    void plan_next(Connection& connection) const {
        connection.due_ns = gap_ns_ > 0 ? connection.due_ns + gap_ns_ : now_ns();
    }

    const Wish wish_;
    const std::int64_t gap_ns_ =  // between two requests of one connection
        wish_.rate > 0
            ? static_cast<std::int64_t>(double(kSecond) / wish_.rate * double(wish_.connections))
            : 0;
    const std::string request_ = std::string("GET / HTTP/1.1\r\nHost: bench\r\n") +
                                 (wish_.is_kept ? "" : "Connection: close\r\n") + "\r\n";
    const UniqueFd epoll_{::epoll_create1(EPOLL_CLOEXEC)};
    std::vector<Connection> connections_;
    std::size_t going_ = 0;
    bool is_ending_ = false;
    double seconds_ = 0;
    std::map<std::string, std::uint64_t> failed_;
    std::vector<std::uint32_t> latencies_us_;
};

Wish wish_of(const std::vector<std::string>& words) {
    Wish wish;
    CHECK(words.size() >= 3);
    wish.server.sin_family = AF_INET;
    CHECK(::inet_pton(AF_INET, words[0].c_str(), &wish.server.sin_addr) == 1);
    wish.server.sin_port = htons(static_cast<std::uint16_t>(std::stoul(words[1])));
    wish.connections = std::stoul(words[2]);
    for (std::size_t i = 3; i < words.size(); ++i) {
        if (words[i] == "--close") {
            wish.is_kept = false;
        } else {
            CHECK(words[i] == "--rate" && i + 1 < words.size());
            wish.rate = std::stod(words[++i]);
        }
    }
    return wish;
}

}  // namespace
}  // namespace topsman::bench

int main(int argc, char** argv) {
    topsman::bench::Clients clients(
        topsman::bench::wish_of(std::vector<std::string>(argv + 1, argv + argc)));
    clients.run();
    clients.print();
    return 0;
}
