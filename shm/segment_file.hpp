#pragma once

// Finding a segment that is there already. Anybody can put anything at a name in /dev/shm, so what
// is opened is looked at before it is mapped.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <string>
#include <sys/stat.h>

namespace topsman::shm {

/// Where shm_open(3) puts it.
[[nodiscard]] std::string path_of(const std::string& name);

/// Opens what is there already. Not Boost's open_only: it would wait for ever on a FIFO that
/// somebody put at the name. shm_open(3) follows no symbolic link (ELOOP), says EINVAL of a
/// directory (glibc), and sets close-on-exec.
[[nodiscard]] Result<UniqueFd> open_file(const std::string& name, int access, struct stat& status);

/// Of our own uid, and no other may write to it; else a sentence that says whose it is.
[[nodiscard]] Result<void> check_ours(const std::string& name, const struct stat& status);

}  // namespace topsman::shm
