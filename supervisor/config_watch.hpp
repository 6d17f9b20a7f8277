#pragma once

// Notices that the configuration file was saved, however the editor does it: written in place,
// written beside and renamed over, swapped through a symbolic link, or with the directory it is in.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <string>
#include <vector>

namespace topsman {

class ConfigWatch {
  public:
    /// Watches every directory on the way to `file`: a rename replaces the file's inode, or that of
    /// a directory above it, so watching these themselves would go blind at the first save.
    [[nodiscard]] static Result<ConfigWatch> watch(const std::string& file);

    /// Readable when something happened there.
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

    /// Takes what happened; true if it may have been the file: then the way to it may be another
    /// one, and it has to be watched anew before it is read. Never blocks.
    [[nodiscard]] bool drain();

  private:
    struct Place {
        int descriptor;
        std::string name;  ///< that is looked up there
    };

    UniqueFd fd_;
    std::vector<Place> places_;
};

}  // namespace topsman
