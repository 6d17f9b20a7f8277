#include "supervisor/posix/process_info.hpp"

#include "shm/base/unique_fd.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <set>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

namespace fs = std::filesystem;

/// The whole of a small file in /proc; empty when the process is gone.
template <std::size_t kSize>
std::string_view read_proc(std::uint32_t pid, const char* file, std::array<char, kSize>& buffer) {
    const std::string path = "/proc/" + std::to_string(pid) + "/" + file;
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        return {};
    }
    const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
    return size <= 0 ? std::string_view{}
                     : std::string_view(buffer.data(), static_cast<std::size_t>(size));
}

std::uint64_t to_number(std::string_view text) {
    std::uint64_t number = 0;
    (void)std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

/// Splits off the next word.
std::string_view next_word(std::string_view& text) {
    const auto begin = text.find_first_not_of(' ');
    if (begin == std::string_view::npos) {
        text = {};
        return {};
    }
    text.remove_prefix(begin);
    const auto length = std::min(text.find(' '), text.size());
    const auto word = text.substr(0, length);
    text.remove_prefix(length);
    return word;
}

// A worker with more is measured by these alone.
constexpr std::size_t kMostProcesses = 1'024;

std::vector<std::uint32_t> children_of(std::uint32_t pid) {
    std::vector<std::uint32_t> children;
    for (const std::uint32_t thread : threads_of(pid)) {
        const std::string file = "task/" + std::to_string(thread) + "/children";
        std::array<char, 16'384> buffer{};
        std::string_view text = read_proc(pid, file.c_str(), buffer);
        for (auto word = next_word(text); !word.empty(); word = next_word(text)) {
            children.push_back(static_cast<std::uint32_t>(to_number(word)));
        }
    }
    return children;
}

}  // namespace

std::vector<std::uint32_t> threads_of(std::uint32_t pid) {
    std::vector<std::uint32_t> threads;
    std::error_code error;
    std::filesystem::directory_iterator entry("/proc/" + std::to_string(pid) + "/task", error);
    while (!error && entry != std::filesystem::directory_iterator()) {
        threads.push_back(static_cast<std::uint32_t>(to_number(entry->path().filename().native())));
        entry.increment(error);
    }
    return threads;
}

std::optional<ProcessInfo> process_info(std::uint32_t pid) {
    std::array<char, 1'024> buffer{};
    std::string_view text = read_proc(pid, "stat", buffer);
    // The second field is the program's name in parentheses and may hold anything, ") R 1" too:
    // only the last parenthesis ends it (proc(5)).
    const auto name_end = text.rfind(')');
    if (name_end == std::string_view::npos) {
        return std::nullopt;
    }
    text.remove_prefix(name_end + 1);

    static const double kTicksPerSecond = static_cast<double>(::sysconf(_SC_CLK_TCK));
    static const auto kPageBytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    ProcessInfo info;
    std::uint64_t cpu_ticks = 0;
    for (int field = 3; field <= 24; ++field) {
        const std::string_view word = next_word(text);
        switch (field) {
            case 3:
                info.state = word.empty() ? '?' : word.front();
                break;
            case 6:
                info.session = static_cast<std::uint32_t>(to_number(word));
                break;
            case 14:
            case 15:
                cpu_ticks += to_number(word);
                break;
            case 22:
                info.start_ticks = to_number(word);
                break;
            case 24:
                info.rss_bytes = to_number(word) * kPageBytes;
                break;
            default:
                break;
        }
    }
    info.cpu_seconds = static_cast<double>(cpu_ticks) / kTicksPerSecond;
    return info;
}

bool is_same_process_alive(std::uint32_t pid, std::uint64_t start_ticks) {
    const auto info = process_info(pid);
    return info && info->start_ticks == start_ticks && info->state != 'Z' && info->state != 'X';
}

std::vector<std::uint32_t> processes_of(std::uint32_t leader) {
    std::vector<std::uint32_t> found{leader};
    for (std::size_t next = 0; next < found.size(); ++next) {
        for (const std::uint32_t child : children_of(found[next])) {
            const auto info = found.size() < kMostProcesses ? process_info(child) : std::nullopt;
            if (info && info->session == leader) {
                found.push_back(child);
            }
        }
    }
    return found;
}

std::uint64_t resident_bytes(std::uint32_t leader) {
    std::uint64_t sum = 0;
    for (const std::uint32_t pid : processes_of(leader)) {
        sum += process_info(pid).value_or(ProcessInfo{}).rss_bytes;
    }
    return sum;
}

bool is_dumping_core(std::uint32_t pid) {
    std::array<char, 4'096> buffer{};
    const std::string_view text = read_proc(pid, "status", buffer);
    const auto at = text.find("\nCoreDumping:");
    if (at == std::string_view::npos) {
        return false;
    }
    const auto value = text.find_first_not_of(" \t", at + 13);
    return value != std::string_view::npos && text[value] == '1';
}

std::uint32_t process_session(std::uint32_t pid) {
    const auto info = process_info(pid);
    return info ? info->session : 0;
}

void for_each_process(const std::function<void(std::uint32_t)>& visit) {
    std::error_code error;
    for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
        const std::string name = it->path().filename();
        if (name.find_first_not_of("0123456789") == std::string::npos) {
            visit(static_cast<std::uint32_t>(to_number(name)));
        }
    }
}

Result<std::vector<OpenFile>> open_files(std::uint32_t pid) {
    const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
    std::vector<OpenFile> files;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        struct stat status {};

        // Through the link of proc(5), so that sockets and pipes answer too.
        if (::stat(it->path().c_str(), &status) == 0) {
            files.push_back({static_cast<int>(to_number(it->path().filename().native())),
                             status.st_dev, status.st_ino, status.st_mode});
        }
    }
    if (error) {
        return system_error(folder, error.value());
    }
    return files;
}

bool has_open(std::span<const OpenFile> files, int fd) noexcept {
    struct stat status {};

    return ::fstat(fd, &status) == 0 &&
           std::any_of(files.begin(), files.end(), [&status](const OpenFile& file) {
               return file.device == status.st_dev && file.inode == status.st_ino;
           });
}

bool is_eventfd(int fd) {
    std::error_code error;
    return fs::read_symlink("/proc/self/fd/" + std::to_string(fd), error) == "anon_inode:[eventfd]";
}

std::optional<std::pair<unsigned, unsigned>> process_owner(std::uint32_t pid) {
    struct stat status {};

    if (::stat(("/proc/" + std::to_string(pid)).c_str(), &status) != 0) {
        return std::nullopt;
    }
    return std::pair{status.st_uid, status.st_gid};
}

bool was_executed_with(std::uint32_t pid, std::span<const std::string> variables) {
    std::ifstream environ("/proc/" + std::to_string(pid) + "/environ");
    std::set<std::string> missing(variables.begin(), variables.end());
    for (std::string variable; !missing.empty() && std::getline(environ, variable, '\0');) {
        missing.erase(variable);
    }
    return missing.empty();
}

std::string process_name(std::uint32_t pid) {
    std::array<char, 64> buffer{};
    std::string_view text = read_proc(pid, "comm", buffer);
    if (!text.empty() && text.back() == '\n') {
        text.remove_suffix(1);
    }
    return std::string(text);
}

}  // namespace topsman::posix
