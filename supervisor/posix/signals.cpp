#include "supervisor/posix/signals.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <csignal>
#include <cstring>
#include <sys/signalfd.h>

namespace topsman::posix {
namespace {

constexpr std::array kListened = {SIGHUP,  SIGTERM,  SIGQUIT, SIGINT,  SIGUSR1,
                                  SIGUSR2, SIGWINCH, SIGTTIN, SIGTTOU, SIGCHLD};

std::optional<int> parse_number(std::string_view text) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number < 1 ||
        number > SIGRTMAX) {
        return std::nullopt;
    }
    return number;
}

/// "MIN+3", "MAX-1", "MIN" after the "RT".
std::optional<int> parse_realtime(std::string_view text) {
    const bool from_min = text.substr(0, 3) == "MIN";
    if (!from_min && text.substr(0, 3) != "MAX") {
        return std::nullopt;
    }
    const int base = from_min ? SIGRTMIN : SIGRTMAX;
    text.remove_prefix(3);
    if (text.empty()) {
        return base;
    }
    if (text.front() != (from_min ? '+' : '-')) {
        return std::nullopt;
    }
    const auto offset = parse_number(text.substr(1));
    if (!offset || *offset > SIGRTMAX - SIGRTMIN) {
        return std::nullopt;
    }
    return from_min ? base + *offset : base - *offset;
}

sigset_t listened() noexcept {
    sigset_t set;
    (void)::sigemptyset(&set);
    for (const int number : kListened) {
        (void)::sigaddset(&set, number);
    }
    return set;
}

}  // namespace

void block_only_listened() noexcept {
    const sigset_t set = listened();
    (void)::pthread_sigmask(SIG_SETMASK, &set, nullptr);
}

Result<UniqueFd> open_signal_fd() {
    const sigset_t set = listened();
    if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
        return system_error("signal");
    }
    // An ignored SIGCHLD, as some parents leave it behind, would make the kernel reap our workers
    // itself and lose their exit statuses (wait(2), NOTES).
    (void)::signal(SIGCHLD, SIG_DFL);
    if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
        return system_error("sigprocmask", error);
    }
    UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) {
        return system_error("signalfd");
    }
    return fd;
}

std::optional<ReceivedSignal> read_signal(const UniqueFd& fd) {
    signalfd_siginfo info{};
    ssize_t size = 0;
    do {
        size = ::read(fd.get(), &info, sizeof info);
    } while (size < 0 && errno == EINTR);
    if (size != static_cast<ssize_t>(sizeof info)) {
        return std::nullopt;
    }
    return ReceivedSignal{static_cast<int>(info.ssi_signo), info.ssi_code <= 0,
                          static_cast<pid_t>(info.ssi_pid)};
}

std::string signal_name(int number) {
    if (const char* abbreviation = ::sigabbrev_np(number); abbreviation != nullptr) {
        return std::string("SIG") + abbreviation;
    }
    if (number >= SIGRTMIN && number <= SIGRTMAX) {
        const int offset = number - SIGRTMIN;
        return offset == 0 ? "SIGRTMIN" : "SIGRTMIN+" + std::to_string(offset);
    }
    return "signal " + std::to_string(number);
}

std::optional<int> signal_number(std::string_view name) {
    if (const auto number = parse_number(name)) {
        return number;
    }
    std::string upper(name);
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    std::string_view rest = upper;
    if (rest.substr(0, 3) == "SIG") {
        rest.remove_prefix(3);
    }
    if (rest.substr(0, 2) == "RT") {
        return parse_realtime(rest.substr(2));
    }
    for (int number = 1; number < SIGRTMIN; ++number) {
        const char* abbreviation = ::sigabbrev_np(number);
        if (abbreviation != nullptr && rest == abbreviation) {
            return number;
        }
    }
    return std::nullopt;
}

}  // namespace topsman::posix
