#include "supervisor/control/watch.hpp"

#include "shm/base/unique_fd.hpp"
#include "supervisor/control/cluster_view.hpp"
#include "supervisor/control/locate.hpp"
#include "supervisor/control/status_json.hpp"
#include "supervisor/control/status_text.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <optional>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

namespace topsman::control {
namespace {

using Clock = std::chrono::steady_clock;

/// Signals as a descriptor while it lives: whatever ends the command, the terminal is restored.
class SignalFd {
  public:
    SignalFd() {
        sigset_t set;
        (void)::sigemptyset(&set);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH}) {
            (void)::sigaddset(&set, signal);
        }
        (void)::pthread_sigmask(SIG_BLOCK, &set, &old_);
        fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    }

    SignalFd(const SignalFd&) = delete;
    SignalFd& operator=(const SignalFd&) = delete;

    ~SignalFd() { (void)::pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

    /// True: it is a signal to end.
    [[nodiscard]] bool take() const noexcept {
        bool ends = false;
        signalfd_siginfo info{};
        while (::read(fd_.get(), &info, sizeof info) == ssize_t{sizeof info}) {
            ends = ends || info.ssi_signo != SIGWINCH;
        }
        return ends;
    }

  private:
    sigset_t old_{};
    UniqueFd fd_;
};

/// The terminal without echo, line mode and cursor while it lives.
class Screen {
  public:
    explicit Screen(std::ostream& out) : out_(out) {
        is_saved_ = ::tcgetattr(STDIN_FILENO, &old_) == 0;
        if (is_saved_) {
            termios raw = old_;
            raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
            (void)::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        }
        out_ << "\x1b[?1049h\x1b[?25l";
    }

    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;

    ~Screen() {
        out_ << "\x1b[?25h\x1b[?1049l" << std::flush;
        if (is_saved_) {
            (void)::tcsetattr(STDIN_FILENO, TCSANOW, &old_);
        }
    }

    [[nodiscard]] bool has_keys() const noexcept { return is_saved_; }

    /// Over what is there, line by line: no flicker. What does not fit is left out.
    void show(const std::string& text, std::size_t rows) {
        std::string frame = "\x1b[H";
        std::size_t row = 1;
        for (std::size_t at = 0; at < text.size() && row < rows; ++row) {
            const std::size_t end = std::min(text.find('\n', at), text.size());
            frame += text.substr(at, end - at) + "\x1b[K\n";
            at = end + 1;
        }
        out_ << frame << "\x1b[J" << std::flush;
    }

  private:
    std::ostream& out_;
    termios old_{};
    bool is_saved_ = false;
};

struct Size {
    std::uint32_t columns;
    std::uint32_t rows;
};

Size terminal_size(std::uint32_t columns) noexcept {
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0) {
        return {.columns = size.ws_col, .rows = size.ws_row};
    }
    return {.columns = columns, .rows = 1'000};
}

/// True: a key that ends it, or nobody is there to press one.
bool take_keys() noexcept {
    std::array<char, 64> keys{};
    const ssize_t n = ::read(STDIN_FILENO, keys.data(), keys.size());
    if (n <= 0) {
        return true;
    }
    const std::string_view pressed(keys.data(), static_cast<std::size_t>(n));
    return pressed.find_first_of("qQ\x03\x04") != std::string_view::npos;
}

/// Waits for a key, a signal or `until`. False: it is time to end.
bool wait(const SignalFd& signals, bool has_keys, Clock::time_point until) {
    std::array<pollfd, 2> fds{
        {{.fd = signals.fd(), .events = POLLIN, .revents = 0},
         {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}}};
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
        if (left.count() <= 0) {
            return true;
        }
        const auto ms = static_cast<int>(std::min<std::int64_t>(left.count(), 3'600'000));
        if (::poll(fds.data(), fds.size(), ms) <= 0) {
            continue;
        }
        if (fds[1].revents != 0 && take_keys()) {
            return false;
        }
        if (fds[0].revents != 0) {
            return !signals.take();  // a resized window is drawn at once
        }
    }
}

/// Looks again and again, keeping the look before for the rates.
class Looker {
  public:
    explicit Looker(const Target& target) : target_(target) {}

    /// The text to show; none when there is nothing to see.
    Result<std::string> look(const TextStyle& style, bool json) {
        const auto located = locate(target_);
        if (!located) {
            before_.reset();
            return located.error();
        }
        ClusterView view = read_cluster(located->segment);
        const auto now = Clock::now();
        std::string text;
        if (json) {
            text = status_json(view) + "\n";
        } else if (before_) {
            const Before before{.view = *before_,
                                .seconds = std::chrono::duration<double>(now - before_at_).count()};
            text = status_text(view, style, &before);
        } else {
            const Before itself{.view = view, .seconds = 0};
            text = status_text(view, style, &itself);
        }
        before_ = std::move(view);
        before_at_ = now;
        return text;
    }

  private:
    const Target& target_;
    std::optional<ClusterView> before_;
    Clock::time_point before_at_;
};

}  // namespace

int watch_status(const Target& target, const Output& output, const StatusOptions& options) {
    const SignalFd signals;
    std::optional<Screen> screen;
    Looker looker(target);
    const bool on_screen = output.columns != 0 && !output.json;
    std::uint32_t looks = 0;
    for (auto next = Clock::now();;) {
        const Size size = on_screen ? terminal_size(output.columns) : Size{};
        const auto text =
            looker.look({.columns = size.columns, .color = output.color}, output.json);
        if (!text && looks == 0) {
            print_error(output, text.error().message);
            return kExitNotRunning;
        }
        if (on_screen) {
            if (!screen) {
                screen.emplace(output.out);
            }
            screen->show(text ? *text : text.error().message + "\n", size.rows);
        } else if (text) {
            const bool is_block = looks != 0 && !output.json;
            output.out << (is_block ? "\n" : "") << *text << std::flush;
        } else {
            print_error(output, text.error().message);
        }
        ++looks;
        next = std::max(next + options.interval, Clock::now());
        if (!output.out || looks == options.count ||
            !wait(signals, screen && screen->has_keys(), next)) {
            return kExitDone;
        }
    }
}

}  // namespace topsman::control
