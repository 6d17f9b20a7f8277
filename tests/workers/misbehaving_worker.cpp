// A worker that does one of the things that workers should not do; a good one without options.
// With --then it does one thing at first and another one when its slot has been refilled.

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr const char* kHelp = R"(usage: misbehaving_worker [OPTION]...
Before it is ready
  --crash-at-boot CODE   exit with CODE instead of getting ready
  --double-fork          go on in a grandchild; the process that was started exits with 0
  --slow-ready MS        say READY=1 after MS milliseconds
  --never-ready          never say it
Once it is ready
  --status TEXT          say STATUS=TEXT
  --notify TEXT          send TEXT as it is to NOTIFY_SOCKET (may be given several times)
  --flood-stderr BYTES   write so much to stderr, in lines of 80 bytes
  --exit-after-ready     exit at once, with the code of --exit
  --segv                 die by SIGSEGV
  --beat-then-stop N     send N watchdog beats, then no more
  --hang-after MS        after MS milliseconds do nothing any more, not even on SIGTERM
On signals
  --ignore-term          ignore SIGTERM
  --abort-deaf           ignore SIGABRT, and beat no more
  --slow-stop MS         on SIGTERM say STOPPING=1 and go on for MS milliseconds
  --exit CODE            the exit code of the end that was asked for (0)
One slot's processes, one after the other
  --then                 what stands before it is for the first process, what follows for the next,
                         and the last part for all later ones; they are counted by a file in the
                         working directory
  --slot N               what follows, up to the next --then, is for slot N alone
)";

struct Options {
    std::optional<int> crash_at_boot;
    bool double_fork = false;
    milliseconds slow_ready{0};
    bool never_ready = false;
    std::vector<std::string> notify;
    long flood_stderr = 0;
    bool exit_after_ready = false;
    bool segv = false;
    std::optional<long> beats;
    std::optional<milliseconds> hang_after;
    bool ignore_term = false;
    bool abort_deaf = false;
    milliseconds slow_stop{0};
    int exit_code = 0;
};

[[noreturn]] void usage(const std::string& problem) {
    std::fprintf(stderr, "misbehaving_worker: %s\n%s", problem.c_str(), kHelp);
    std::exit(2);
}

constexpr const char* kThen = "--then";
constexpr const char* kSlot = "--slot";

/// How many processes of this slot with this command line there were before: each leaves a byte.
std::size_t incarnation(const std::vector<std::string>& words) {
    const auto or_none = [](const char* name) {
        const char* value = std::getenv(name);
        return std::string(value == nullptr ? "none" : value);
    };
    std::string all;
    for (const std::string& word : words) {
        all += word + '\n';
    }
    const std::string file = "processes." + or_none("TOPSMAN_POOL") + "." +
                             or_none("TOPSMAN_SLOT") + "." +
                             std::to_string(std::hash<std::string>{}(all));
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const bool is_left = fd >= 0 && ::write(fd, "1", 1) == 1;
    const off_t size = is_left ? ::lseek(fd, 0, SEEK_CUR) : 0;
    if (size <= 0) {
        std::perror(file.c_str());
        std::exit(2);
    }
    (void)::close(fd);
    return static_cast<std::size_t>(size) - 1;
}

/// Without what is another slot's.
std::vector<std::string> of_own_slot(std::vector<std::string> words) {
    const char* slot = std::getenv("TOPSMAN_SLOT");
    const auto limit = std::find(words.begin(), words.end(), kSlot);
    const bool is_own =
        limit != words.end() && limit + 1 != words.end() && slot != nullptr && *(limit + 1) == slot;
    words.erase(limit, is_own ? limit + 2 : words.end());
    return words;
}

/// Those of its words that are for this process.
std::vector<std::string> own_part(const std::vector<std::string>& words) {
    std::vector<std::vector<std::string>> parts{{}};
    for (const std::string& word : words) {
        if (word == kThen) {
            parts.emplace_back();
        } else {
            parts.back().push_back(word);
        }
    }
    const std::size_t last = parts.size() - 1;
    return of_own_slot(parts[last == 0 ? 0 : std::min(incarnation(words), last)]);
}

/// The words of the command line, one after the other.
class Words {
  public:
    Words(int argc, char** argv) : words_(own_part({argv + 1, argv + argc})) {}

    std::optional<std::string> next() {
        return at_ < words_.size() ? std::optional(words_[at_++]) : std::nullopt;
    }

    std::string text_of(const std::string& option) {
        auto word = next();
        if (!word) {
            usage(option + " needs a value");
        }
        return *word;
    }

    long number_of(const std::string& option) {
        const std::string text = text_of(option);
        char* end = nullptr;
        const long number = std::strtol(text.c_str(), &end, 10);
        if (text.empty() || *end != '\0' || number < 0) {
            usage(option + " needs a number");
        }
        return number;
    }

  private:
    std::vector<std::string> words_;
    std::size_t at_ = 0;
};

bool parse_flag(Options& options, const std::string& word) {
    const std::pair<const char*, bool*> flags[] = {
        {"--double-fork", &options.double_fork},           {"--never-ready", &options.never_ready},
        {"--exit-after-ready", &options.exit_after_ready}, {"--segv", &options.segv},
        {"--ignore-term", &options.ignore_term},           {"--abort-deaf", &options.abort_deaf},
    };
    for (const auto& [name, value] : flags) {
        if (word == name) {
            *value = true;
            return true;
        }
    }
    return false;
}

