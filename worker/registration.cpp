#include "worker/registration.hpp"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <memory>
#include <string>

namespace topsman::detail {

namespace {

struct Close {
    void operator()(DIR* folder) const noexcept { (void)::closedir(folder); }

    void operator()(std::FILE* file) const noexcept { (void)std::fclose(file); }
};

/// Lines of an epoll descriptor's fdinfo: "tfd: 5 events: 19 data: 7f01 pos:0 ino:2 sdev:3".
void collect(std::FILE* info, int epoll, int fd, std::optional<Registration>& found, int& count) {
    char line[256];
    while (std::fgets(line, sizeof line, info) != nullptr) {
        int target = -1;
        unsigned events = 0;
        std::uint64_t data = 0;
        // NOLINTNEXTLINE(cert-err34-c): the kernel's own format, and all three must be there.
        if (std::sscanf(line, " tfd: %d events: %x data: %" SCNx64, &target, &events, &data) == 3 &&
            target == fd) {
            found = Registration{epoll, data};
            ++count;
        }
    }
}

}  // namespace

std::optional<Registration> find_registration(int fd) {
    const std::unique_ptr<DIR, Close> folder(::opendir("/proc/self/fdinfo"));
    if (!folder) {
        return std::nullopt;
    }
    std::optional<Registration> found;
    int count = 0;
    while (const dirent* entry = ::readdir(folder.get())) {
        const std::string path = std::string("/proc/self/fdinfo/") + entry->d_name;
        const std::unique_ptr<std::FILE, Close> info(std::fopen(path.c_str(), "re"));
        if (info) {
            collect(info.get(), static_cast<int>(std::strtol(entry->d_name, nullptr, 10)), fd,
                    found, count);
        }
    }
    return count == 1 ? found : std::nullopt;
}

}  // namespace topsman::detail
