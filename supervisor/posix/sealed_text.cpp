#include "supervisor/posix/sealed_text.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
constexpr const char* kWhat = "handed-over state";

}  // namespace

Result<UniqueFd> seal_text(const std::string& name, std::string_view text) {
    UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) {
        return system_error("memfd_create");
    }
    while (!text.empty()) {
        const ssize_t n = ::write(fd.get(), text.data(), text.size());
        if (n <= 0) {
            return system_error(std::string(kWhat) + ": write");
        }
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
        return system_error(std::string(kWhat) + ": seal");
    }
    return fd;
}

Result<std::string> read_sealed_text(int fd) {
    struct stat status {};

    const int seals = ::fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & kSeals) != kSeals || ::fstat(fd, &status) != 0) {
        return plain_error(std::string(kWhat) + ": descriptor " + std::to_string(fd) +
                           " is not what a master of topsman hands over");
    }
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    std::size_t done = 0;
    while (done < text.size()) {
        // Not read(2): the next one to read it begins at the beginning, too.
        const ssize_t n =
            ::pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
        if (n <= 0) {
            return system_error(std::string(kWhat) + ": read", n == 0 ? EIO : errno);
        }
        done += static_cast<std::size_t>(n);
    }
    return text;
}

}  // namespace topsman::posix
