#include "worker/registration.hpp"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <memory>
#include <string>
#include <string_view>
#include <unistd.h>

namespace topsman::detail {

namespace {

struct Close {
    void operator()(DIR* folder) const noexcept { (void)::closedir(folder); }

    void operator()(std::FILE* file) const noexcept { (void)std::fclose(file); }
};

/// One call for each descriptor, where reading what the kernel says of it takes five.
bool is_epoll(int folder, const char* number) noexcept {
    constexpr std::string_view kEpoll = "anon_inode:[eventpoll]";
    char link[kEpoll.size() + 1];
    const ssize_t length = ::readlinkat(folder, number, link, sizeof link);
    return length > 0 && std::string_view(link, static_cast<std::size_t>(length)) == kEpoll;
}

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
    const std::unique_ptr<DIR, Close> folder(::opendir("/proc/self/fd"));
    if (!folder) {
        return std::nullopt;
    }
    std::optional<Registration> found;
    int count = 0;
    while (const dirent* entry = ::readdir(folder.get())) {
        if (!is_epoll(::dirfd(folder.get()), entry->d_name)) {
            continue;
        }
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
