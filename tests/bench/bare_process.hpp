#pragma once

// The yardstick of all starts and deaths: fork, exec, SIGKILL and nothing else. Errors end the
// program with a sentence: a benchmark that cannot measure has nothing to go on with.

#include "shm/base/unique_fd.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace topsman::bench {

[[noreturn]] void die(const std::string& what);

/// Waits until `fd` is readable; ends the program after 30 s.
void wait_readable(int fd);

/// A bound datagram socket with an abstract name, "@..." as in NOTIFY_SOCKET.
class DatagramSocket {
  public:
    explicit DatagramSocket(const std::string& name);
    DatagramSocket();  ///< the kernel chooses the name: autobind of unix(7)

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    /// The next datagram, empty when there is none.
    [[nodiscard]] std::string take() const;

  private:
    UniqueFd fd_;
    std::string name_;
};

class BareProcess {
  public:
    struct Options {
        std::vector<std::string> command;
        int listener = -1;  ///< passed on as descriptor 3, by LISTEN_FDS
        std::string notify_socket;
        bool wait_for_exec = false;  ///< return only when the new program is in place
    };

    explicit BareProcess(const Options& options);
    BareProcess(BareProcess&&) noexcept = default;
    BareProcess& operator=(BareProcess&&) = delete;
    ~BareProcess();  ///< kills it, unless that was done

    [[nodiscard]] std::int64_t pid() const noexcept { return pid_; }

    [[nodiscard]] std::int64_t forked_at_ns() const noexcept { return forked_at_ns_; }

    /// How long it took from before fork until exec was done, if that was waited for.
    [[nodiscard]] std::int64_t exec_ns() const noexcept { return exec_ns_; }

    /// How long it takes from SIGKILL until the pidfd is readable; then reaps.
    std::int64_t kill_ns();

  private:
    std::int64_t pid_ = -1;
    std::int64_t forked_at_ns_ = 0;
    std::int64_t exec_ns_ = 0;
    UniqueFd pidfd_;
};

/// A TCP socket that listens on a port of the loopback interface.
[[nodiscard]] UniqueFd listen_on_loopback();

}  // namespace topsman::bench
