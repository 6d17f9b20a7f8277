#include "tests/bench/bare_process.hpp"

#include "tests/bench/stamp.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace topsman::bench {
namespace {

constexpr int kPatienceMs = 30'000;

int checked(int result, const char* what) {
    if (result < 0) {
        die(std::string(what) + ": " + std::strerror(errno));
    }
    return result;
}

std::string bind_abstract(int fd, const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    std::memcpy(address.sun_path, name.data(), name.size());
    address.sun_path[0] = '\0';
    checked(::bind(fd, reinterpret_cast<const sockaddr*>(&address), length), "bind");
    length = sizeof(address);
    checked(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
    return "@" + std::string(address.sun_path + 1, length - offsetof(sockaddr_un, sun_path) - 1);
}

int datagram_socket() {
    return checked(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
}

[[noreturn]] void become(const BareProcess::Options& options, std::vector<char*>& argv) {
    // Whatever ends the benchmark, nothing that it started is left.
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (options.listener >= 0) {
        // dup2 onto itself would leave close-on-exec set.
        if (options.listener == 3) {
            (void)::fcntl(3, F_SETFD, 0);
        } else {
            (void)::dup2(options.listener, 3);
        }
        (void)::setenv("LISTEN_FDS", "1", 1);
        (void)::setenv("LISTEN_FDNAMES", "http", 1);
        (void)::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    }
    if (!options.notify_socket.empty()) {
        (void)::setenv("NOTIFY_SOCKET", options.notify_socket.c_str(), 1);
    }
    (void)::execvp(argv[0], argv.data());
    std::perror(argv[0]);
    ::_exit(127);
}

}  // namespace

void die(const std::string& what) {
    (void)std::fprintf(stderr, "bench: %s\n", what.c_str());
    std::exit(1);
}

void wait_readable(int fd) {
    pollfd wanted{fd, POLLIN, 0};
    const int ready = ::poll(&wanted, 1, kPatienceMs);
    if (ready != 1) {
        die("nothing happened for 30 s");
    }
}

DatagramSocket::DatagramSocket(const std::string& name)
    : fd_(datagram_socket()), name_(bind_abstract(fd_.get(), name)) {}

DatagramSocket::DatagramSocket() : fd_(datagram_socket()), name_(bind_abstract(fd_.get(), "")) {}

std::string DatagramSocket::take() const {
    std::array<char, 256> bytes{};
    const ssize_t size = ::recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    return size <= 0 ? std::string() : std::string(bytes.data(), static_cast<std::size_t>(size));
}

BareProcess::BareProcess(const Options& options) {
    std::vector<char*> argv;
    for (const std::string& word : options.command) {
        argv.push_back(const_cast<char*>(word.c_str()));
    }
    argv.push_back(nullptr);
    // The end that only the child has open closes when exec succeeds (execve(2), FD_CLOEXEC).
    std::array<int, 2> ends{};
    checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
    UniqueFd in(ends[0]);
    UniqueFd out(ends[1]);
    forked_at_ns_ = now_ns();
    pid_ = checked(::fork(), "fork");
    if (pid_ == 0) {
        become(options, argv);
    }
    out.reset();
    if (options.wait_for_exec) {
        char byte = 0;
        if (::read(in.get(), &byte, 1) != 0) {
            die("exec: " + options.command.front());
        }
        exec_ns_ = now_ns() - forked_at_ns_;
    }
    pidfd_.reset(checked(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)), "pidfd_open"));
}

BareProcess::~BareProcess() {
    if (pidfd_) {
        (void)kill_ns();
    }
}

std::int64_t BareProcess::kill_ns() {
    const std::int64_t begin = now_ns();
    (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    wait_readable(pidfd_.get());
    const std::int64_t end = now_ns();
    siginfo_t info{};
    (void)::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
    pidfd_.reset();
    return end - begin;
}

UniqueFd listen_on_loopback() {
    UniqueFd fd(
        checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    checked(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), "bind");
    checked(::listen(fd.get(), 1'024), "listen");
    return fd;
}

}  // namespace topsman::bench
