#pragma once

// What /proc says of what a thread waits for, as values (proc(5)). Pure: text in, values out. The
// text is the kernel's; what does not look like it gives nothing.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace topsman::posix {

/// One descriptor in an epoll set.
struct EpollEntry {
    std::uint64_t inode = 0;
    std::uint32_t events = 0;  ///< EPOLLIN ...
    friend bool operator==(const EpollEntry&, const EpollEntry&) = default;
};

/// /proc/PID/fdinfo/FD of an epoll descriptor: lines of "tfd: 5 events: 19 data: 5 pos:0 ino:61af
/// sdev:8". Empty for any other descriptor's.
[[nodiscard]] std::vector<EpollEntry> parse_epoll(std::string_view fdinfo);

struct SystemCall {
    long number = -1;
    std::array<std::uint64_t, 6> arguments{};
    friend bool operator==(const SystemCall&, const SystemCall&) = default;
};

/// /proc/PID/task/TID/syscall: "232 0x3 0x7ffd 0x400 0xffffffff 0x0 0x8 SP PC". None: it runs, or
/// waits for something else than a call.
[[nodiscard]] std::optional<SystemCall> parse_syscall(std::string_view text);

/// "socket:[61423]", as the links in /proc/PID/fd say it.
[[nodiscard]] std::optional<std::uint64_t> parse_socket(std::string_view link);

}  // namespace topsman::posix
