#include "supervisor/posix/execution.hpp"

#include "supervisor/posix/environment.hpp"

#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

constexpr const char* kPassed = "TOPSMAN_UPGRADE";
constexpr const char* kFailed = "TOPSMAN_UPGRADE_FAILED";

// What ends a process that is broken, or late.
constexpr std::array kDeadly = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGALRM};

struct Death {
    int number;
    const char* words;
};

constexpr std::array kDeaths = {Death{SIGSEGV, "the new program was killed by SIGSEGV"},
                                Death{SIGBUS, "the new program was killed by SIGBUS"},
                                Death{SIGILL, "the new program was killed by SIGILL"},
                                Death{SIGFPE, "the new program was killed by SIGFPE"},
                                Death{SIGABRT, "the new program aborted"},
                                Death{SIGSYS, "the new program was killed by SIGSYS"},
                                Death{SIGALRM, "the new program had not taken over within 5s"}};

/// All that the way back takes, made before it may be needed: a signal handler can make nothing.
struct WayBack {
    bool armed = false;
    int image = -1;
    char** words = nullptr;
    std::vector<std::string> environment;
    std::vector<char*> pointers;
    std::array<char, 1'024> why{};  ///< the last of them
    std::array<char, 65'536> stack{};
};

WayBack& way_back() {
    static WayBack* const kept = new WayBack;  // never freed: there are exits, too
    return *kept;
}

/// Async-signal-safe.
[[noreturn]] void go_back(const char* why) {
    WayBack& back = way_back();
    back.armed = false;
    const std::size_t begin = std::strlen(back.why.data());
    std::strncpy(back.why.data() + begin, why, back.why.size() - begin - 1);
    (void)::alarm(static_cast<unsigned>(kMostHandover.count()));  // the old one has as long
    (void)::syscall(SYS_execveat, back.image, "", back.words, back.pointers.data(), AT_EMPTY_PATH);
    for (const char* text :
         {"topsman: upgrade: ", why, ", and there is no program to go back to\n"}) {
        (void)!::write(STDERR_FILENO, text, std::strlen(text));
    }
    ::_exit(EXIT_FAILURE);  // who watches the master starts it again, and it adopts its workers
}

void on_deadly(int number) {
    for (const Death& death : kDeaths) {
        if (death.number == number) {
            go_back(death.words);
        }
    }
    go_back("the new program died");
}

void on_exit() {
    if (way_back().armed) {
        go_back("the new program ended");
    }
}

/// SIGALRM after so long; 0: not any more. It goes on over an exec.
void set_alarm(std::chrono::seconds seconds) noexcept {
    const itimerval timer{{0, 0}, {seconds.count(), 0}};
    (void)::setitimer(ITIMER_REAL, &timer, nullptr);
}

int number_at(std::string_view& text) {
    int number = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    text.remove_prefix(text.starts_with(',') ? 1 : 0);
    return error == std::errc{} ? number : -1;
}

std::vector<char*> pointers_to(std::vector<std::string>& lines) {
    std::vector<char*> pointers;
    for (std::string& line : lines) {
        pointers.push_back(line.data());
    }
    pointers.push_back(nullptr);
    return pointers;
}

}  // namespace

std::vector<std::string> environment_passing(int state, int old_image) {
    std::vector<std::string> environment = own_environment();
    std::erase_if(environment, [](const std::string& line) { return line.starts_with(kPassed); });
    environment.push_back(std::string(kPassed) + "=" + std::to_string(state) + "," +
                          std::to_string(old_image));
    return environment;
}

std::optional<Passed> take_passed() {
    const char* text = ::getenv(kPassed);
    if (text == nullptr) {
        return std::nullopt;
    }
    std::string_view numbers(text);
    Passed passed;
    passed.state = number_at(numbers);
    passed.old_image = number_at(numbers);
    if (const char* failed = ::getenv(kFailed)) {
        passed.failed = failed;
    }
    (void)::unsetenv(kPassed);
    (void)::unsetenv(kFailed);
    return passed;
}

Error execute_in_place(const Program& program, int state, std::span<const int> inherited) {
    // A name for the program that runs, whatever is found under its path by now.
    const UniqueFd image(::open("/proc/self/exe", O_PATH | O_CLOEXEC));
    if (!image) {
        return system_error("open /proc/self/exe");
    }
    std::vector<std::string> environment = environment_passing(state, image.get());
    std::vector<std::string> words = program.words;
    const std::vector<char*> environment_pointers = pointers_to(environment);
    const std::vector<char*> word_pointers = pointers_to(words);
    sigset_t all;
    sigset_t before;
    (void)::sigfillset(&all);
    (void)::sigdelset(&all, SIGALRM);
    (void)::signal(SIGALRM, SIG_DFL);
    (void)::pthread_sigmask(SIG_SETMASK, &all, &before);
    set_alarm(kMostHandover);
    const auto set_all = [&](bool closes) {
        for (const int fd : inherited) {
            set_close_on_exec(fd, closes);
        }
        set_close_on_exec(state, closes);
        set_close_on_exec(image.get(), closes);
    };
    set_all(false);
    (void)::execve(program.path.c_str(), word_pointers.data(), environment_pointers.data());
    const int number = errno;
    set_all(true);
    set_alarm(std::chrono::seconds(0));
    (void)::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return system_error("execute " + program.path, number);
}

void arm_fall_back(char** words, const Passed& passed) {
    WayBack& back = way_back();
    back.image = passed.old_image;
    back.words = words;
    back.environment = environment_passing(passed.state, passed.old_image);
    back.pointers = pointers_to(back.environment);
    std::strncpy(back.why.data(), (std::string(kFailed) + "=").c_str(), back.why.size() - 1);
    back.pointers.insert(back.pointers.end() - 1, back.why.data());
    stack_t stack{};
    stack.ss_sp = back.stack.data();
    stack.ss_size = back.stack.size();
    (void)::sigaltstack(&stack, nullptr);

    struct sigaction action {};

    action.sa_handler = on_deadly;
    action.sa_flags = SA_ONSTACK;
    (void)::sigfillset(&action.sa_mask);
    sigset_t deadly;
    (void)::sigemptyset(&deadly);
    for (const int number : kDeadly) {
        (void)::sigaction(number, &action, nullptr);
        (void)::sigaddset(&deadly, number);
    }
    (void)std::atexit(on_exit);
    back.armed = true;
    (void)::pthread_sigmask(SIG_UNBLOCK, &deadly, nullptr);
}

void fall_back(const std::string& why) {
    go_back(why.c_str());
}

void disarm_fall_back() noexcept {
    set_alarm(std::chrono::seconds(0));
    way_back().armed = false;
    (void)::signal(SIGALRM, SIG_IGN);  // one that came meanwhile is forgotten
    for (const int number : kDeadly) {
        (void)::signal(number, SIG_DFL);
    }
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    (void)::sigaltstack(&none, nullptr);
}

Result<int> duplicate(int fd) {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
        return system_error("descriptor " + std::to_string(fd));
    }
    return copy;
}

void set_close_on_exec(int fd, bool closes) noexcept {
    (void)::fcntl(fd, F_SETFD, closes ? FD_CLOEXEC : 0);
}

}  // namespace topsman::posix
