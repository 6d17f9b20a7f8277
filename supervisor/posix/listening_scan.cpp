#include "supervisor/posix/listening_scan.hpp"

#include "shm/base/unique_fd.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/posix/sock_diag.hpp"
#include "supervisor/posix/wait_state.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <set>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <system_error>
#include <unistd.h>

namespace topsman::posix {
namespace {

// A server that waits on more than this at its start is not one that waits for its first client.
constexpr std::size_t kMostText = std::size_t{1} << 18U;
constexpr std::size_t kMostDescriptors = 1'024;

enum class Wait : std::uint8_t { Other, Epoll, Accept, Poll, Select, Ring };

// Not every machine has the older calls.
Wait kind_of(long number) {
    switch (number) {
#ifdef SYS_epoll_wait
        case SYS_epoll_wait:
#endif
        case SYS_epoll_pwait:
        case SYS_epoll_pwait2:
            return Wait::Epoll;
        case SYS_accept:
        case SYS_accept4:
            return Wait::Accept;
#ifdef SYS_poll
        case SYS_poll:
#endif
        case SYS_ppoll:
            return Wait::Poll;
#ifdef SYS_select
        case SYS_select:
#endif
        case SYS_pselect6:
            return Wait::Select;
        case SYS_io_uring_enter:
            return Wait::Ring;
        default:
            return Wait::Other;
    }
}

/// The whole file, or errno.
int read_text(const std::string& path, std::string& text) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        return errno;
    }
    std::array<char, 4'096> piece{};
    ssize_t size = 0;
    while (text.size() < kMostText && (size = ::read(fd.get(), piece.data(), piece.size())) > 0) {
        text.append(piece.data(), static_cast<std::size_t>(size));
    }
    return size < 0 ? errno : 0;
}

int read_call(std::uint32_t pid, std::uint32_t thread, std::string& text) {
    return read_text(
        "/proc/" + std::to_string(pid) + "/task/" + std::to_string(thread) + "/syscall", text);
}

template <class Item>
std::vector<Item> read_memory(std::uint32_t pid, std::uint64_t address, std::size_t count) {
    std::vector<Item> items(std::min(count, kMostDescriptors));
    const std::size_t bytes = items.size() * sizeof(Item);
    iovec ours{items.data(), bytes};
    iovec theirs{reinterpret_cast<void*>(address), bytes};  // NOLINT(performance-no-int-to-ptr)
    const ssize_t size = ::process_vm_readv(static_cast<pid_t>(pid), &ours, 1, &theirs, 1, 0);
    items.resize(size <= 0 ? 0 : static_cast<std::size_t>(size) / sizeof(Item));
    return items;
}

std::optional<std::uint64_t> socket_of(const std::string& descriptor) {
    std::array<char, 64> link{};
    const ssize_t size = ::readlink(descriptor.c_str(), link.data(), link.size());
    return parse_socket({link.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))});
}

/// All sockets that it has open; none where they may not be read.
std::optional<std::set<std::uint64_t>> sockets_of(std::uint32_t pid) {
    std::set<std::uint64_t> sockets;
    std::error_code error;
    std::filesystem::directory_iterator entry("/proc/" + std::to_string(pid) + "/fd", error);
    for (const std::filesystem::directory_iterator end; !error && entry != end;
         entry.increment(error)) {
        if (const auto inode = socket_of(entry->path())) {
            sockets.insert(*inode);
        }
    }
    return error ? std::nullopt : std::optional(std::move(sockets));
}

class Scan {
  public:
    explicit Scan(const std::vector<std::uint64_t>& inodes)
        : missing_(inodes.begin(), inodes.end()), nothing_asked_(inodes.empty()) {}

    void look_at(std::uint32_t pid) {
        folder_ = "/proc/" + std::to_string(pid) + "/";
        for (const std::uint32_t thread : threads_of(pid)) {
            std::string text;
            const int error = read_call(pid, thread, text);
            if (error == EACCES || error == EPERM) {
                trouble_ = "what its threads wait for may not be read: " +
                           std::generic_category().message(error) +
                           " (needs the same user, or CAP_SYS_PTRACE)";
            }
            if (const auto call = parse_syscall(text)) {
                judge(pid, *call);
            }
        }
    }

