#pragma once

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <string>

namespace topsman::posix {

/// Makes the master unique per cluster: flock(2) on RUNTIME/CLUSTER.lock (0600, never deleted: once
/// unlinked, two masters can hold "the" lock). Close-on-exec; closed first thing in every child.
class LockFile {
  public:
    /// Waits up to `patience` for a holder that is on its way out, without sleeping in between.
    /// Error errc::device_or_resource_busy: "already running (pid N)".
    [[nodiscard]] static Result<LockFile> acquire(const std::string& path);

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  private:
    explicit LockFile(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

    UniqueFd fd_;
};

}  // namespace topsman::posix
