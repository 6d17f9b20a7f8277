#include "supervisor/posix/listener.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>

namespace topsman::posix {
namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START, sd_listen_fds(3)

int number_in(const char* name) {
    const char* text = ::getenv(name);
    if (text == nullptr) {
        return 0;
    }
    const std::string_view view(text);
    int number = 0;
    const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), number);
    return error == std::errc{} && end == view.data() + view.size() ? number : 0;
}

}  // namespace

std::vector<InheritedSocket> take_inherited_sockets() {
    std::vector<InheritedSocket> sockets;
    const char* names = ::getenv("LISTEN_FDNAMES");
    std::string_view rest = names == nullptr ? "" : names;
    const int count = number_in("LISTEN_FDS");
    if (number_in("LISTEN_PID") == static_cast<int>(::getpid())) {
        for (int fd = kFirst; fd < kFirst + count; ++fd) {
            if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
                break;  // fewer than it said
            }
            const std::string_view name = rest.substr(0, rest.find(':'));
            sockets.push_back({UniqueFd(fd), std::string(name)});
            rest.remove_prefix(std::min(rest.size(), name.size() + 1));
        }
    }
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
        (void)::unsetenv(name);
    }
    return sockets;
}

}  // namespace topsman::posix
