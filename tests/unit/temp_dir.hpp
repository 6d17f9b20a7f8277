#pragma once

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <system_error>

namespace topsman::test {

/// A folder that goes away with its contents. Its path is short enough for a unix socket's address.
class TempDir {
  public:
    TempDir() {
        if (::mkdtemp(path_.data()) == nullptr) {
            throw std::system_error(errno, std::generic_category(), "mkdtemp");
        }
    }

    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    [[nodiscard]] std::string path(const std::string& name = {}) const {
        return name.empty() ? path_ : path_ + "/" + name;
    }

    /// Creates a file with this content and mode; gives its path.
    [[nodiscard]] std::string file(const std::string& name, const std::string& text,
                                   unsigned mode = 0644) const {
        std::string where = path(name);
        std::ofstream(where) << text;
        (void)::chmod(where.c_str(), mode);
        return where;
    }

  private:
    std::string path_ = "/tmp/topsman-test-XXXXXX";
};

}  // namespace topsman::test
