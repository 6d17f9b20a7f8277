#pragma once

// A process that executes a program in its own place: same pid, same children, same descriptors;
// and the way back, for as long as the new program has not proven itself.

#include "shm/base/result.hpp"
#include "supervisor/posix/program.hpp"

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace topsman::posix {

/// So long has the new program until it goes on by itself.
inline constexpr std::chrono::seconds kMostHandover{5};

/// What a program finds that was executed in another's place.
struct Passed {
    int state = -1;      ///< the sealed text
    int old_image = -1;  ///< the program that was before it
    std::string failed;  ///< not empty: it is the old one again, and this is why
};

/// The environment of a program to which descriptor `state` is passed, as that number.
[[nodiscard]] std::vector<std::string> environment_passing(int state, int old_image);

/// Takes it out of the environment. None: nobody was here before.
[[nodiscard]] std::optional<Passed> take_passed();

/// Executes `program` in this process's place, which inherits `state` and `inherited` besides what
/// is not close-on-exec. All signals but SIGALRM are blocked from here on, until the new program
/// has somebody to hear them; SIGALRM ends it should it hang before it can help itself. Returns
/// only if it could not be done: all is as it was.
[[nodiscard]] Error execute_in_place(const Program& program, int state,
                                     std::span<const int> inherited);

/// From here on until disarm_fall_back() whatever goes wrong in this process executes the old image
/// again, with the same state and descriptors: a crash, a failed CHECK, an exception that nobody
/// catches, an exit, and time (kMostHandover). Descriptors that were inherited have to stay open
/// and without close-on-exec meanwhile. `words` (argv) live as long as the process.
void arm_fall_back(char** words, const Passed& passed);
[[noreturn]] void fall_back(const std::string& why);
void disarm_fall_back() noexcept;

/// A duplicate, close-on-exec. Error: there are too many.
[[nodiscard]] Result<int> duplicate(int fd);
void set_close_on_exec(int fd, bool closes) noexcept;

}  // namespace topsman::posix
