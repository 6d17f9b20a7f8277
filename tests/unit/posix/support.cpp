#include "tests/unit/posix/support.hpp"

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <sstream>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::posix::test {

Pipe make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        throw std::runtime_error("pipe2");
    }
    return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

bool wait_readable(int fd, std::chrono::milliseconds limit) {
    pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, static_cast<int>(limit.count())) == 1;
}

std::string read_text(int fd, const std::string& until) {
    std::string text;
    std::array<char, 4'096> buffer;
    while (wait_readable(fd)) {
        const ssize_t size = ::read(fd, buffer.data(), buffer.size());
        if (size <= 0) {
            break;
        }
        text.append(buffer.data(), static_cast<std::size_t>(size));
        if (!until.empty() && text.find(until) != std::string::npos) {
            break;
        }
    }
    return text;
}

std::optional<core::ExitReport> wait_end(Child& child) {
    if (!wait_readable(child.pidfd())) {
        return std::nullopt;
    }
    auto report = child.peek();
    if (report && !child.reap()) {
        return std::nullopt;
    }
    return report;
}

std::optional<SpawnFailure> wait_report(Launched& launched) {
    if (!wait_readable(launched.report.fd())) {
        throw std::runtime_error("the child neither exec'ed nor reported");
    }
    return launched.report.read();
}

Facts parse_facts(const std::string& text) {
    Facts facts;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        // An environment entry is "env.NAME=value".
        const auto end = line.starts_with("env.") ? line.find('=') : line.find_first_of(" \t");
        facts[line.substr(0, end)] = end == std::string::npos ? "" : line.substr(end + 1);
    }
    return facts;
}

std::string built_program(const std::string& name) {
    return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

int wait_child(int pid) {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0) {
        return -1;
    }
    return info.si_code == CLD_EXITED ? info.si_status : -1;
}

}  // namespace topsman::posix::test
