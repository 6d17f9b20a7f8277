#include "supervisor/posix/output_pipe.hpp"

#include <array>
#include <climits>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

constexpr std::size_t kOneCall = 65'536;  // pipe(7): the usual capacity

}  // namespace

OutputPipe::OutputPipe(UniqueFd reader, const std::string& label)
    : reader_(std::move(reader)), lines_(label + " | ") {}

void OutputPipe::rename(const std::string& label) {
    lines_.rename(label + " | ");
}

Result<OutputPipe> OutputPipe::open(const std::string& label, UniqueFd& writer,
                                    std::optional<std::pair<uid_t, gid_t>> owner) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
        return system_error("pipe for the output");
    }
    UniqueFd reader(ends[0]);
    const UniqueFd first(ends[1]);
    const std::string path = "/proc/self/fd/" + std::to_string(first.get());
    // A new open file description: blocking for the worker, and its own reader (fifo(7)).
    writer.reset(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!writer) {
        return system_error("open " + path);
    }
    if (owner && (owner->first != ::geteuid() || owner->second != ::getegid()) &&
        ::fchown(reader.get(), owner->first, owner->second) != 0) {
        return system_error("fchown of the output pipe");
    }
    return OutputPipe(std::move(reader), label);
}

Result<OutputPipe> OutputPipe::reopen(const std::string& label, std::uint32_t pid,
                                      std::uint64_t inode) {
    for (const char* number : {"1", "2"}) {
        const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + number;
        UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
        if (!reader && errno != ENOENT) {
            return system_error("open " + path);
        }
        OutputPipe pipe(std::move(reader), label);
        if (pipe.reader_ && pipe.inode() == inode) {
            return pipe;
        }
    }
    return plain_error("it has closed its output", std::errc::no_such_file_or_directory);
}

OutputPipe OutputPipe::resume(const std::string& label, UniqueFd reader, LineSplitter::Rest rest) {
    OutputPipe pipe(std::move(reader), label);
    pipe.lines_.resume(std::move(rest));
    return pipe;
}

std::uint64_t OutputPipe::inode() const noexcept {
    struct stat status {};

    return ::fstat(reader_.get(), &status) == 0 && S_ISFIFO(status.st_mode) ? status.st_ino : 0;
}

bool OutputPipe::read(const Line& line) {
    std::array<char, 16'384> buffer;
    for (std::size_t total = 0; total < kOneCall;) {
        const ssize_t size = ::read(reader_.get(), buffer.data(), buffer.size());
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size <= 0) {
            return size < 0;
        }
        lines_.feed({buffer.data(), static_cast<std::size_t>(size)}, line);
        total += static_cast<std::size_t>(size);
    }
    return true;
}

void OutputPipe::finish(const Line& line) {
    // What a grandchild goes on writing is bounded by one more pipe's worth.
    (void)read(line);
    lines_.finish(line);
}

std::size_t OutputPipe::bytes_waiting() const noexcept {
    int bytes = 0;
    return ::ioctl(reader_.get(), FIONREAD, &bytes) == 0 ? static_cast<std::size_t>(bytes) : 0;
}

std::size_t OutputPipe::capacity() const noexcept {
    const int bytes = ::fcntl(reader_.get(), F_GETPIPE_SZ);
    return bytes < 0 ? 0 : static_cast<std::size_t>(bytes);
}

bool OutputPipe::is_full() const noexcept {
    // A write of up to PIPE_BUF bytes is atomic: it waits when less than that is free (pipe(7)).
    return bytes_waiting() + PIPE_BUF > capacity();
}

}  // namespace topsman::posix
