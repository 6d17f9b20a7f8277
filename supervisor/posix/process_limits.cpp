#include "supervisor/posix/launcher.hpp"

#include <array>
#include <fcntl.h>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

struct Limit {
    std::string_view name;
    int number;
};

/// The keys of `limits`; `memory` is what an operator looks for, `as` what the kernel calls it.
constexpr std::array kLimits = {
    Limit{"memory", RLIMIT_AS},         Limit{"as", RLIMIT_AS},
    Limit{"core", RLIMIT_CORE},         Limit{"cpu", RLIMIT_CPU},
    Limit{"data", RLIMIT_DATA},         Limit{"fsize", RLIMIT_FSIZE},
    Limit{"locks", RLIMIT_LOCKS},       Limit{"memlock", RLIMIT_MEMLOCK},
    Limit{"msgqueue", RLIMIT_MSGQUEUE}, Limit{"nice", RLIMIT_NICE},
    Limit{"nofile", RLIMIT_NOFILE},     Limit{"nproc", RLIMIT_NPROC},
    Limit{"rss", RLIMIT_RSS},           Limit{"rtprio", RLIMIT_RTPRIO},
    Limit{"rttime", RLIMIT_RTTIME},     Limit{"sigpending", RLIMIT_SIGPENDING},
    Limit{"stack", RLIMIT_STACK},
};

}  // namespace

std::optional<int> limit_number(const std::string& name) {
    for (const Limit& limit : kLimits) {
        if (limit.name == name) {
            return limit.number;
        }
    }
    return std::nullopt;
}

std::string limit_name(int number) {
    for (const Limit& limit : kLimits) {
        if (limit.number == number) {
            return std::string(limit.name);
        }
    }
    return "limit " + std::to_string(number);
}

void ensure_standard_descriptors() noexcept {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(fd, F_GETFD) < 0) {
            // The lowest free number is given out, so this is `fd` itself.
            (void)::open("/dev/null", O_RDWR);
        }
    }
}

}  // namespace topsman::posix
