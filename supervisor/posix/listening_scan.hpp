#pragma once

// Does a program wait for connections? Seen from outside, without its help: some thread of the
// worker's session waits in epoll on a set that has the listener, or in accept, poll or select on
// it. Sockets are told apart by inode, so a duplicate counts and a descriptor that was merely
// inherited does not.
//
// It sees node, asyncio, uvicorn, gunicorn, puma, nginx, threads in accept. It does not see
// io_uring and sockets that a program opened itself. A Go program has its listener in epoll a
// little before it serves.

#include <cstdint>
#include <string>
#include <vector>

namespace topsman::posix {

struct ListeningScan {
    enum class Answer : std::uint8_t { Waits, NotYet, CannotTell };
    Answer answer = Answer::NotYet;
    std::string reason;  ///< of CannotTell
};

/// One look at all processes of the worker's session; `inodes` are the listeners', and all of them
/// must be waited on. Reading them takes the same user, or CAP_SYS_PTRACE (ptrace(2)).
[[nodiscard]] ListeningScan scan_listening(std::uint32_t leader,
                                           const std::vector<std::uint64_t>& inodes);

/// Does a thread of it wait in io_uring_enter(2)? The kernel may then take a connection for it at
/// any time.
[[nodiscard]] bool waits_in_ring(std::uint32_t pid);

/// Why no look may ever see it: it has closed the sockets that it was given, or has opened others
/// itself. Empty: nothing is known against it.
[[nodiscard]] std::string why_unseen(std::uint32_t leader,
                                     const std::vector<std::uint64_t>& inodes);

}  // namespace topsman::posix
