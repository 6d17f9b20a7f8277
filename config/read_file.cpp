#include "config/read_file.hpp"

#include "shm/base/unique_fd.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman::config {

Result<std::string> read_file(const std::string& path, std::size_t most) {
    if (path.find('\0') != std::string::npos) {
        return plain_error("a path cannot hold a NUL");
    }
    // O_NONBLOCK: the open of a FIFO returns without a writer (open(2)).
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));

    struct stat info {};

    if (!fd || ::fstat(fd.get(), &info) != 0) {
        return system_error("cannot be read");
    }
    if (S_ISDIR(info.st_mode)) {
        return plain_error("is a directory: name the file in it", std::errc::is_a_directory);
    }
    if (!S_ISREG(info.st_mode)) {
        return plain_error(
            "is not a regular file: topsman reads it again at each reload, so it "
            "must be one");
    }
    std::string text;
    while (text.size() <= most) {
        const std::size_t had = text.size();
        text.resize(had + 65'536);
        const ssize_t got = ::read(fd.get(), text.data() + had, text.size() - had);
        if (got < 0 && errno == EINTR) {
            text.resize(had);
            continue;
        }
        if (got < 0) {
            return system_error("cannot be read");
        }
        text.resize(had + static_cast<std::size_t>(got));
        if (got == 0) {
            return text;
        }
    }
    return plain_error("is larger than " + std::to_string(most >> 10U) +
                           " KiB: no cluster needs "
                           "that",
                       std::errc::file_too_large);
}

}  // namespace topsman::config
