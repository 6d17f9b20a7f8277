#include "supervisor/posix/connection_scan.hpp"

#include "supervisor/posix/address.hpp"
#include "supervisor/posix/listening_scan.hpp"
#include "supervisor/posix/process_info.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace topsman::posix {
namespace {

using Answer = ConnectionScan::Answer;

int option_of(int fd, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    (void)::getsockopt(fd, SOL_SOCKET, name, &value, &size);
    return value;
}

/// An accepted connection is bound to what its listener is bound to; a wildcard is as good as any
/// of this machine's addresses.
bool is_bound_like(const Address& connection, const Address& listener) {
    return connection.family() == AF_UNIX
               ? connection == listener
               : connection.family() == listener.family() && connection.port() == listener.port();
}

bool is_accepted_at(int fd, const std::vector<Address>& listeners) {
    if (option_of(fd, SO_TYPE) != SOCK_STREAM || option_of(fd, SO_ACCEPTCONN) != 0) {
        return false;
    }
    const Result<Address> own = bound_address(fd);
    return own && std::any_of(listeners.begin(), listeners.end(), [&own](const Address& listener) {
               return is_bound_like(*own, listener);
           });
}

bool is_gone(const Error& error) {
    return error.code == std::errc::no_such_process ||
           error.code == std::errc::no_such_file_or_directory;
}

ConnectionScan cannot_look(const Error& error) {
    if (is_gone(error)) {
        return {Answer::Gone, {}};
    }
    return {Answer::Never, "what it has open may not be looked at: " + error.message +
                               " (needs the same user, or CAP_SYS_PTRACE)"};
}

char state_of_thread(std::uint32_t pid, std::uint32_t thread) {
    const std::string path =
        "/proc/" + std::to_string(pid) + "/task/" + std::to_string(thread) + "/stat";
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text(512, '\0');
    const ssize_t size = fd ? ::read(fd.get(), text.data(), text.size()) : -1;
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    // "12 (name) S ...": the name may hold anything, so the last parenthesis ends it (proc(5)).
    const std::size_t end = text.rfind(") ");
    return end == std::string::npos || end + 2 >= text.size() ? '?' : text[end + 2];
}

}  // namespace

ConnectionScan scan_connections(const Child& child, const std::vector<int>& listeners) {
    const auto pid = static_cast<std::uint32_t>(child.pid());
    if (const std::size_t processes = processes_of(pid).size(); processes > 1) {
        return {Answer::Never,
                "it has " + std::to_string(processes) + " processes, which may watch each other"};
    }
    if (waits_in_ring(pid)) {
        return {Answer::Never, "it waits in io_uring, which takes connections while it stands"};
    }
    std::vector<Address> addresses;
    for (const int fd : listeners) {
        if (Result<Address> address = bound_address(fd)) {
            addresses.push_back(*address);
        }
    }
    const Result<std::vector<OpenFile>> files = open_files(pid);
    if (!files) {
        return cannot_look(files.error());
    }
    for (const OpenFile& file : *files) {
        if (!S_ISSOCK(file.mode)) {
            continue;
        }
        const Result<UniqueFd> copy = child.take_fd(file.number);
        if (!copy && copy.error().code != std::errc::bad_file_descriptor) {
            return cannot_look(copy.error());
        }
        if (copy && is_accepted_at(copy->get(), addresses)) {
            return {Answer::Holds, {}};
        }
    }
    return {Answer::Free, {}};
}

bool has_stopped(std::uint32_t pid) {
    const std::vector<std::uint32_t> threads = threads_of(pid);
    return !threads.empty() &&
           std::all_of(threads.begin(), threads.end(), [pid](std::uint32_t thread) {
               const char state = state_of_thread(pid, thread);
               return state == 'T' || state == 't';
           });
}

}  // namespace topsman::posix
