// The one file that knows Boost.Process. Its v2 takes any launcher: a callable that runs the
// initialisers' on_setup before the start and their on_exec_setup in the child. The environment is
// the library's own initialiser, the rest are the steps of child_steps.hpp in the same form. No
// basic_process is ever made: its destructor, running() and terminate() reap and kill by a bare
// pid, and its exec error would be waited for.

#define BOOST_PROCESS_USE_STD_FS 1  // the library's default needs the compiled Boost.Filesystem

#include "supervisor/posix/launcher.hpp"

#include "supervisor/posix/child_stack.hpp"
#include "supervisor/posix/child_steps.hpp"
#include "supervisor/posix/clock.hpp"
#include "supervisor/posix/executable.hpp"
#include "supervisor/posix/process_info.hpp"
#include "supervisor/posix/system_call.hpp"

// Header-only, the library forgets to include the first two, which the others need, and the last,
// which defines process_environment::on_setup.
// clang-format off
#include <boost/optional.hpp>
#include <boost/type_traits/remove_pointer.hpp>
#include <boost/process/v2/default_launcher.hpp>
#include <boost/process/v2/environment.hpp>
#include <boost/process/v2/impl/environment.ipp>
// clang-format on

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <sched.h>
#include <string_view>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::posix {
namespace {

namespace v2 = boost::process::v2;
using boost::system::error_code;

// ThreadSanitizer's own notes of the starting thread would be written by both.
#if defined(__SANITIZE_THREAD__)
constexpr bool kCanShareMemory = false;
#else
constexpr bool kCanShareMemory = kOwnSystemCalls;
#endif

/// A step that names its stage, as an initialiser of the library.
template <SpawnStage kStage, class Step>
struct At {
    Step step;

