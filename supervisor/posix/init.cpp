#include "supervisor/posix/init.hpp"

#include "supervisor/core/types.hpp"
#include "supervisor/posix/child.hpp"
#include "supervisor/posix/clock.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace topsman::posix {
namespace {

using std::chrono::milliseconds;

constexpr std::array kForwarded = {SIGHUP,  SIGTERM,  SIGQUIT, SIGINT, SIGUSR1,
                                   SIGUSR2, SIGWINCH, SIGTTIN, SIGTTOU};
constexpr milliseconds kFirstPause{100};
constexpr milliseconds kLongestPause{10'000};
// A master that has lived for so long was healthy: its death begins a new count.
constexpr milliseconds kHealthy{60'000};

bool asks_to_stop(int number) noexcept {
    return number == SIGTERM || number == SIGQUIT || number == SIGINT;
}

class Init {
  public:
    explicit Init(const std::function<int(bool)>& master) : body_(master) {
        (void)::sigemptyset(&signals_);
        (void)::sigaddset(&signals_, SIGCHLD);
        for (const int number : kForwarded) {
            (void)::sigaddset(&signals_, number);
        }
        // Blocked signals wait to be fetched, even those whose default action PID 1 is spared.
        (void)::sigprocmask(SIG_BLOCK, &signals_, nullptr);
    }

    int run() {
        start();
        while (true) {
            wait_for_signal();
            reap_all();
            if (ended_) {
                if (const auto status = judge(*ended_)) {
                    return *status;
                }
                ended_.reset();
            }
            if (master_ <= 0 && now() >= start_at_) {
                start();
                if (master_ <= 0 && stopping_) {
                    return 1;
                }
            }
        }
    }

  private:
    pid_t fork_master() {
        const bool again = std::exchange(started_before_, true);
        const pid_t pid = ::fork();
        if (pid == 0) {
            (void)::setsid();  // the terminal's signals come through PID 1 only
            std::exit(body_(again));
        }
        return pid;
    }

    void start() {
        master_ = fork_master();
        started_at_ = now();
        if (master_ < 0) {
            (void)std::fprintf(stderr, "topsman: cannot start the master: %s\n",
                               std::strerror(errno));
            start_later();
            return;
        }
        // What came while there was none.
        for (const int number : kForwarded) {
            if (::sigismember(&pending_, number) == 1) {
                (void)::kill(master_, number);
            }
        }
        (void)::sigemptyset(&pending_);
    }

    void start_later() {
        pause_ =
            now() - started_at_ >= kHealthy ? kFirstPause : std::min(pause_ * 2, kLongestPause);
        start_at_ = now() + pause_;
    }

    /// At most until the next start is due.
    void wait_for_signal() {
        siginfo_t info{};
        int number = 0;
        if (master_ > 0) {
            number = ::sigwaitinfo(&signals_, &info);
        } else {
            const auto left = std::max(start_at_ - now(), core::Duration::zero());
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
            const timespec limit{seconds.count(), (left - seconds).count()};
            number = ::sigtimedwait(&signals_, &info, &limit);
        }
        if (number <= 0 || number == SIGCHLD) {
            return;
        }
        stopping_ = stopping_ || asks_to_stop(number);
        if (master_ > 0) {
            // Our child, and not reaped: the number is its own.
            (void)::kill(master_, number);
            return;
        }
        (void)::sigaddset(&pending_, number);
        if (stopping_) {
            // The workers of the dead master still live: a master has to end them in order.
            start_at_ = now();
        }
    }

    /// The master and every orphan; each SIGCHLD may stand for several.
    void reap_all() {
        while (true) {
            siginfo_t info{};
            const int result = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
            if (result != 0 && errno == EINTR) {
                continue;
            }
            if (result != 0 || info.si_pid == 0) {
                return;
            }
            if (info.si_pid == master_) {
                ended_ = info;
            }
        }
    }

    /// The exit status, or nullopt when a new master is to be started.
    std::optional<int> judge(const siginfo_t& info) {
        const pid_t pid = master_;
        master_ = 0;
        if (info.si_code == CLD_EXITED) {
            return info.si_status;
        }
        if (stopping_) {
            return 128 + info.si_status;
        }
        start_later();
        const core::ExitReport report{
            core::ExitReport::Kind::Signaled, info.si_status, info.si_code == CLD_DUMPED, {}};
        (void)std::fprintf(stderr,
                           "topsman: the master (pid %d) was %s; starting it again in %d ms\n", pid,
                           describe(report).c_str(), static_cast<int>(pause_.count()));
        return std::nullopt;
    }

    const std::function<int(bool)>& body_;
    sigset_t signals_{};
    sigset_t pending_{};
    std::optional<siginfo_t> ended_;
    pid_t master_ = 0;
    bool started_before_ = false;
    bool stopping_ = false;
    milliseconds pause_{kFirstPause / 2};
    core::TimePoint started_at_;
    core::TimePoint start_at_;
};

}  // namespace

int run_as_init(const std::function<int(bool again)>& master) {
    return Init(master).run();
}

}  // namespace topsman::posix
