// A server of many connections, one request each, that knows nothing of topsman but its
// environment: the listener is descriptor 3 (sd_listen_fds(3)), READY=1 goes to NOTIFY_SOCKET. It
// waits as nginx does, with EPOLLEXCLUSIVE, and finishes what it has accepted before it ends on
// SIGTERM.
//
//   plain_server [THINK_US [START_MS]]     how long an answer and the start take

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

namespace {

constexpr int kListener = 3;

bool watch(int set, int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    return ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0;
}

int stop_signal_fd() {
    sigset_t stop;
    (void)::sigemptyset(&stop);
    (void)::sigaddset(&stop, SIGTERM);
    (void)::sigprocmask(SIG_BLOCK, &stop, nullptr);
    return ::signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
}

void say_ready() {
    const char* path = std::getenv("NOTIFY_SOCKET");
    if (path == nullptr) {
        return;
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (void)std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const std::string_view words = "READY=1";
    (void)::sendto(fd, words.data(), words.size(), 0, reinterpret_cast<const sockaddr*>(&address),
                   sizeof address);
    (void)::close(fd);
}

/// The whole of one request is in its first packet: the clients are ours.
void answer(int connection, std::chrono::microseconds think) {
    char request[4'096];
    (void)::recv(connection, request, sizeof request, 0);
    std::this_thread::sleep_for(think);
    const std::string body = std::to_string(::getpid()) + "\n";
    const std::string text =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
        "\r\n\r\n" + body;
    (void)::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
    (void)::close(connection);
}

}  // namespace

int main(int argc, char** argv) {
    const std::chrono::microseconds think(argc > 1 ? std::atoi(argv[1]) : 0);  // NOLINT
    const std::chrono::milliseconds start(argc > 2 ? std::atoi(argv[2]) : 0);  // NOLINT
    const int stop = stop_signal_fd();
    const int set = ::epoll_create1(EPOLL_CLOEXEC);
    if (!watch(set, stop, EPOLLIN)) {
        return 1;
    }
    std::this_thread::sleep_for(start);
    if (!watch(set, kListener, EPOLLIN | EPOLLEXCLUSIVE)) {
        return 1;
    }
    say_ready();
    for (;;) {
        epoll_event event{};
        if (::epoll_wait(set, &event, 1, -1) < 0 && errno != EINTR) {
            return 1;
        }
        if (event.data.fd == stop) {
            return 0;  // one request at a time: none is under way here
        }
        const int connection = ::accept4(kListener, nullptr, nullptr, SOCK_CLOEXEC);
        if (connection >= 0) {
            answer(connection, think);
        }
    }
}
