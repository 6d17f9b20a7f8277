#pragma once

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>

namespace topsman::detail {

/// Sends lines of sd_notify(3). Never connected: the supervisor may be replaced, and the path is
/// then another socket. Never waits: a hung supervisor's full queue is an error, not a hang.
class Notifier {
  public:
    /// Sends nowhere, successfully.
    Notifier() noexcept = default;

    /// `path` is NOTIFY_SOCKET's value: a path, or '@' and an abstract name. Empty: nowhere.
    [[nodiscard]] static Result<Notifier> open(const std::string& path);

    /// Any thread. Error: what sendmsg(2) says.
    Result<void> send(std::string_view lines) const noexcept;

    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(socket_); }

  private:
    UniqueFd socket_;
    sockaddr_un address_{};
    socklen_t length_ = 0;
};

}  // namespace topsman::detail
