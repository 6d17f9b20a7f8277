// The one file that knows Boost.Process. Its v2 takes any launcher: a callable that runs the
// initialisers' on_setup before the fork and their on_exec_setup in the child. The environment and
// the start directory are the library's own initialisers, the rest are the steps of child_steps.hpp
// in the same form. No basic_process is ever made: its destructor, running() and terminate() reap
// and kill by a bare pid, and its exec error would be waited for.

#define BOOST_PROCESS_USE_STD_FS 1  // the library's default needs the compiled Boost.Filesystem

#include "supervisor/posix/launcher.hpp"

#include "supervisor/posix/child_steps.hpp"
#include "supervisor/posix/executable.hpp"

// Header-only, the library forgets to include the first two, which the others need, and the last,
// which defines process_environment::on_setup.
// clang-format off
#include <boost/optional.hpp>
#include <boost/type_traits/remove_pointer.hpp>
#include <boost/process/v2/default_launcher.hpp>
#include <boost/process/v2/environment.hpp>
#include <boost/process/v2/start_dir.hpp>
#include <boost/process/v2/impl/environment.ipp>
// clang-format on

#include <csignal>
#include <fcntl.h>
#include <linux/sched.h>
#include <optional>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

namespace v2 = boost::process::v2;
using boost::system::error_code;

struct Forked {
    pid_t pid = -1;
    UniqueFd pidfd;
};

/// Raw clone3(2) leaves the child without the C library's fork handlers and robust list; both are
/// of no use to one that only makes system calls and execs.
long clone_process(int& pidfd) noexcept {
    clone_args args{};
    args.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
    args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
    args.exit_signal = SIGCHLD;
    return ::syscall(SYS_clone3, &args, sizeof args);
}

/// Returns in both processes; pid 0 in the child. Where a sandbox refuses clone3: fork(2), and the
/// pidfd afterwards, which is as good while the child is not reaped (pidfd_open(2)).
Result<Forked> fork_process() noexcept {
    static bool clone3_works = true;
    if (clone3_works) {
        int pidfd = -1;
        const long pid = clone_process(pidfd);
        if (pid >= 0) {
            return Forked{static_cast<pid_t>(pid), UniqueFd(pid == 0 ? -1 : pidfd)};
        }
        if (errno != ENOSYS && errno != EPERM && errno != EINVAL) {
            return system_error("fork");
        }
        clone3_works = false;
    }
    const pid_t pid = ::fork();
    if (pid < 0) {
        return system_error("fork");
    }
    if (pid == 0) {
        return Forked{0, UniqueFd()};
    }
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) {
        const int number = errno;
        // Without a pidfd we could not supervise it. It is our unreaped child, so the number is
        // its own.
        (void)::kill(pid, SIGKILL);
        (void)::waitid(P_PID, static_cast<id_t>(pid), nullptr, WEXITED);
        return system_error("pidfd_open", number);
    }
    return Forked{pid, std::move(pidfd)};
}

/// A step that names its stage, as an initialiser of the library.
template <SpawnStage kStage, class Step>
struct At {
    Step step;

    template <class Launcher, class Path, class Argv>
    error_code on_exec_setup(Launcher& launcher, const Path& executable, const Argv& argv) {
        launcher.report.stage = kStage;
        if constexpr (requires { step.on_exec_setup(launcher, executable, argv); }) {
            return step.on_exec_setup(launcher, executable, argv);
        } else {
            return {step(), boost::system::system_category()};
        }
    }
};

template <SpawnStage kStage, class Step>
At<kStage, Step> at(Step step) {
    return {std::move(step)};
}

/// The library's process_start_dir, where there is one to go to.
struct StartDirectory {
    std::optional<v2::process_start_dir> there;

    template <class Launcher, class Path, class Argv>
    error_code on_exec_setup(Launcher& launcher, const Path& executable, const Argv& argv) {
        return there ? there->on_exec_setup(launcher, executable, argv) : error_code{};
    }
};

class SignalsBlocked {
  public:
    SignalsBlocked() noexcept {
        sigset_t all;
        (void)::sigfillset(&all);
        (void)::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }

    ~SignalsBlocked() { (void)::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  private:
    sigset_t before_{};
};

struct WorkerLauncher : v2::posix::default_launcher {
    steps::Report report;
    int report_fd = -1;

    template <class... Inits>
    Result<Launched> operator()(const std::vector<std::string>& candidates, const char* const* argv,
                                Inits&... inits) {
        const v2::filesystem::path executable = candidates.front();
        if (const auto error = v2::posix::detail::on_setup(*this, executable, argv, inits...)) {
            return system_error("spawn", error.value());
        }
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
            return system_error("pipe");
        }
        UniqueFd read_end(ends[0]);
        UniqueFd write_end(ends[1]);
        report_fd = write_end.get();

        const SignalsBlocked guard;
        auto forked = fork_process();
        if (!forked) {
            return forked.error();
        }
        if (forked->pid == 0) {
            become(candidates, executable, argv, inits...);
        }
        return Launched{Child(forked->pid, std::move(forked->pidfd)), std::move(read_end)};
    }

