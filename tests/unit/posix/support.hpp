#pragma once

// What the tests of supervisor/posix share: waiting for events with a deadline as safety net.

#include "shm/base/unique_fd.hpp"
#include "supervisor/posix/child.hpp"
#include "supervisor/posix/launcher.hpp"
#include "tests/unit/temp_dir.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace topsman::posix::test {

/// Far above anything that a loaded machine needs: reached only when something is broken.
inline constexpr std::chrono::milliseconds kSafetyNet{30'000};

using topsman::test::TempDir;

struct Pipe {
    UniqueFd read_end;
    UniqueFd write_end;
};

/// Close-on-exec; the read end blocks.
[[nodiscard]] Pipe make_pipe();

[[nodiscard]] bool wait_readable(int fd, std::chrono::milliseconds limit = kSafetyNet);

/// Reads up to the end of file, or up to `until` if given.
[[nodiscard]] std::string read_text(int fd, const std::string& until = {});

/// Waits until it has ended and reaps it.
[[nodiscard]] std::optional<core::ExitReport> wait_end(Child& child);

/// Waits for the child's report: what became of the exec.
[[nodiscard]] std::optional<SpawnFailure> wait_report(Launched& launched);

/// "key value" lines.
using Facts = std::map<std::string, std::string>;
[[nodiscard]] Facts parse_facts(const std::string& text);

/// Path of a program that was built beside the tests.
[[nodiscard]] std::string built_program(const std::string& name);

/// Runs `body` in a forked process and gives its exit code (-1: it ended otherwise). The process
/// leaves with the value that `body` returns; assertions do not reach out of it.
template <class Body>
[[nodiscard]] int in_child(Body body);

[[nodiscard]] int wait_child(int pid);

}  // namespace topsman::posix::test

#include <unistd.h>

template <class Body>
int topsman::posix::test::in_child(Body body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::_exit(body());
    }
    return wait_child(pid);
}
