#pragma once

#include <cstdint>
#include <optional>

namespace topsman::detail {

/// In which epoll set of this process a descriptor is, and with which epoll_data(3).
struct Registration {
    int epoll = -1;
    std::uint64_t data = 0;
};

/// Asks the kernel (proc_pid_fdinfo(5)). Nothing when the descriptor is in no set or in several,
/// or /proc is not there.
[[nodiscard]] std::optional<Registration> find_registration(int fd);

}  // namespace topsman::detail
