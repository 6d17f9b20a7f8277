#include "shm/segment_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace topsman::shm {

std::string path_of(const std::string& name) {
    return "/dev/shm/" + name;
}

Result<UniqueFd> open_file(const std::string& name, int access, struct stat& status) {
    UniqueFd fd(::shm_open(("/" + name).c_str(), access | O_NONBLOCK, 0));
    if (!fd) {
        const int number = errno;
        if (number == EACCES && ::lstat(path_of(name).c_str(), &status) == 0) {
            return plain_error("segment " + name + ": " + path_of(name) + " belongs to uid " +
                                   std::to_string(status.st_uid) + ": Permission denied",
                               std::errc::permission_denied);
        }
        if (number == ELOOP || number == EISDIR || number == EINVAL) {
            return plain_error("segment " + name + ": " + path_of(name) + " is not a file",
                               std::errc::permission_denied);
        }
        return system_error("segment " + name, number);
    }
    if (::fstat(fd.get(), &status) != 0) {
        return system_error("segment " + name);
    }
    if (!S_ISREG(status.st_mode)) {
        return plain_error("segment " + name + ": " + path_of(name) + " is not a file",
                           std::errc::permission_denied);
    }
    return fd;
}

Result<void> check_ours(const std::string& name, const struct stat& status) {
    if (status.st_uid != ::geteuid()) {
        return plain_error("segment " + name + ": " + path_of(name) + " belongs to uid " +
                               std::to_string(status.st_uid) + ", not to us (uid " +
                               std::to_string(::geteuid()) + ")",
                           std::errc::permission_denied);
    }
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return plain_error("segment " + name + ": " + path_of(name) + " of uid " +
                               std::to_string(status.st_uid) + " may be written by others",
                           std::errc::permission_denied);
    }
    return {};
}

}  // namespace topsman::shm