    [[nodiscard]] ListeningScan result() const {
        if (missing_.empty() && !nothing_asked_) {
            return {ListeningScan::Answer::Waits, {}};
        }
        return {
            trouble_.empty() ? ListeningScan::Answer::NotYet : ListeningScan::Answer::CannotTell,
            trouble_};
    }

  private:
    void judge(std::uint32_t pid, const SystemCall& call) {
        const auto& [first, second, third, fourth, fifth, sixth] = call.arguments;
        switch (kind_of(call.number)) {
            case Wait::Epoll:
                see_epoll(static_cast<int>(first));
                break;
            case Wait::Accept:
                see(static_cast<int>(first));
                break;
            case Wait::Poll:
                for (const pollfd& item : read_memory<pollfd>(pid, first, second)) {
                    if ((item.events & POLLIN) != 0) {
                        see(item.fd);
                    }
                }
                break;
            case Wait::Select:
                see_set(read_memory<unsigned long>(pid, second, words_of(first)), first);
                break;
            case Wait::Ring:
                trouble_ = "it waits in io_uring";
                break;
            case Wait::Other:
                break;
        }
    }

    static std::size_t words_of(std::uint64_t descriptors) {
        return (std::min<std::uint64_t>(descriptors, kMostDescriptors) + NFDBITS - 1) / NFDBITS;
    }

    void see_epoll(int fd) {
        std::string text;
        (void)read_text(folder_ + "fdinfo/" + std::to_string(fd), text);
        for (const EpollEntry& entry : parse_epoll(text)) {
            if ((entry.events & EPOLLIN) != 0) {
                missing_.erase(entry.inode);
            }
        }
    }

    void see_set(const std::vector<unsigned long>& words, std::uint64_t descriptors) {
        for (std::size_t fd = 0; fd < words.size() * NFDBITS && fd < descriptors; ++fd) {
            if ((words[fd / NFDBITS] >> (fd % NFDBITS) & 1UL) != 0) {
                see(static_cast<int>(fd));
            }
        }
    }

    void see(int fd) {
        if (const auto inode = socket_of(folder_ + "fd/" + std::to_string(fd))) {
            missing_.erase(*inode);
        }
    }

    std::set<std::uint64_t> missing_;
    bool nothing_asked_;
    std::string folder_;
    std::string trouble_;
};

}  // namespace

ListeningScan scan_listening(std::uint32_t leader, const std::vector<std::uint64_t>& inodes) {
    Scan scan(inodes);
    for (const std::uint32_t pid : processes_of(leader)) {
        scan.look_at(pid);
    }
    return scan.result();
}

bool waits_in_ring(std::uint32_t pid) {
    const std::vector<std::uint32_t> threads = threads_of(pid);
    return std::any_of(threads.begin(), threads.end(), [pid](std::uint32_t thread) {
        std::string text;
        (void)read_call(pid, thread, text);
        const auto call = parse_syscall(text);
        return call && kind_of(call->number) == Wait::Ring;
    });
}

std::string why_unseen(std::uint32_t leader, const std::vector<std::uint64_t>& inodes) {
    std::set<std::uint64_t> open;
    for (const std::uint32_t pid : processes_of(leader)) {
        const auto sockets = sockets_of(pid);
        if (!sockets) {
            return "";  // it may have ended, or the scan says what is in the way
        }
        open.insert(sockets->begin(), sockets->end());
    }
    bool has_them = true;
    for (const std::uint64_t inode : inodes) {
        has_them = open.erase(inode) > 0 && has_them;
    }
    if (!has_them) {
        return "it has closed a listener that it was given";
    }
    bool listens = false;
    for_each_listening_socket(
        [&](const ListeningSocket& socket) { listens = listens || open.contains(socket.inode); });
    return listens ? "it listens on a socket of its own" : "";
}

}  // namespace topsman::posix
