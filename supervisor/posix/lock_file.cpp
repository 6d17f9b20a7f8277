#include "supervisor/posix/lock_file.hpp"

#include "supervisor/posix/clock.hpp"
#include "supervisor/posix/process_info.hpp"

#include <array>
#include <charconv>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <string_view>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience{1'000};
// The close event of a file is sent a moment before its lock is released: one more look then.
constexpr milliseconds kLook{20};

struct Holder {
    std::uint32_t pid = 0;
    std::uint64_t start_ticks = 0;
};

std::optional<Holder> read_holder(int fd) {
    std::array<char, 64> buffer{};
    const ssize_t size = ::pread(fd, buffer.data(), buffer.size(), 0);
    if (size <= 0) {
        return std::nullopt;
    }
    const char* end = buffer.data() + size;
    Holder holder;
    const auto pid = std::from_chars(buffer.data(), end, holder.pid);
    if (pid.ec != std::errc{} || pid.ptr == end || *pid.ptr != ' ') {
        return std::nullopt;
    }
    const auto ticks = std::from_chars(pid.ptr + 1, end, holder.start_ticks);
    return ticks.ec == std::errc{} ? std::optional(holder) : std::nullopt;
}

Result<void> write_holder(int fd, const std::string& path) {
    const auto pid = static_cast<std::uint32_t>(::getpid());
    const auto self = process_info(pid);
    const std::string text =
        std::to_string(pid) + " " + std::to_string(self ? self->start_ticks : 0) + "\n";
    if (::ftruncate(fd, 0) != 0 ||
        ::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
        return system_error("write " + path);
    }
    return {};
}

bool is_same_file(int fd, const std::string& path) noexcept {
    struct stat opened {};

    struct stat named {};

    return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/// Wakes up when somebody closes the file, or after a moment.
class CloseWatch {
  public:
    explicit CloseWatch(const std::string& path) : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
        if (fd_) {
            (void)::inotify_add_watch(fd_.get(), path.c_str(), IN_CLOSE);
        }
    }

    void wait(milliseconds limit) const noexcept {
        pollfd entry{fd_.get(), POLLIN, 0};
        if (::poll(&entry, 1, static_cast<int>(limit.count())) == 1) {
            std::array<char, 1'024> events;
            const auto drained = ::read(fd_.get(), events.data(), events.size());
            (void)drained;
        }
    }

  private:
    UniqueFd fd_;
};

Error already_running(const std::optional<Holder>& holder) {
    return plain_error(
        holder ? "already running (pid " + std::to_string(holder->pid) + ")" : "already running",
        std::errc::device_or_resource_busy);
}

/// True when locked; false when the file was exchanged meanwhile and has to be opened again.
Result<bool> lock(int fd, const std::string& path) {
    const auto give_up = now() + kPatience;
    // Made only when the file is held: to close a watch waits for the kernel's other processors,
    // 8 ms and more, which every start would pay.
    std::optional<CloseWatch> closed;
    while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) {
            continue;
        }
        if (errno != EWOULDBLOCK) {
            return system_error("lock " + path);
        }
        // Held. By a living master: then that is the answer. Else by one that is just starting or
        // ending, or by a child that a dead one forked a moment ago: that passes.
        const auto holder = read_holder(fd);
        if (holder && is_same_process_alive(holder->pid, holder->start_ticks)) {
            return already_running(holder);
        }
        if (now() >= give_up) {
            return already_running(std::nullopt);
        }
        if (closed) {
            closed->wait(kLook);
        } else {
            closed.emplace(path);  // the holder may have gone just before it: one more look
        }
    }
    return is_same_file(fd, path);
}

}  // namespace

Result<LockFile> LockFile::acquire(const std::string& path) {
    while (true) {
        UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!fd) {
            return system_error("lock " + path);
        }
        const auto locked = lock(fd.get(), path);
        if (!locked) {
            return locked.error();
        }
        if (*locked) {
            if (auto written = write_holder(fd.get(), path); !written) {
                return written.error();
            }
            return LockFile(std::move(fd));
        }
    }
}

}  // namespace topsman::posix