Options parse(int argc, char** argv) {
    Options options;
    Words words(argc, argv);
    while (const auto word = words.next()) {
        if (parse_flag(options, *word)) {
            continue;
        }
        if (*word == "--crash-at-boot") {
            options.crash_at_boot = static_cast<int>(words.number_of(*word));
        } else if (*word == "--slow-ready") {
            options.slow_ready = milliseconds(words.number_of(*word));
        } else if (*word == "--status") {
            options.notify.push_back("STATUS=" + words.text_of(*word));
        } else if (*word == "--notify") {
            options.notify.push_back(words.text_of(*word));
        } else if (*word == "--flood-stderr") {
            options.flood_stderr = words.number_of(*word);
        } else if (*word == "--beat-then-stop") {
            options.beats = words.number_of(*word);
        } else if (*word == "--hang-after") {
            options.hang_after = milliseconds(words.number_of(*word));
        } else if (*word == "--slow-stop") {
            options.slow_stop = milliseconds(words.number_of(*word));
        } else if (*word == "--exit") {
            options.exit_code = static_cast<int>(words.number_of(*word));
        } else if (*word == "--help") {
            std::fputs(kHelp, stdout);
            std::exit(0);
        } else if (*word == "--version") {
            std::puts("misbehaving_worker of topsman's tests");
            std::exit(0);
        } else {
            usage("no such option: " + *word);
        }
    }
    return options;
}

/// sd_notify(3) without the library.
void notify(std::string_view text) {
    const char* path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) {
        return;
    }
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path, std::strlen(path));
    if (address.sun_path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    (void)::sendto(fd, text.data(), text.size(), MSG_NOSIGNAL,
                   reinterpret_cast<const sockaddr*>(&address), length);
    (void)::close(fd);
}

void flood(long bytes) {
    const std::string line = std::string(79, 'x') + "\n";
    for (long left = bytes; left > 0;) {
        const auto size = std::min(static_cast<std::size_t>(left), line.size());
        const ssize_t written = ::write(STDERR_FILENO, line.data(), size);
        if (written <= 0 && errno != EINTR) {
            return;
        }
        left -= std::max<ssize_t>(written, 0);
    }
}

/// How often to beat: a third of what is allowed; nothing without a watchdog.
std::optional<microseconds> beat_interval() {
    const char* usec = std::getenv("WATCHDOG_USEC");
    const long number = usec == nullptr ? 0 : std::strtol(usec, nullptr, 10);
    return number > 0 ? std::optional(microseconds(number / 3)) : std::nullopt;
}

/// The next signal of the set, or 0 when the time is over.
int wait_for(const sigset_t& set, std::optional<microseconds> limit) {
    int number = -1;
    do {
        if (limit) {
            const auto count = std::max<microseconds::rep>(limit->count(), 0);
            const timespec time{count / 1'000'000, count % 1'000'000 * 1'000};
            number = ::sigtimedwait(&set, nullptr, &time);
        } else {
            number = ::sigwaitinfo(&set, nullptr);
        }
    } while (number < 0 && errno == EINTR);
    return number < 0 ? 0 : number;
}

[[noreturn]] void hang() {
    sigset_t all;
    (void)::sigfillset(&all);
    (void)::sigdelset(&all, SIGABRT);
    (void)::sigprocmask(SIG_SETMASK, &all, nullptr);
    while (true) {
        (void)::pause();
    }
}

[[noreturn]] void live(const Options& options, const sigset_t& stop_signals) {
    const auto interval = options.abort_deaf ? std::nullopt : beat_interval();
    const auto hang_at =
        options.hang_after ? std::optional(Clock::now() + *options.hang_after) : std::nullopt;
    long beats = 0;
    while (true) {
        const bool beating = interval && (!options.beats || beats < *options.beats);
        if (beating) {
            notify("WATCHDOG=1");
            ++beats;
        }
        auto limit = beating ? interval : std::nullopt;
        if (hang_at) {
            const auto left = std::chrono::duration_cast<microseconds>(*hang_at - Clock::now());
            if (left.count() <= 0) {
                hang();
            }
            limit = limit ? std::min(*limit, left) : left;
        }
        if (wait_for(stop_signals, limit) != 0) {
            notify("STOPPING=1");
            std::this_thread::sleep_for(options.slow_stop);
            std::exit(options.exit_code);
        }
    }
}

void fork_away() {
    const pid_t child = ::fork();
    if (child != 0) {
        ::_exit(0);
    }
    (void)::setsid();
    if (::fork() != 0) {
        ::_exit(0);
    }
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    sigset_t stop_signals;
    (void)::sigemptyset(&stop_signals);
    (void)::sigaddset(&stop_signals, SIGTERM);
    (void)::sigaddset(&stop_signals, SIGINT);
    (void)::sigaddset(&stop_signals, SIGQUIT);
    if (options.ignore_term) {
        (void)::sigdelset(&stop_signals, SIGTERM);
        (void)std::signal(SIGTERM, SIG_IGN);
    }
    if (options.abort_deaf) {
        (void)std::signal(SIGABRT, SIG_IGN);
    }
    (void)::sigprocmask(SIG_BLOCK, &stop_signals, nullptr);
    // Its crashes are wanted: they need no core file.
    const rlimit no_core{0, 0};
    (void)::setrlimit(RLIMIT_CORE, &no_core);

    if (options.crash_at_boot) {
        std::fprintf(stderr, "misbehaving_worker: cannot start, code %d\n", *options.crash_at_boot);
        return *options.crash_at_boot;
    }
    if (options.double_fork) {
        fork_away();
    }
    if (wait_for(stop_signals, options.slow_ready) != 0) {
        return options.exit_code;
    }
    if (!options.never_ready) {
        notify("READY=1");
    }
    for (const std::string& text : options.notify) {
        notify(text);
    }
    flood(options.flood_stderr);
    if (options.segv) {
        (void)std::raise(SIGSEGV);
    }
    if (options.exit_after_ready) {
        return options.exit_code;
    }
    live(options, stop_signals);
}
