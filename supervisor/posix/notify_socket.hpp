#pragma once

// The NOTIFY_SOCKET of one worker: sd_notify(3)'s protocol, received by the master. One socket per
// worker, so the sender is known even behind `sh -c`.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace topsman::posix {

/// One datagram, parsed. Unknown assignments are ignored, as sd_notify(3) asks.
struct NotifyMessage {
    bool ready = false;
    bool stopping = false;
    bool watchdog = false;
    bool watchdog_trigger = false;
    std::optional<std::string> status;
    std::optional<int> error_number;
    std::optional<std::chrono::microseconds> extend_timeout;
};

[[nodiscard]] NotifyMessage parse_notify(std::string_view datagram);

class NotifySocket {
  public:
    /// Binds `path` (unlinks what is there first), mode 0600, owned by `uid`/`gid` if given, so
    /// that a worker of another user can send.
    [[nodiscard]] static Result<NotifySocket> bind(
        const std::string& path, std::optional<std::pair<unsigned, unsigned>> owner);

    /// Goes on with one that was inherited, and is bound to `path`: what waits in it is not lost.
    [[nodiscard]] static NotifySocket resume(UniqueFd fd, std::string path) noexcept {
        return {std::move(fd), std::move(path)};
    }

    NotifySocket(NotifySocket&&) noexcept = default;
    NotifySocket& operator=(NotifySocket&&) noexcept;
    ~NotifySocket();  ///< unlinks the path

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    /// The next waiting datagram, or nullopt when there is none. Never blocks. Descriptors that
    /// were sent along are closed.
    [[nodiscard]] std::optional<NotifyMessage> receive() const;

  private:
    NotifySocket(UniqueFd fd, std::string path) noexcept;
    UniqueFd fd_;
    std::string path_;
};

/// To our own service manager: sends `text` to $NOTIFY_SOCKET if there is one. Never blocks.
class ServiceManager {
  public:
    [[nodiscard]] static ServiceManager
    from_environment();  ///< and takes it out of the environment
    /// As it was, after it was taken out of the environment.
    [[nodiscard]] static ServiceManager at(std::string address,
                                           std::optional<std::chrono::microseconds> watchdog);
    /// False: nobody has taken it.
    bool notify(std::string_view text) const;
    /// Has it keep that descriptor, under that name, while this process does not live; one that it
    /// has already it does not take twice (FDSTORE=1). False: it is not asked yet.
    [[nodiscard]] bool store(const std::string& name, int fd) const;

    [[nodiscard]] const std::string& address() const noexcept { return address_; }

    [[nodiscard]] bool present() const noexcept { return !address_.empty(); }

    /// WATCHDOG_USEC if it is meant for us.
    [[nodiscard]] std::optional<std::chrono::microseconds> watchdog() const noexcept {
        return watchdog_;
    }

  private:
    bool send(std::string_view text, int fd) const;

    std::string address_;
    UniqueFd fd_;
    std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace topsman::posix
