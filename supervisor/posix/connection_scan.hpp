#pragma once

// May this process be stopped without anybody waiting for it? Seen from outside: a worker that
// holds a connection which it has accepted has a client who waits for an answer. Sockets are looked
// at through duplicates (pidfd_getfd(2)), so it is the kernel that says what each of them is.

#include "supervisor/posix/child.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace topsman::posix {

struct ConnectionScan {
    enum class Answer : std::uint8_t {
        Free,   ///< it holds no accepted connection
        Holds,  ///< it does
        Never,  ///< it must not be stopped, or nobody can tell: see `reason`
        Gone,   ///< it is ending
    };
    Answer answer = Answer::Free;
    std::string reason;
};

/// One look at a worker; `listeners` are our descriptors of the listeners that it has. What it says
/// of a process that runs may be over before it is returned.
[[nodiscard]] ConnectionScan scan_connections(const Child& child,
                                              const std::vector<int>& listeners);

/// Have all its threads stopped (SIGSTOP)? From then on it does nothing, and its descriptors stay
/// what they are.
[[nodiscard]] bool has_stopped(std::uint32_t pid);

}  // namespace topsman::posix