  private:
    template <class... Inits>
    [[noreturn]] void become(const std::vector<std::string>& candidates,
                             const v2::filesystem::path& executable, const char* const* argv,
                             Inits&... inits) noexcept {
        const auto error = v2::posix::detail::on_exec_setup(*this, executable, argv, inits...);
        report.number = error.value();
        if (report.number == 0) {
            report.stage = SpawnStage::Exec;
            report.number = exec_first(candidates, argv);
        }
        // Nobody may be reading any more: the exit code says as much as can be said then.
        const auto written = ::write(report_fd, &report, sizeof report);
        (void)written;
        ::_exit(report.stage == SpawnStage::Lane ? steps::kExitLane : steps::kExitSpawn);
    }

    /// execvpe(3)'s rules over a list made in advance, but a file that the kernel cannot run is an
    /// error and not a shell script.
    int exec_first(const std::vector<std::string>& candidates,
                   const char* const* argv) const noexcept {
        int result = ENOENT;
        for (const std::string& path : candidates) {
            ::execve(path.c_str(), const_cast<char* const*>(argv), const_cast<char* const*>(env));
            switch (errno) {
                case EACCES:
                    result = EACCES;
                    break;
                case ENOENT:
                case ENOTDIR:
                case ESTALE:
                case ENODEV:
                case ETIMEDOUT:
                    break;
                default:
                    return errno;
            }
        }
        return result;
    }
};

bool has_prefix(const std::vector<std::string>& environment, std::string_view prefix) {
    return std::any_of(environment.begin(), environment.end(),
                       [&](const std::string& entry) { return entry.starts_with(prefix); });
}

/// Adds `NAME=` with room for a number that only the child knows; see PatchPid.
void add_pid_entry(std::vector<std::string>& environment, const std::string& name) {
    std::erase_if(environment,
                  [&](const std::string& entry) { return entry.starts_with(name + "="); });
    environment.push_back(name + "=" + std::string(steps::PatchPid::kPidRoom, '\0'));
}

steps::PatchPid add_pid_entries(std::vector<std::string>& environment) {
    std::size_t added = 0;
    for (const auto& [prefix, name] :
         {std::pair{"LISTEN_FDS=", "LISTEN_PID"}, std::pair{"WATCHDOG_USEC=", "WATCHDOG_PID"},
          std::pair{"TOPSMAN_", "TOPSMAN_PID"}}) {
        if (has_prefix(environment, prefix)) {
            add_pid_entry(environment, name);
            ++added;
        }
    }
    steps::PatchPid patch;
    for (std::size_t i = environment.size() - added; i < environment.size(); ++i) {
        std::string& entry = environment[i];
        patch.places.push_back(entry.data() + entry.size() - steps::PatchPid::kPidRoom);
    }
    return patch;
}

std::vector<int> inherited_descriptors(const ChildSetup& setup) {
    std::vector<int> inherited = setup.listeners;
    for (const int fd : {setup.segment_fd, setup.wake_fd}) {
        if (fd >= 0) {
            inherited.push_back(fd);
        }
    }
    return inherited;
}

}  // namespace

Result<Launched> launch(const ChildSetup& setup) {
    if (setup.command.empty() || setup.command.front().empty()) {
        return plain_error("the command is empty");
    }
    const std::vector<std::string> candidates =
        executable_candidates(setup.command.front(), setup.environment);
    std::vector<const char*> argv;
    argv.reserve(setup.command.size() + 1);
    for (const std::string& word : setup.command) {
        argv.push_back(word.c_str());
    }
    argv.push_back(nullptr);

    std::vector<std::string> environment = setup.environment;
    const steps::PatchPid patch_pid = add_pid_entries(environment);
    v2::process_environment environment_init(environment);

    const uid_t uid = setup.uid.value_or(::geteuid());
    const gid_t gid = setup.gid.value_or(::getegid());
    const bool other_user = uid != ::geteuid() || gid != ::getegid();

    WorkerLauncher launcher;
    auto claim = at<SpawnStage::Lane>(
        steps::ClaimLane{setup.lane_word, setup.lane_expected, setup.lane_started, setup.lock_fd});
    auto session = at<SpawnStage::Session>(steps::NewSession{});
    auto signals = at<SpawnStage::Signals>(steps::ResetSignals{});
    auto descriptors = at<SpawnStage::Descriptors>(steps::PlaceDescriptors{
        inherited_descriptors(setup), setup.stdout_fd, setup.stderr_fd, &launcher.report_fd});
    auto limits = at<SpawnStage::Limits>(steps::SetLimits{&setup.limits, &launcher.report.detail});
    auto mask = at<SpawnStage::Umask>([&setup]() noexcept {
        if (setup.umask) {
            (void)::umask(*setup.umask);
        }
        return 0;
    });
    auto nice = at<SpawnStage::Nice>(steps::SetNice{setup.nice});
    auto cpus = at<SpawnStage::CpuAffinity>(steps::SetCpuAffinity{&setup.cpu_mask});
    auto groups = at<SpawnStage::Groups>(steps::SetGroups{other_user, &setup.groups, gid});
    auto user = at<SpawnStage::User>(steps::SetUser{other_user, uid});
    auto directory = at<SpawnStage::WorkingDirectory>(StartDirectory{});
    if (!setup.working_directory.empty()) {
        directory.step.there.emplace(setup.working_directory);
    }
    auto patch = at<SpawnStage::Exec>([&patch_pid]() noexcept {
        patch_pid();
        return 0;
    });
    return launcher(candidates, argv.data(), environment_init, claim, session, signals, descriptors,
                    limits, mask, nice, cpus, groups, user, directory, patch);
}

}  // namespace topsman::posix
