#include "stepper.hpp"

#include "shm/base/check.hpp"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::torture {
namespace {

// Where the operation begins and ends: the tracer looks for these addresses, which are the same in
// its forked child.
extern "C" [[gnu::noinline]] void topsman_torture_begin() {
    asm volatile("" ::: "memory");
}

extern "C" [[gnu::noinline]] void topsman_torture_end() {
    asm volatile("" ::: "memory");
}

void wait_for_stop(pid_t pid) {
    int status = 0;
    CHECK(::waitpid(pid, &status, __WALL) == pid);
    CHECK(WIFSTOPPED(status));
    CHECK(WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP);
}

#ifdef __x86_64__
constexpr bool kKnowsRegisters = true;

std::uint64_t program_counter(pid_t pid) {
    errno = 0;
    const long counter =
        ::ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), nullptr);
    CHECK(errno == 0);
    return static_cast<std::uint64_t>(counter);
}

extern "C" [[gnu::naked, gnu::noinline, gnu::used]] void topsman_torture_syscall() {
    asm volatile("syscall; ret");
}

/// Makes the stopped process execute fork, and sets both back to where it stood. CLONE_PARENT: the
/// new one is our child, so that its end sends no signal into the steps of the old one.
pid_t fork_at(pid_t pid) {
    struct user_regs_struct before {};

    CHECK(::ptrace(PTRACE_GETREGS, pid, nullptr, &before) == 0);
    struct user_regs_struct call = before;
    call.rip = reinterpret_cast<std::uint64_t>(&topsman_torture_syscall);
    call.rax = SYS_clone;
    call.rdi = CLONE_PARENT | SIGCHLD;
    call.rsi = call.rdx = call.r10 = call.r8 = 0;
    CHECK(::ptrace(PTRACE_SETREGS, pid, nullptr, &call) == 0);
    CHECK(::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) == 0);
    wait_for_stop(pid);  // PTRACE_EVENT_FORK
    unsigned long twin = 0;
    CHECK(::ptrace(PTRACE_GETEVENTMSG, pid, nullptr, &twin) == 0 && twin != 0);
    CHECK(::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) == 0);
    wait_for_stop(pid);
    wait_for_stop(static_cast<pid_t>(twin));
    for (const pid_t each : {pid, static_cast<pid_t>(twin)}) {
        CHECK(::ptrace(PTRACE_SETREGS, each, nullptr, &before) == 0);
    }
    return static_cast<pid_t>(twin);
}
#else
constexpr bool kKnowsRegisters = false;

std::uint64_t program_counter(pid_t /*pid*/) {
    return 0;
}

pid_t fork_at(pid_t /*pid*/) {
    return -1;
}
#endif

void pin_to_one_cpu() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &one);
    (void)::sched_setaffinity(0, sizeof(one), &one);
}

}  // namespace

bool can_step() {
    if (!kKnowsRegisters) {
        return false;
    }
    const pid_t pid = ::fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        ::_exit(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : 1);
    }
    int status = 0;
    CHECK(::waitpid(pid, &status, 0) == pid);
    return status == 0;
}

Stepper::Stepper(const std::function<void()>& operation) {
    static const bool is_pinned = [] {
        pin_to_one_cpu();
        return true;
    }();
    CHECK(is_pinned);
    pid_ = ::fork();
    CHECK(pid_ >= 0);
    if (pid_ == 0) {
        (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHECK(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0);
        (void)::raise(SIGSTOP);
        topsman_torture_begin();
        operation();
        topsman_torture_end();
        ::_exit(0);
    }
    wait_for_stop(pid_);
    CHECK(::ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK) == 0);
    const auto begin = reinterpret_cast<std::uint64_t>(&topsman_torture_begin);
    while (program_counter(pid_) != begin) {
        execute_one();
    }
}

bool Stepper::is_over() const {
    return program_counter(pid_) == reinterpret_cast<std::uint64_t>(&topsman_torture_end);
}

bool Stepper::step() {
    if (is_over()) {
        return false;
    }
    execute_one();
    ++steps_;
    return true;
}

bool Stepper::step_to(std::uint64_t count) {
    while (steps_ < count) {
        if (!step()) {
            return false;
        }
    }
    return true;
}

Stepper Stepper::twin() const {
    return {fork_at(pid_), steps_};
}

void Stepper::finish() {
    CHECK(::ptrace(PTRACE_CONT, pid_, nullptr, nullptr) == 0);
    int status = 0;
    CHECK(::waitpid(pid_, &status, 0) == pid_);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pid_ = -1;
}

void Stepper::kill() {
    if (pid_ > 0) {
        (void)::kill(pid_, SIGKILL);
        int status = 0;
        do {
            CHECK(::waitpid(pid_, &status, __WALL) == pid_);
        } while (!WIFSIGNALED(status) && !WIFEXITED(status));
        pid_ = -1;
    }
}

void Stepper::execute_one() const {
    CHECK(::ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) == 0);
    wait_for_stop(pid_);
}

}  // namespace topsman::torture
