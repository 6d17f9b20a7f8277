// The crash handler: last words from a process that is dying of a signal.

#include "topsman/worker.hpp"
#include "worker/process.hpp"

#include <array>
#include <csignal>
#include <cstdint>
#include <cstring>

namespace topsman {

namespace {

struct Fatal {
    int number;
    const char* name;
};

constexpr std::array kFatal{Fatal{SIGSEGV, "SIGSEGV"}, Fatal{SIGBUS, "SIGBUS"},
                            Fatal{SIGFPE, "SIGFPE"}, Fatal{SIGILL, "SIGILL"},
                            Fatal{SIGABRT, "SIGABRT"}};

// Text built without snprintf, which is not async-signal-safe (signal-safety(7)).
class Line {
  public:
    Line& text(const char* s) noexcept {
        while (*s != '\0' && size_ < sizeof text_) {
            text_[size_++] = *s++;
        }
        return *this;
    }

    Line& hex(std::uintptr_t value) noexcept {
        text("0x");
        int shift = 60;
        while (shift > 0 && (value >> static_cast<unsigned>(shift)) == 0) {
            shift -= 4;
        }
        for (; shift >= 0; shift -= 4) {
            const char digit = "0123456789abcdef"[(value >> static_cast<unsigned>(shift)) & 0xfU];
            const char one[2] = {digit, '\0'};
            text(one);
        }
        return *this;
    }

    [[nodiscard]] std::string_view view() const noexcept { return {text_, size_}; }

  private:
    char text_[128] = {};
    std::size_t size_ = 0;
};

// SA_RESETHAND has put the default action back and SA_NODEFER lets the signal through: returning
// from a fault repeats it, and what was sent is sent again.
void on_fatal_signal(int signal, siginfo_t* info, void* /*context*/) {
    Line line;
    for (const Fatal& fatal : kFatal) {
        if (fatal.number == signal) {
            line.text(fatal.name);
        }
    }
    const bool is_fault = info->si_code > 0 && signal != SIGABRT;
    if (is_fault) {
        line.text(" at ").hex(reinterpret_cast<std::uintptr_t>(info->si_addr));
    }
    if (detail::Process* process = detail::the_process.load(std::memory_order_acquire)) {
        // What the program said before it called abort(3) says more than the signal's name.
        if (signal != SIGABRT || process->last_words->length.load(std::memory_order_relaxed) == 0) {
            process->last_words->say(line.view());
        }
    }
    (void)::raise(signal);
}

}  // namespace

Result<void> Worker::install_crash_handler() {
    // For this thread; the other threads' handlers run on their own stacks, where a stack overflow
    // leaves no last words.
    static char stack[16 * 1024];
    stack_t alternate = {};
    alternate.ss_sp = stack;
    alternate.ss_size = sizeof stack;
    if (::sigaltstack(&alternate, nullptr) != 0) {
        return system_error("crash handler: sigaltstack");
    }
    for (const Fatal& fatal : kFatal) {
        struct sigaction action = {};
        action.sa_sigaction = &on_fatal_signal;
        action.sa_flags = static_cast<int>(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER);
        (void)::sigemptyset(&action.sa_mask);
        if (::sigaction(fatal.number, &action, nullptr) != 0) {
            return system_error(std::string("crash handler: ") + fatal.name);
        }
    }
    return {};
}

}  // namespace topsman