    template <class Launcher, class Path, class Argv>
    error_code on_exec_setup(Launcher& launcher, const Path& /*executable*/, const Argv& /*argv*/) {
        launcher.report.stage = kStage;
        return {step(), boost::system::system_category()};
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

bool has_prefix(const std::vector<std::string>& environment, std::string_view prefix) {
    return std::any_of(environment.begin(), environment.end(),
                       [&](const std::string& entry) { return entry.starts_with(prefix); });
}

/// The child's environment: what was asked for, and `NAME=` with room for each number that only the
/// child knows; these come last.
std::vector<std::string> with_room_for_pids(std::vector<std::string> environment,
                                            std::uint32_t about, std::size_t& added) {
    constexpr const char* kOwnName = "TOPSMAN_PID=";
    if (about != 0) {
        std::erase_if(environment,
                      [](const std::string& entry) { return entry.starts_with(kOwnName); });
        environment.push_back(kOwnName + std::to_string(about));
    }
    added = 0;
    for (const auto& [prefix, name] :
         {std::pair{"LISTEN_FDS=", "LISTEN_PID="}, std::pair{"WATCHDOG_USEC=", "WATCHDOG_PID="},
          std::pair{"TOPSMAN_", kOwnName}}) {
        const bool is_given = about != 0 && name == kOwnName;
        if (!is_given && has_prefix(environment, prefix)) {
            std::erase_if(environment, [given = std::string_view(name)](const std::string& entry) {
                return entry.starts_with(given);
            });
            environment.push_back(name + std::string(steps::PatchPid::kPidRoom, '\0'));
            ++added;
        }
    }
    return environment;
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

std::vector<const char*> pointers_to(const std::vector<std::string>& words) {
    std::vector<const char*> pointers;
    pointers.reserve(words.size() + 1);
    for (const std::string& word : words) {
        pointers.push_back(word.c_str());
    }
    pointers.push_back(nullptr);
    return pointers;
}

template <class Element>
auto list_of(std::vector<Element>& elements) {
    return steps::List<Element>{elements.data(), elements.size()};
}

template <class Element>
auto list_of(const std::vector<Element>& elements) {
    return steps::List<const Element>{elements.data(), elements.size()};
}

/// When the child was started that was not there `before`: both clocks show the same tick nearly
/// always. The kernel makes files in /proc for a process that is looked at there, and its end then
/// takes twice as long.
std::uint64_t start_ticks(std::uint64_t before, pid_t pid) {
    if (boot_ticks() == before) {
        return before;
    }
    const auto info = process_info(static_cast<std::uint32_t>(pid));
    return info ? info->start_ticks : 0;
}

/// One launch: the library's launcher, its initialisers, and all that they read and write in the
/// child, at a place that does not move.
class WorkerLauncher final : public PreparedChild, public v2::posix::default_launcher {
  public:
    WorkerLauncher(ChildSetup wanted, ChildStack stack);

    /// Starts the child on the memory of `self`, which the report keeps.
    [[nodiscard]] static Result<Launched> start(std::unique_ptr<WorkerLauncher> self);

    steps::Report report;  ///< each initialiser names its stage here, in the child

  private:
    [[nodiscard]] Result<Child> clone_child();
    [[nodiscard]] Result<Child> fork_child();
    [[noreturn]] static int run(void* self) noexcept;

    const uid_t uid_ = setup.uid.value_or(::geteuid());
    const gid_t gid_ = setup.gid.value_or(::getegid());
    const bool other_user_ = uid_ != ::geteuid() || gid_ != ::getegid();
    std::vector<int> inherited_ = inherited_descriptors(setup);
    std::size_t pid_entries_ = 0;
    std::vector<std::string> environment_ =
        with_room_for_pids(setup.environment, setup.about, pid_entries_);
    const std::vector<std::string> candidates_ =
        executable_candidates(setup.command.front(), setup.environment);
    const std::vector<const char*> candidate_pointers_ = pointers_to(candidates_);
    const std::vector<const char*> argv_pointers_ = pointers_to(setup.command);
    const char* const* argv_ = argv_pointers_.data();
    const v2::filesystem::path executable_ = candidates_.front();
    const ChildStack stack_;
    int report_fd_ = -1;

    v2::process_environment variables_{environment_};
    At<SpawnStage::Lane, steps::ClaimLane> claim_{
        {setup.lane_word, setup.lane_expected, setup.lane_started, setup.lock_fd}};
    At<SpawnStage::Session, steps::NewSession> session_{};
    At<SpawnStage::Signals, steps::ResetSignals> signals_{};
    At<SpawnStage::Descriptors, steps::PlaceDescriptors> descriptors_{
        {list_of(inherited_), setup.stdout_fd, setup.stderr_fd, &report_fd_}};
    At<SpawnStage::Limits, steps::SetLimits> limits_{{list_of(setup.limits), &report.detail}};
    At<SpawnStage::Umask, steps::SetUmask> umask_{
        {setup.umask.has_value(), setup.umask.value_or(0)}};
    At<SpawnStage::Nice, steps::SetNice> nice_{{setup.nice.has_value(), setup.nice.value_or(0)}};
    At<SpawnStage::CpuAffinity, steps::SetCpuAffinity> cpus_{{list_of(setup.cpu_mask)}};
    At<SpawnStage::Groups, steps::SetGroups> groups_{{other_user_, list_of(setup.groups), gid_}};
    At<SpawnStage::User, steps::SetUser> user_{{other_user_, uid_}};
    At<SpawnStage::DeathSignal, steps::SetDeathSignal> death_{{setup.death_signal, ::getpid()}};
    At<SpawnStage::WorkingDirectory, steps::ChangeDirectory> directory_{
        {setup.working_directory.empty() ? nullptr : setup.working_directory.c_str()}};
    At<SpawnStage::Exec, steps::PatchPid> patch_{};
};

WorkerLauncher::WorkerLauncher(ChildSetup wanted, ChildStack stack)
    : PreparedChild(std::move(wanted)), stack_(std::move(stack)) {
    for (std::size_t i = 0; i < pid_entries_; ++i) {
        std::string& entry = environment_[environment_.size() - 1 - i];
        patch_.step.places[i] = entry.data() + entry.size() - steps::PatchPid::kPidRoom;
    }
}

/// In the child. Nothing here or in the library's chain of calls touches more than this launcher
/// and the stack, which AddressSanitizer would take for that of the thread that started it.
__attribute__((no_sanitize("address"))) int WorkerLauncher::run(void* self) noexcept {
    auto& here = *static_cast<WorkerLauncher*>(self);
    const error_code error = v2::posix::detail::on_exec_setup(
        here, here.executable_, here.argv_, here.claim_, here.session_, here.signals_,
        here.descriptors_, here.limits_, here.umask_, here.nice_, here.cpus_, here.groups_,
        here.user_, here.death_, here.directory_, here.patch_);
    here.report.number = error.value();
    if (here.report.number == 0) {
        here.report.stage = SpawnStage::Exec;
        here.report.number =
            steps::exec_first(here.candidate_pointers_.data(), here.argv_, here.env);
    }
    steps::fail(here.report_fd_, here.report);
}

/// The child gets this process's memory itself; but a copy of it where it becomes another user: the
/// kernel takes away from memory that has such a user what the master needs, a core and its own
/// /proc files (PR_SET_DUMPABLE, prctl(2)), and who owns a process must not come near our memory.
Result<Child> WorkerLauncher::clone_child() {
    static bool refused = !kCanShareMemory;
    if (refused) {
        return fork_child();
    }
    int pidfd = -1;
    const int memory = other_user_ ? 0 : CLONE_VM;
    pid = ::clone(&WorkerLauncher::run, stack_.top(), memory | CLONE_PIDFD | SIGCHLD, this, &pidfd);
    if (pid >= 0) {
        return Child(pid, UniqueFd(pidfd));
    }
    if (errno != ENOSYS && errno != EPERM && errno != EINVAL) {
        return system_error("fork");
    }
    refused = true;
    return fork_child();
}

/// Where a sandbox refuses such a clone: a copy of all memory, and the pidfd afterwards, which is
/// as good while the child is not reaped (pidfd_open(2)).
Result<Child> WorkerLauncher::fork_child() {
    pid = ::fork();
    if (pid < 0) {
        return system_error("fork");
    }
    if (pid == 0) {
        run(this);
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
    return Child(pid, std::move(pidfd));
}

Result<Launched> WorkerLauncher::start(std::unique_ptr<WorkerLauncher> self) {
    if (const auto error =
            v2::posix::detail::on_setup(*self, self->executable_, self->argv_, self->variables_)) {
        return system_error("spawn", error.value());
    }
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return system_error("pipe");
    }
    UniqueFd read_end(ends[0]);
    const UniqueFd write_end(ends[1]);
    self->report_fd_ = write_end.get();

    // Until its dispositions are reset no signal may run a handler of ours in the child.
    const SignalsBlocked guard;
    const std::uint64_t before = boot_ticks();
    Result<Child> child = self->clone_child();
    if (!child) {
        return child.error();
    }
    const std::uint64_t ticks = start_ticks(before, child->pid());
    return Launched{std::move(*child), SpawnReport(std::move(read_end), std::move(self)), ticks};
}

}  // namespace

Result<Launched> launch(ChildSetup setup) {
    if (setup.command.empty() || setup.command.front().empty()) {
        return plain_error("the command is empty");
    }
    Result<ChildStack> stack = ChildStack::take();
    if (!stack) {
        return stack.error();
    }
    return WorkerLauncher::start(
        std::make_unique<WorkerLauncher>(std::move(setup), std::move(*stack)));
}

}  // namespace topsman::posix
